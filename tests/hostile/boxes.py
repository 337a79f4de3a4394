"""Hostile annotations, drawn by a seed: every format of objects with values that no tool writes, bombs, and broken bytes."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from altered import edited
from judge import Outcome, fault, run_here
from payloads import NUMBERS, OTHERS, POINTS, RLES, WORDS, XMLS, YAMLS

FORMATS = ("coco", "yolo", "voc", "labelme", "cvat", "csv")
APART = (
    "yolo",
    "voc",
    "labelme",
)  # a file an image: one that is hostile costs no other its objects
COUNT = 10  # images, the fewest that are generated
LIMIT = 20.0  # seconds of work
MOST = 800_000_000  # bytes that a command may take more than before
DEEP = "[" * 3000 + "]" * 3000


@dataclass(frozen=True)
class Trial:
    """What was altered, and whether only entries of one image were, so that all the others must be read."""

    file: str
    how: str
    small: bool = False


def make_home(home: Path) -> Path:
    """A folder with a small set of images and boxes in each format, below `sets/`."""
    for to in FORMATS:
        words = [
            "convert",
            "scenes",
            f"sets/{to}",
            "--to",
            to,
            "--count",
            str(COUNT),
            "--size",
            "32",
        ]
        done = run_here(words, home, limit=120)
        assert done.status == 0, done
    return home


def annotation_files(folder: Path) -> list[Path]:
    """All but the images, in order."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")


def alter(to: str, folder: Path, drawn: random.Random) -> Trial:
    """Make one file of a set hostile."""
    path = drawn.choice(annotation_files(folder))
    name = str(path.relative_to(folder))
    how = drawn.random()
    if how < 0.12:
        return Trial(name, bytes_altered(path, drawn), to in APART and path.suffix != ".yaml")
    if how < 0.16:
        text = drawn.choice(
            (DEEP, '{"a":' * 3000, '"' + "x" * 300_000, "\x00" * 50, "[1", "1e", "\n" * 9)
        )
        path.write_text(text)
        return Trial(name, "text", to in APART)
    if path.suffix == ".json":
        return Trial(name, json_altered(path, drawn), to == "labelme")
    kinds: dict[str, Callable[[Path, random.Random], str]] = {
        ".xml": xml_altered, ".yaml": yaml_altered, ".txt": line_altered, ".csv": table_altered,
    }  # fmt: skip
    # A data.yaml may say that no image is for training.
    return Trial(name, kinds[path.suffix](path, drawn), to in APART and path.suffix != ".yaml")


def bytes_altered(path: Path, drawn: random.Random) -> str:
    data = bytearray(path.read_bytes())
    how = drawn.choice(("cut", "flip", "noise", "utf16", "cp1252", "double"))
    at = drawn.randrange(len(data) + 1)
    if how == "cut":
        del data[at:]
    elif how == "flip":
        for _ in range(drawn.randint(1, 8)):
            data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    elif how == "noise":
        data[at:at] = drawn.randbytes(drawn.randint(1, 200))
    elif how == "utf16":
        data[:] = data.decode().encode("utf-16")[: drawn.choice((None, -1))]
    elif how == "cp1252":
        data[:] = data.replace(b'"', b'"\xe9\xff')
    else:
        data += data[at:]
    path.write_bytes(bytes(data))
    return how


def json_altered(path: Path, drawn: random.Random) -> str:
    """One entry of the document; of COCO, one in whatever list there is."""
    content = json.loads(path.read_text())
    pool = drawn.choice((RLES, POINTS, NUMBERS, OTHERS))
    value = drawn.choice(pool)
    if drawn.random() < 0.3:
        content, where = edited(content, drawn)
    else:
        lists = [v for v in content.values() if isinstance(v, list) and v]
        entry = drawn.choice(drawn.choice(lists))
        key = drawn.choice([*entry, "segmentation", "bbox", "box", "group_id", "iscrowd"])
        where = (key,)
        entry[key] = value
        if "shape_type" in entry and drawn.random() < 0.5:
            entry["shape_type"] = drawn.choice(
                ("circle", "polygon", "mask", "rectangle", "linestrip", 5)
            )
    path.write_text(json.dumps(content))
    return f"{'.'.join(map(str, where))} = {repr(value)[:80]}"


