"""Hostile files and names: a command names them, goes on with the rest, and does nothing else.

`STRIATE_FUZZ=3000 pytest tests/hostile/test_files.py` is the long form.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import files
import numpy as np
import pytest
import targets
from judge import Outcome, fault, run_here
from PIL import Image

TRIALS = int(os.environ.get("STRIATE_FUZZ", "240"))
PARTS = 8
LIMIT = 60.0  # seconds; a machine that does much else at once takes its time
TRAIN = ("--model", "[conv2-relu-pool]-fc", "--epochs", "1", "--size", "12", "--set", "workers=0")
CORPUS = sorted(p for p in (Path(__file__).parent / "corpus").glob("*/*") if p.is_file())


def good(folder: Path, images: int = 6) -> Path:
    """Two classes of sound images."""
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(images):
            rng = np.random.default_rng(100 * number + i)
            pixels = (rng.integers(0, 60, (12, 12, 3)) + 150 * number).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_home`."""
    return make_home(tmp_path_factory.mktemp("home"))


def make_home(home: Path) -> Path:
    """A folder with a trained run `r` and good data `sound`."""
    good(home / "sound")
    done = run_here(["train", "sound", *TRAIN, "--out", "r"], home, limit=300)
    assert done.status == 0, done
    return home


def command(number: int, odd: str) -> list[str]:
    """The command of a trial, the slow ones seldom."""
    if number % 16 == 9:  # a run that was damaged, see `damage_run`
        return (
            ["predict", "q", "d/cat/0.png", "--format", "json"], ["report", "q"], ["summary", "q", "--format", "json"],
            ["explain", "q", "d/cat/0.png", "-m", "saliency", "--no-trust", "-o", "new/e.png"],
        )[number // 16 % 4]  # fmt: skip
    if number % 4 == 1 and odd.endswith(files.TABLES):
        return ["data", odd, "--format", "json"]
    if number % 120 == 60:
        return ["train", "d", *TRAIN, "--out", "new/t"]
    if number % 60 == 30:
        return ["explain", "r", odd, "-m", "saliency", "--no-trust", "-o", "new/e.png", "--format", "json"]  # fmt: skip
    if number % 8 == 3:
        return ["tile", "r", odd, "--format", "json"]
    if number % 8 == 5:
        return ["data", "d", "--format", "json"]
    return ["predict", "r", "d/cat/0.png", odd, "--format", "csv" if number % 2 else "json"]


def rows_of(outcome: Outcome) -> dict[str, str]:
    """path -> error of a prediction."""
    if "json" in outcome.arguments:
        rows = json.loads(outcome.out)
    else:
        rows = list(csv.DictReader(io.StringIO(outcome.out)))
    return {row["path"]: row["error"] or "" for row in rows}


def damage_run(rng: np.random.Generator, home: Path) -> str:
    """A copy `q` of the run with one of its files damaged; the file's path in it."""
    shutil.rmtree(home / "q", ignore_errors=True)
    shutil.copytree(home / "r", home / "q")
    inside = sorted(p for p in (home / "q").rglob("*") if p.is_file())
    chosen = inside[int(rng.integers(len(inside)))]
    if rng.random() < 0.5:  # half of them where every command looks
        chosen = home / "q" / ("run.toml", "model.safetensors")[int(rng.integers(2))]
    chosen.write_bytes(files.damaged(rng, chosen.read_bytes()))
    return str(chosen.relative_to(home / "q"))


def trial(number: int, home: Path) -> str | None:
    """One trial; what broke the rule, or None."""
    rng = np.random.default_rng(number)
    shutil.rmtree(home / "d", ignore_errors=True)
    shutil.rmtree(home / "new", ignore_errors=True)
    shutil.copytree(home / "sound", home / "d")
    odd = files.place(rng, home / "d" / "cat")
    words = command(number, os.fsdecode(os.path.relpath(odd, home)))
    damaged = ""
    if "q" in words:
        damaged = damage_run(rng, home)
    outcome = run_here(words, home, limit=LIMIT)
    found = fault(outcome, writes=("new", "q"), names=damaged.split("/"))
    if found is None and words[:2] in (["data", "d"], ["train", "d"]) and outcome.status:
        found = "one hostile file stopped all the others"
    if found is None and words[:2] == ["predict", "r"] and outcome.status in (0, 1):
        rows = rows_of(outcome)
        if rows.get("d/cat/0.png") != "":
            found = "the sound image has no row"
        elif outcome.status == 1 and not any(rows.values()):
            found = "it fails, and no row says why"
    if found is None and "root:x:0" in outcome.out + outcome.err:
        found = "the contents of another file are shown"
    return None if found is None else f"trial {number}, {odd.name!r}: {found}\n{outcome}"


@pytest.mark.parametrize("part", range(PARTS))
def test_one_rule_for_hostile_files(part: int, home: Path) -> None:
    faults = [found for n in range(part, TRIALS, PARTS) if (found := trial(n, home)) is not None]
    assert not faults, f"{len(faults)} of {TRIALS // PARTS} trials\n" + "\n\n".join(faults[:5])


def test_every_name_at_once(home: Path) -> None:
    """Names of files reach the terminal, CSV and JSON without steering anything; none costs another its row."""
    shutil.rmtree(home / "d", ignore_errors=True)
    folder = good(home / "d" / "d") / "cat"
    for name in files.NAMES:
        shutil.copy(folder / "0.png", os.fsencode(folder) + b"/" + name + b".png")
    for format in ("table", "csv", "json"):
        outcome = run_here(["predict", "r", "d/d", "--format", format], home, limit=LIMIT)
        assert outcome.status == 0 and fault(outcome) is None, outcome
    rows = json.loads(run_here(["predict", "r", "d/d", "--format", "json"], home).out)
    assert len(rows) == len({row["path"] for row in rows}) == 12 + len(files.NAMES)
    assert all(row["error"] is None for row in rows)


def test_every_name_as_a_class(home: Path) -> None:
    """A newline, a formula and bytes that are no text in names of classes: trained, drawn, reported, predicted."""
    shutil.rmtree(home / "d", ignore_errors=True)
    folder = good(home / "d", images=4)
    for name in files.NAMES:
        (folder / os.fsdecode(name)).mkdir()
        for i in range(4):
            shutil.copy(folder / "dog" / f"{i}.png", folder / os.fsdecode(name) / f"{i}.png")
    trained = run_here(["train", "d", *TRAIN, "--out", "odd"], home, limit=300)
    assert trained.status == 0 and fault(trained, writes=("odd",)) is None, trained
    for words in (
        ["predict", "odd", "d/cat/0.png", "--top", "40"],
        ["report", "odd"],
        ["data", "d"],
    ):
        outcome = run_here(words, home, limit=LIMIT)
        assert outcome.status == 0 and fault(outcome, writes=("odd",)) is None, outcome
    assert "cannot be shown" not in (home / "odd" / "report.html").read_text(encoding="utf-8")


def test_data_that_a_run_cannot_name_are_refused_before_anything_is_written(home: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    shutil.rmtree(home / odd, ignore_errors=True)
    good(home / odd)
    outcome = run_here(["train", odd, *TRAIN, "--out", "new/t"], home, limit=LIMIT)
    assert outcome.status == 2 and fault(outcome, names=[r"caf\xe9"]) is None, outcome


AS_NOBODY = """
import os, sys
from striate.cli import main
from striate.data import open_source

open_source("warm")  # whatever is imported late is imported before the rights go
try:
    main(["predict", "r", "warm/cat"])
except SystemExit:
    pass
print("----")
os.setgid(65534), os.setuid(65534)
source = open_source("d")
print(source.classes, [(one.path, one.reason) for one in source.damaged])
main(["predict", "r", "d"])
"""


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can become nobody")
def test_what_may_not_be_read_is_named_and_the_rest_goes_on(home: Path) -> None:
    """As nobody: a folder and a file without rights."""
    place = home / "nobody"
    data = good(place / "d")
    shutil.copytree(data, place / "warm")
    shutil.copytree(home / "r", place / "r")
    shutil.copytree(data / "dog", data / "fox")
    (data / "cat" / "1.png").chmod(0)
    (data / "fox").chmod(0)
    for folder in (place, *place.parents):
        if folder.stat().st_uid == 0 and len(folder.parts) > 2:
            folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY], cwd=place, capture_output=True, text=True, timeout=300
    )
    shown = done.stdout.partition("----")[2]
    assert done.returncode == 1 and "Traceback" not in done.stderr, done
    assert "('cat', 'dog')" in shown and shown.count("cat/1.png") >= 2
    assert "fox" in shown.splitlines()[1] and "fox" in done.stderr
    assert shown.lower().count("denied") >= 3


