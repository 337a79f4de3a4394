"""Lists: text files that name the images of a split, as Pascal VOC, SegNet, fastai and the Oxford pets write them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from striate.data.naming import normal
from striate.data.tree import Parts
from striate.files import read_regular
from striate.images import MOST_BYTES
from striate.tasks.segment.data.naming import decode_text
from striate.tasks.segment.data.roles import SPLIT_WORDS, base_of, stem_of

if TYPE_CHECKING:
    from striate.tasks.segment.data.pairing import Pairs

LISTS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "trainval"}
)
OTHERS = frozenset({"main", "layout", "action"})  # VOC's lists for other tasks
DEPTH = 4
LEAST = 0.5  # share of a list's names that must be images, to be believed


def _name(word: str, stems: dict[str, list[int]]) -> str:
    """The stem that the first word of a line names: a stem, a file name or a path."""
    name = PurePosixPath(word.replace("\\", "/")).name
    whole = normal(name).casefold()
    return whole if whole in stems else stem_of(name)


def apply_lists(root: Path, files: list[Parts], pairs: Pairs) -> None:
    """Put pairs into the splits that lists below `root` name; pairs in no list are left out. Folders go before lists."""
    if any(pairs.given):
        return
    stems: dict[str, list[int]] = {}
    for i, image in enumerate(pairs.images):
        stem = stem_of(PurePosixPath(image).name)
        for name in {stem, base_of(stem, False)[0]}:
            stems.setdefault(name, []).append(i)
    listed: dict[str, set[int]] = {}
    named: list[str] = []
    for file in sorted(files, key=lambda f: (len(f), f)):
        kind = PurePosixPath(file[-1]).stem.casefold()
        if not file[-1].casefold().endswith(".txt") or kind not in LISTS or len(file) > DEPTH:
            continue
        if any(part.casefold() in OTHERS for part in file[:-1]):
            continue
        try:
            text = decode_text(read_regular(root / "/".join(file), limit=MOST_BYTES))
        except OSError:  # it may be anybody's; without it all images with masks are used
            continue
        names = [_name(line.split()[0], stems) for line in text.splitlines() if line.split()]
        inside = {i for name in names for i in stems.get(name, ())}
        if names and sum(name in stems for name in names) >= LEAST * len(names):
            listed.setdefault(
                "trainval" if kind == "trainval" else SPLIT_WORDS[kind], set()
            ).update(inside)
            named.append("/".join(file))
    both = listed.pop("trainval", set())
    if both and not {"train", "val"} & set(listed):
        listed["train"] = both
    if not listed:
        return
    for split in ("train", "val", "test"):  # a name in two lists is held out
        for i in listed.get(split, ()):
            pairs.given[i] = split
    if "train" not in listed:  # as fastai's valid.txt: what is not listed trains
        pairs.given[:] = [g or "train" for g in pairs.given]
    none = [i for i, g in enumerate(pairs.given) if g is None]
    pairs.notes.append(f"the splits are those of {', '.join(named)}")
    if none:
        pairs.notes.append(
            f"{len(none):,} images with masks are in none of these lists and are left out, such as {pairs.images[none[0]]}"
        )
        keep = [i for i, g in enumerate(pairs.given) if g is not None]
        pairs.images = [pairs.images[i] for i in keep]
        pairs.masks = [pairs.masks[i] for i in keep]
        pairs.given = [pairs.given[i] for i in keep]