def xml_altered(path: Path, drawn: random.Random) -> str:
    text = path.read_text()
    if drawn.random() < 0.2:
        bomb = drawn.choice(XMLS)
        tag = "annotations" if path.name == "annotations.xml" else "annotation"
        path.write_text(bomb.replace("{0}", tag))
        return bomb[:60]
    places = [m.span(1) for m in re.finditer(r'(?:>|=")([^<>"]+)(?:<|")', text)]
    begin, end = drawn.choice(places)
    word = drawn.choice(WORDS)
    shape = drawn.choice(("", "", ' rotation="inf"', ' rotation="33"'))
    changed = text[:begin] + escape(word, {'"': "&quot;"}) + text[end:]
    changed = changed.replace('occluded="0"', f'occluded="0"{shape}', 1)
    if drawn.random() < 0.3:
        changed = changed.replace(
            "<box ", drawn.choice(("<ellipse ", "<polygon ", "<mask ", "<skeleton ")), 1
        )
    path.write_text(changed, encoding="utf-8")
    return f"{text[max(0, begin - 20) : begin]}{word[:60]!r}"


def yaml_altered(path: Path, drawn: random.Random) -> str:
    text = drawn.choice(YAMLS)
    path.write_text(text if drawn.random() < 0.7 else path.read_text() + text, encoding="utf-8")
    return text[:60]


def line_altered(path: Path, drawn: random.Random) -> str:
    lines = [line.split() for line in path.read_text().splitlines()] or [["0"]]
    line, word = drawn.choice(lines), drawn.choice(WORDS)
    line[drawn.randrange(len(line))] = word
    if drawn.random() < 0.3:
        line += [drawn.choice(WORDS[:12])] * drawn.choice((1, 2, 6, 5000))
    path.write_text("\n".join(map(" ".join, lines)), encoding="utf-8")
    return word[:60]


def table_altered(path: Path, drawn: random.Random) -> str:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row, word = drawn.choice(rows), drawn.choice((*WORDS, "x" * 200_000, "\x00", '"'))
    at = drawn.randrange(len(row))
    row[at] = word
    if drawn.random() < 0.2:
        row += [word[:5000]] * drawn.choice((1, 3000))  # 600 MB would only take their time
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    path.write_text(stream.getvalue(), encoding="utf-8")
    return f"{at}: {word[:60]!r}"


def command(to: str, trial: Trial, drawn: random.Random) -> list[str]:
    """The command of a trial."""
    how = drawn.random()
    if how < 0.55:
        return ["data", "d", "--format", "json", "--task", "detect"]
    if how < 0.65:
        return ["data", "d"]
    if how < 0.75:
        return ["data", f"d/{trial.file}", "--format", "json"]
    more = ["--no-images"] if drawn.random() < 0.5 else []
    return ["convert", "d", "new/c", "--to", drawn.choice(FORMATS), *more]


def run(number: int, home: Path, to: str | None = None) -> str | None:
    """One trial; what broke the rule, or None."""
    drawn = random.Random(number)
    to = to or drawn.choice(FORMATS)
    for name in ("d", "new"):
        shutil.rmtree(home / name, ignore_errors=True)
    shutil.copytree(home / "sets" / to, home / "d")
    trial = alter(to, home / "d", drawn)
    words = command(to, trial, drawn)
    before = peak()
    outcome = run_here(words, home, limit=LIMIT)
    taken = peak(reset=False) - before
    found = broken(trial, words, outcome, home)
    if found is None and taken > MOST:
        found = f"it took {taken / 1e6:,.0f} MB"
    return None if found is None else f"trial {number}, {to}, {trial}: {found}\n{outcome}"


def broken(trial: Trial, words: list[str], outcome: Outcome, home: Path) -> str | None:
    """What of a trial breaks the rule."""
    names = [Path(trial.file).name, "d/", "/d ", "d has", "d holds", "in d", "of d"]
    found = fault(outcome, writes=("new",), names=names)
    if found is None and (home / "OWNED").exists():
        found = "code of a file ran"
    if found is None and "RuntimeWarning" in outcome.err:
        found = "a warning of a library"
    if found is None and "root:x:0" in outcome.out + outcome.err:
        found = "the contents of another file are shown"
    alone = words[-1] == "json" and words[1] != "d"
    if found is None and trial.small and outcome.status and not alone:
        found = "one hostile file stopped all the others"
    if found is None and words[0] == "convert" and outcome.status and (home / "new" / "c").exists():
        found = "a conversion that failed left a folder"
    return found


def peak(*, reset: bool = True) -> int:
    """The most memory that this process has had, in bytes, since it was asked last with `reset`; 0 where nobody knows."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        text = Path("/proc/self/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):
        return 0