@pytest.mark.parametrize("name", ["odd.gif", "odd.webp", "odd.png", "odd.bmp"])
@pytest.mark.parametrize("words", [["predict", "r", "d/cat/0.png"], ["tile", "r"], ["data", "d"]], ids=" ".join)  # fmt: skip
def test_a_header_of_four_billion_pixels_stops_nothing(
    name: str, words: list[str], home: Path
) -> None:
    """Under the suffix of each format, since some are asked whether they move."""
    shutil.rmtree(home / "d", ignore_errors=True)
    odd = good(home / "d") / "cat" / name
    odd.write_bytes(
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b"\x2c" + bytes(8) + b"\0\2\2\x44\1\0\x3b"
    )
    outcome = run_here(
        words if words[0] == "data" else [*words, str(odd.relative_to(home))], home, limit=LIMIT
    )
    assert fault(outcome, names=[name]) is None and name in outcome.out + outcome.err, outcome
    assert outcome.status == (0 if words[0] == "data" else 1)


SECRETS = {  # what lies outside the folder, in the form that its reader gets furthest with
    "csv": "zq-secret,zq-other\nzq-a,zq-b\n", "txt": "zq-secret:x:0\nzq-b:x:1\n", "jsonl": '{"zq-secret": 1}\n{"zq-b": 2}\n',
    "json": '{"zq-secret": {"zq-b": 2}}', "tags.csv": "file,split,label\ncat/0.png,zq-secret,a\ncat/1.png,zq-b,b\n",
    "numbers.csv": "file,label\ncat/0.png,zq-secret\ncat/1.png,3\n", "outside.csv": "file,label\n/zq-secret,a\n/zq-b,b\n",
    "coco.json": '{"images": [{"id": 1}, {"id": "zq-secret"}], "annotations": [], "categories": []}',
    "annotation.xml": "<annotation><filename>zq-secret</filename><object><name>zq-b</name></object></annotation>",
    "toml": 'format = 3\ntask = "zq-secret"\n',
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        (kind, task)
        for kind in SECRETS
        for task in ("classify", "multilabel", "regression", "segment", "detect", None)
        if kind != "numbers.csv" or task == "regression"  # else a table of classes, which it is for
    ],
)
def test_nothing_is_quoted_of_what_a_link_out_of_the_folder_leads_to(
    kind: str, task: str | None, home: Path
) -> None:
    """Named itself, and found as the labels of its folder."""
    shutil.rmtree(home / "d", ignore_errors=True)
    folder = good(home / "d")
    (home / "outside").mkdir(exist_ok=True)
    secret = home / "outside" / f"secret.{kind}"
    secret.write_text(SECRETS[kind])
    odd = folder / ("labels.csv" if kind.endswith("csv") else f"odd.{kind}")
    odd.symlink_to(secret)
    more = [] if task is None else ["--task", task]
    for words in (["data", str(odd.relative_to(home)), *more], ["data", "d", *more]):
        outcome = run_here(words, home, limit=LIMIT)
        assert fault(outcome) is None and "zq-" not in outcome.out + outcome.err, outcome


