"""Folders and tables as people have them, drawn by a seed, with the right reading known by construction.

Nothing here reads what it wrote: the truth is noted while the files are made.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = (
    "cat", "dog", "Käfer", "café", "gewächs", "犬", "golden retriever", "labrador retriever", "class 9", "class 10",
    "0", "1", "a'b\"c", "100%", "$x^2$", "[red]", "<b>", "thumbs", "cache", "trash", "NA", "été (2)",
)  # fmt: skip
ENDINGS = (
    ".png", ".PNG", ".jpg", ".JPEG", ".jfif", ".jpe", ".webp", ".bmp", ".tif", ".gif", ".png.jpg", ".jpg?w=640",
    ".jpg_large", ".jpeg%3fv=2", ".JPG-1", "", ".dat", ".heic", ".png:large",
)  # fmt: skip
SYSTEM_FOLDERS = (
    "@eaDir", ".AppleDouble", "__MACOSX", ".ipynb_checkpoints", ".thumbnails", "$RECYCLE.BIN",
    "System Volume Information", "lost+found", ".Trash-1000", "#recycle", "@Recycle", ".@__thumb", ".git", ".dvc",
    "_gsdata_", ".sync",
)  # fmt: skip
SYSTEM_FILES = ("._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "SYNOPHOTO_THUMB_XL.jpg")
SPLITS = {
    "train": ("train", "Training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "TEST", "testing"),
}
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


@dataclass(kw_only=True)
class Truth:
    """classes: key to class name. splits: key to split, where the folder says one. damaged, outside: keys. left: by kind."""

    classes: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    left: dict[str, set[str]] = field(default_factory=dict)
    refused: str = ""  # words of the reason, where the data cannot be classes
    given: str = ""  # the table to open instead of the folder
    story: list[str] = field(default_factory=list)

    def leave(self, kind: str, key: str) -> None:
        self.left.setdefault(kind, set()).add(key)


class Maker:
    """Writes into `root` and notes the truth."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng, self.truth = root, random.Random(seed), Truth()
        self.made = 0

    def image(self, key: str, form: str = "") -> str:
        """A picture that no other equals, of any format, whatever its name says."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(self.made).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        pixels[0, 0] = (self.made % 251, self.made // 251, 7)
        self.made += 1
        with path.open("wb") as file:
            Image.fromarray(pixels).save(file, form or self.rng.choice(FORMATS))
        return key

    def name(self, used: set[str]) -> str:
        """A file name that no file of the folder has, in a Unicode form of either system."""
        while True:
            stem = self.rng.choice(
                ("{n}", "IMG_{n}", "photo {n}", "gewächs{n}", "犬{n}", "{n:04}", "a.b.{n}")
            )
            stem = self.unicode(stem.format(n=self.rng.randrange(1000)))
            name = stem + self.rng.choice(ENDINGS if self.rng.random() < 0.5 else (".png", ".jpg"))
            folded = unicodedata.normalize("NFC", stem).casefold()
            if folded not in used:
                used.add(folded)
                return name

    def unicode(self, text: str) -> str:
        return unicodedata.normalize(self.rng.choice(("NFC", "NFD")), text)


def make(root: Path, seed: int) -> Truth:
    """A folder that `striate data` is to read, with the truth."""
    maker = Maker(root, seed)
    rng = maker.rng
    layout = rng.choice(("folders", "folders", "splits", "wrapped", "table", "table", "table"))
    maker.truth.story.append(layout)
    classes = rng.sample(CLASSES, rng.randint(2, 4))
    if layout == "table":
        _table(maker, classes)
    elif layout == "splits":
        names = {split: rng.choice(spelled) for split, spelled in SPLITS.items()}
        for split, name in names.items():
            _classes(maker, f"{name}/", classes, split)
    else:
        wrapper = rng.choice(("images/", "set/images/")) if layout == "wrapped" else ""
        _classes(maker, wrapper, classes, None)
    _junk(maker)
    return maker.truth


def _classes(maker: Maker, below: str, classes: list[str], split: str | None) -> None:
    for name in classes:
        folder = f"{below}{maker.unicode(name)}"
        used: set[str] = set()
        for _ in range(maker.rng.randint(2, 4)):
            deeper = maker.rng.choice(("", "", "", "2024/"))
            key = maker.image(f"{folder}/{deeper}{maker.name(used)}")
            maker.truth.classes[key] = unicodedata.normalize("NFC", name)
            if split:
                maker.truth.splits[key] = split


def _junk(maker: Maker) -> None:
    """What stands between a person's images and is none."""
    rng, truth = maker.rng, maker.truth
    folders = sorted({"", *(f"{k.rsplit('/', 1)[0]}/" for k in truth.classes if "/" in k)})
    for _ in range(rng.randint(0, 4)):
        below = rng.choice(folders)
        kind = rng.randrange(9)
        if kind == 0:
            name = rng.choice(SYSTEM_FOLDERS)
            maker.image(f"{below}{name}/{rng.randrange(9)}.png/small.jpg")
            truth.leave("system", f"{below}{name}")
        elif kind == 1:
            name = rng.choice(SYSTEM_FILES)
            maker.image(f"{below}{name}")
            truth.leave("system", f"{below}{name}")
        elif kind == 2 and f"{below}runs/r-1" not in truth.left.get("run", ()):
            maker.image(f"{below}runs/r-1/findings/a.png")
            (maker.root / below / "runs/r-1/run.toml").write_text(
                "format = 1\n[recipe]\nmodel = 'x'\n"
            )
            truth.leave("run", f"{below}runs/r-1")
        elif kind == 3:
            name = rng.choice(("notes.md", "README", "list.xml", "model.pt"))
            (maker.root / below / name).write_text("words")
            truth.leave("other", f"{below}{name}")
        elif kind == 4:
            name = rng.choice(("page.jpg", "gone.png", "page.jpg?x=1"))
            (maker.root / below / name).write_bytes(rng.choice((b"<html>", b"", b"\0" * 99)))
            _misplaced(truth, f"{below}{name}", damaged=True)
        elif kind == 5:
            if not (maker.root / below / "up").is_symlink():
                os.symlink(maker.root, maker.root / below / "up")
            truth.leave("loop", f"{below}up")
        elif kind == 6:
            name = "pipe.png"
            if not (maker.root / below / name).exists():
                os.mkfifo(maker.root / below / name)
            truth.leave("special", f"{below}{name}")
        elif kind == 7:
            (maker.root / below / ".there.jpg.icloud").write_bytes(b"bplist00")
            truth.leave("cloud", f"{below}.there.jpg.icloud")
        elif kind == 8 and below:
            own = [k for k in truth.classes if k.startswith(below) and "/" not in k[len(below) :]]
            original = rng.choice(own)
            maker.image(f"{original}_original")
            truth.leave("backup", f"{original}_original")