NAMED = {  # files of which every line is a name, beside what they name
    "classes.txt": "zq-secret\nzq-b\nzq-c\n", "labels.txt": "zq-secret\nzq-b\n", "classes.json": '["zq-secret", "zq-b"]',
    "obj.names": "zq-secret\nzq-b\n", "data.yaml": "names: [zq-secret, zq-b]\ntrain: images\n",
    "classes.csv": "zq-secret,0\nzq-b,1\n",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("task", ["segment", "detect"])
def test_no_line_of_what_a_link_out_of_the_folder_leads_to_is_a_class(
    name: str, task: str, home: Path
) -> None:
    """The link is named; the same file in the folder is read where its format belongs to the task."""
    shutil.rmtree(home / "d", ignore_errors=True)
    for i in range(6):
        for part, pixels in (
            ("images", np.full((12, 12), 30 * i, np.uint8)),
            ("masks", np.eye(12, dtype=np.uint8)),
        ):
            (home / "d" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(home / "d" / part / f"{i}.png")
        (home / "d" / "labels").mkdir(exist_ok=True)
        (home / "d" / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.2 0.2\n")
    if task == "detect":
        shutil.rmtree(home / "d" / "masks")
    (home / "outside").mkdir(exist_ok=True)
    secret = home / "outside" / f"secret-{name}"
    secret.write_text(NAMED[name])
    (home / "d" / name).symlink_to(secret)
    words = ["data", "d", "--task", task]
    linked = run_here(words, home, limit=LIMIT)
    (home / "d" / name).unlink()
    shutil.copy(secret, home / "d" / name)
    copied = run_here(words, home, limit=LIMIT)
    for outcome in (linked, copied):
        assert outcome.status == 0 and fault(outcome) is None, outcome
    assert "zq-" not in linked.out + linked.err, linked
    if "zq-secret" in copied.out:
        assert f"{name} is a link out of the folder" in linked.out + linked.err, linked
    read = {
        "segment": {"classes.txt", "labels.txt", "classes.json", "classes.csv"},
        "detect": {"classes.txt", "obj.names", "data.yaml"},
    }
    assert ("zq-secret" in copied.out) == (name in read[task]), copied


@pytest.mark.parametrize("name", ["run.toml", "metrics.csv", "findings/headline.json"])
@pytest.mark.parametrize("kind", ["csv", "json", "toml"])
def test_nothing_is_quoted_of_what_a_link_out_of_a_run_leads_to(
    name: str, kind: str, home: Path
) -> None:
    shutil.rmtree(home / "q", ignore_errors=True)
    shutil.copytree(home / "r", home / "q")
    (home / "outside").mkdir(exist_ok=True)
    secret = home / "outside" / f"secret.{kind}"
    secret.write_text(SECRETS[kind])
    (home / "q" / name).unlink()
    (home / "q" / name).symlink_to(secret)
    outcome = run_here(["report", "q"], home, limit=LIMIT)
    assert (
        outcome.status == (name != "metrics.csv")
        and fault(outcome, names=[name], writes=["q"]) is None
    ), outcome
    assert "zq-" not in outcome.out + outcome.err, outcome


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_fuzzing_keeps(path: Path) -> None:
    targets.TARGETS[path.parent.name](path.read_bytes())