def _misplaced(truth: Truth, key: str, *, damaged: bool) -> None:
    """A file that is no image: damaged where it would have a class, outside where not."""
    tabled = "table" in truth.story
    if tabled or "/" not in key:
        truth.outside.add(key)
    elif damaged:
        truth.damaged.add(key)


def _table(maker: Maker, classes: list[str]) -> None:
    rng, truth = maker.rng, maker.truth
    classes = [c for c in classes if c != "NA"] + ["fox", "owl"]
    folder = rng.choice(("images", "pictures/2024", "img"))
    used: set[str] = set()
    keys = [maker.image(f"{folder}/{maker.name(used)}") for _ in range(rng.randint(12, 16))]
    listed = {key: classes[i % len(classes)] for i, key in enumerate(keys)}
    trick = rng.choice(("", "", "", "", "several", "list", "measure", "dates", "texts", "boxes"))
    truth.story.append(trick or "plain")
    split = rng.random() < 0.3 and not trick
    rows: list[dict[str, str]] = []
    file_name, label_name = (
        rng.choice(("file", "Image Name", "filename", "path", "image_id")),
        "label",
    )
    label_name = rng.choice(("label", "Class", "category", "target", "species"))
    style = rng.choice(("full", "full", "table", "name", "windows", "elsewhere", "form"))
    for i, (key, name) in enumerate(listed.items()):
        row = {file_name: _written(maker, key, style), label_name: name}
        if trick == "several":
            row[label_name] = f"{name}{'|;'[len(folder) % 2]}{classes[(i + 1) % len(classes)]}"
        elif trick == "list":
            row[label_name] = json.dumps([name, classes[(i + 1) % len(classes)]])
        elif trick == "measure":
            row[label_name] = f"{i * 1.37 + 0.1:.2f}"
        elif trick == "dates":
            row[label_name] = f"2024-0{i % 3 + 1}-11"
        elif trick == "texts":
            row[label_name] = f"a picture of {name} number {i} on the grass"
        elif trick == "boxes":
            row |= {"xmin": "1", "ymin": "2", "xmax": "5", "ymax": "6"}
        if split:
            row["split"] = ("train", "val", "test")[i // 2 % 3]
        rows.append(row)
        if trick == "boxes":
            rows.append(row)
    truth.refused = {
        "": "", "several": "several labels", "list": "several labels", "measure": "a measured value", "dates": "dates",
        "texts": "identifiers or texts", "boxes": "boxes of objects",
    }[trick]  # fmt: skip
    for i, (key, name) in enumerate(listed.items()):
        if i == 3 and rng.random() < 0.3 and not trick:
            rows[i][label_name] = rng.choice(("", "nan", "NULL"))
            truth.outside.add(key)
            continue
        truth.classes[key] = unicodedata.normalize("NFC", name)
        if split:
            truth.splits[key] = ("train", "val", "test")[i // 2 % 3]
    if rng.random() < 0.3 and not trick:
        rows.append({file_name: "images/not there.png", label_name: classes[0]})
        truth.damaged.add("images/not there.png")
    table = rng.choice(("labels.csv", "metadata.csv", "labels.tsv", "mine.csv"))
    if table == "mine.csv" or rng.random() < 0.2:
        truth.given = table
    (maker.root / table).write_bytes(_bytes(maker, rows, headed=truth.given == "" or bool(trick)))


def _written(maker: Maker, key: str, style: str) -> str:
    folder, _, name = key.rpartition("/")
    other = maker.unicode(name)
    return {
        "full": f"{folder}/{other}",
        "table": f"./{folder}/{other}",
        "name": other,
        "windows": f"C:\\data\\{folder}\\{other}".replace("/", "\\"),
        "elsewhere": f"/home/someone/{folder}/{other}",
        "form": f"{folder}/{other}",
    }[style]


def _bytes(maker: Maker, rows: list[dict[str, str]], *, headed: bool) -> bytes:
    rng = maker.rng
    columns = list(rows[0])
    if rng.random() < 0.3:
        rng.shuffle(columns)
    index = rng.random() < 0.3
    separator = rng.choice(",,;\t|")
    if any("|" in v for row in rows for v in row.values()) and separator == "|":
        separator = ","
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    headed = headed or rng.random() < 0.7 or index or "split" in columns
    if headed:
        writer.writerow([*([rng.choice(("", "Unnamed: 0"))] if index else []), *columns])
    for i, row in enumerate(rows):
        writer.writerow([*([i] if index else []), *(row.get(c, "") for c in columns)])
        if rng.random() < 0.05:
            writer.writerow([""] * (len(columns) + index))
    content = text.getvalue()
    if separator in ";," and rng.random() < 0.2:
        content = f"sep={separator}\n{content}"
    content = content.replace("\n", rng.choice(("\n", "\n", "\r\n", "\r")))
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"))
    try:
        return content.encode(encoding)
    except UnicodeEncodeError:
        return content.encode("utf-8")
