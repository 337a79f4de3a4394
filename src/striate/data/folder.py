"""A folder of image files as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from striate.data.arrangement import FREE, Arrangement, arrange
from striate.data.by_folder import by_folder, descend, has_classes
from striate.data.by_table import Reader, by_table
from striate.data.drawing import drawn
from striate.data.labels import read_labels
from striate.data.layout import Layout
from striate.data.naming import in_order
from striate.data.place import name_of_place
from striate.data.pool import ordered
from striate.data.preprocessing import Preprocessing
from striate.data.records import (
    Progress,
    Record,
    depths_of,
    left_out_channels,
    profiles,
)
from striate.data.scanning import scan
from striate.data.source import SPLITS, Damage, FileSplit, Source, Split, TargetSplit
from striate.data.splitting import TEST, TRAIN, VAL
from striate.data.tree import Tree, grow, is_run
from striate.errors import DataError
from striate.images import decode

PHOTOGRAPH = 64  # pixels; a smaller colour image is rather an icon or a benchmark's thumbnail
SAMPLE = 24  # images looked at to distinguish photographs from drawings


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """What is to be learned of N images.

    classes: names of the network's outputs. labels: (N,) int64, index into `words`: equal for images with equal targets.
    targets: (N, K) float32, where these are more than labels; strata: (N,) int64, then: groups that each split gets its
    share of.
    """

    classes: tuple[str, ...]
    words: tuple[str, ...]
    labels: np.ndarray
    targets: np.ndarray | None = None
    strata: np.ndarray | None = None

    def arrange(
        self,
        contents: Sequence[bytes],
        keys: Sequence[str],
        given: np.ndarray | None,
        *,
        seed: int,
        val: float | None,
        test: float | None,
    ) -> Arrangement:
        """The N images in splits; arguments and errors as in `arrange`."""
        return arrange(
            contents, self.labels, keys=keys, classes=self.words, seed=seed, val=val, test=test, given=given,
            strata=self.strata,
        )  # fmt: skip


Encode = Callable[[Path, Sequence[str]], Encoded]


def open_folder(
    root: Path,
    *,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    progress: Progress | None = None,
    table: str | None = None,
    encode: Encode | None = None,
    read: Reader | None = None,
    outside: bool = False,
) -> Source:
    """Open the images below `root`; each is decoded once to find damage, and none is kept.

    table: the name of a CSV file in `root` that says the classes. read, encode: what reads tables, and what makes targets of
    that; classes if not given. outside: whether a table may name files outside `root`.

    Raises DataError with one sentence if there are no images, no classes, only one class, or only
    damaged images.
    """
    layout = lay_out(root, table=table, read=read, outside=outside)
    records, damaged = scan(root, layout.keys, progress=progress)
    kept = [i for i, record in enumerate(records) if record is not None]
    if not kept:
        raise DataError(
            f"none of the {len(records)} images in {root} can be read; the first, {damaged[0].path}: "
            f"{_whole_reason(root, damaged[0])}"
        )
    good = [record for record in records if record is not None]
    keys = [layout.keys[i] for i in kept]
    encoded = (encode or _as_classes)(root, [layout.classes[i] for i in kept])
    codes: dict[str | None, int] = {None: FREE, **{name: i for i, name in enumerate(SPLITS)}}
    given = np.array([codes[layout.given[i]] for i in kept], dtype=np.int8)
    plan = encoded.arrange(
        [record.content for record in good], keys, given, seed=seed, val=val, test=test
    )
    parts = [
        _split(root, good, keys, encoded, np.flatnonzero(plan.part == code))
        for code in range(len(SPLITS))
    ]
    return Source(
        name=name_of_place(root),
        classes=encoded.classes,
        where=str(root if table is None or encode is None else root / table),
        fingerprint=plan.fingerprint,
        damaged=(*layout.damaged, *damaged),
        duplicates=plan.duplicates,
        outside=tuple(layout.outside),
        left_out=layout.left_out,
        empty=(
            *layout.empty,
            *(() if encode else in_order(set(layout.classes) - set(encoded.classes))),
        ),
        several_pages=tuple(k for k, r in zip(keys, good, strict=True) if r.several_pages),
        blank=tuple(k for k, r in zip(keys, good, strict=True) if r.blank),
        missized=tuple(
            key
            for key, r in zip(keys, good, strict=True)
            if {r.height, r.width} != set(layout.sizes.get(key, (r.height, r.width)))
        ),
        notes=(
            *layout.notes,
            *left_out_channels(keys, good),
            *profiles(keys, good),
            *_drawn(given, plan),
        ),
        photographs=shows_photographs(parts[TRAIN]),
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )


def _as_classes(root: Path, names: Sequence[str]) -> Encoded:
    """One class an image. Raises DataError where there is only one."""
    classes = in_order(names)
    if len(classes) < 2:
        raise DataError(
            f"{root} holds one class, {classes[0]!r}; at least two are needed, "
            "each in a folder of its own"
        )
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in names], dtype=np.int64)
    return Encoded(classes=classes, words=classes, labels=labels)


def lay_out(
    root: Path, *, table: str | None = None, read: Reader | None = None, outside: bool = False
) -> Layout:
    """Find classes and splits below `root`: a table of labels, split folders, or class folders.

    table: the name of a CSV file in `root` that is to be used, whatever else there is. read: what reads a table, which there
    must be then; one of classes, which there may be, if not given. outside: see `open_folder`.
    Raises DataError with one sentence if there are no images, or none that has a class.
    """
    if is_run(root):
        raise DataError(
            f"{root} is a run, which Striate wrote, and holds no images to learn from; give the folder of the images"
        )
    tree = grow(root)
    if not tree.images and not tree.tables:
        raise DataError(_nothing(root, tree))
    base = descend(tree.images)
    required = table is not None or read is not None or not has_classes(tree, base)
    from_table = by_table(
        root, tree, base, table=table, required=required and bool(tree.images), read=read or read_labels,
        outside=outside,
    )  # fmt: skip
    if read is not None and tree.images and not isinstance(from_table, Layout):
        raise DataError(
            f"{root} holds no table; give a CSV with a line an image, its file and what is to be learned"
        )
    layout = from_table if isinstance(from_table, Layout) else None
    if layout is None:
        if not tree.images:
            raise DataError(_nothing(root, tree))
        layout = by_folder(root, tree, base)
        layout.notes += [from_table] if isinstance(from_table, str) else []
    layout.damaged += [
        Damage(path=path, reason=f"the folder cannot be listed ({reason})")
        for path, reason in tree.closed.items()
    ]
    tree.rest = [parts for parts in tree.rest if parts not in layout.tables]
    layout.left_out = tree.left_out("other")
    if tree.unsupported:
        layout.outside += ["/".join(p) for p in tree.unsupported]
        kinds = sorted({p[-1].rsplit(".", 1)[-1].lower() for p in tree.unsupported})
        number = len(tree.unsupported)
        layout.notes.append(f"{number} {'/'.join(kinds)} files are not read; save them as PNG")
    return layout


def _nothing(root: Path, tree: Tree) -> str:
    formats = "PNG, JPEG, WebP, BMP or TIFF"
    files = tree.others.copy()
    files.update("." + p[-1].rsplit(".", 1)[-1].lower() for p in tree.unsupported)
    files.update(".csv" for _ in tree.tables)
    left = " ".join(left_out.sentence for left_out in tree.left_out() if left_out.weighty)
    if not files:
        empty = "holds no image" if left else "is empty"
        hint = f"put {formats} images there, each class in a folder of its own"
        return f"{root} {empty}; {hint}" + (f". {left.rstrip('.')}" if left else "")
    kinds = ", ".join(f"{n} {suffix}" for suffix, n in files.most_common(4))
    return (
        f"{root} holds no image ({formats}) but {files.total()} other files ({kinds}); "
        "give the folder that holds the images"
    )


def _split(
    root: Path, records: Sequence[Record], keys: Sequence[str], encoded: Encoded, at: np.ndarray
) -> FileSplit:
    mine = [records[i] for i in at]
    if encoded.targets is None:
        made: Callable[..., FileSplit] = FileSplit
        labels = encoded.labels
    else:
        made = partial(TargetSplit, targets=encoded.targets[at])
        assert encoded.strata is not None, "targets come with strata"
        labels = encoded.strata
    return made(
        root=root,
        labels=labels[at],
        keys=tuple(keys[i] for i in at),
        sizes=np.array([(r.height, r.width) for r in mine], dtype=np.int64).reshape(-1, 2),
        channels=np.array([r.channels for r in mine], dtype=np.int8),
        low=np.array([r.low for r in mine], dtype=np.float64),
        high=np.array([r.high for r in mine], dtype=np.float64),
        deep=np.array([r.deep for r in mine], dtype=bool),
        formats=np.array([r.format for r in mine], dtype="<U5"),
        **depths_of(mine),
    )


def _drawn(given: np.ndarray, plan: Arrangement) -> Iterator[str]:
    """What was set aside where the source has splits, but not this one."""
    if (given == FREE).all():
        return
    for name, share in (("validation", plan.val), ("test", plan.test)):
        if share > 0:
            yield f"{share:.0%} of the training images are set aside for {name}; none were given"


def shows_photographs(split: Split) -> bool:
    """Whether most images are colour pictures, larger than 64 pixels, without flat areas."""
    large = (split.sizes.min(axis=1) > PHOTOGRAPH) & (split.channels == 3) & ~split.deep
    if len(split) == 0 or large.mean() < 0.5:
        return False
    at = np.flatnonzero(large)
    at = at[drawn(len(at), SAMPLE)]
    small = Preprocessing(channels=3, height=128, width=128)
    natural = ordered(lambda i: _natural(split.preprocess(int(i), small)), at)
    return float(np.mean(list(natural))) > 0.5


def _natural(image: np.ndarray) -> bool:
    colourful = np.ptp(image.astype(np.int16), axis=0).mean() > 3
    flat = (image[:, :, 1:] == image[:, :, :-1]).all(axis=0).mean()
    return bool(colourful and flat < 0.7)


def _whole_reason(root: Path, damage: Damage) -> str:
    """Why a file cannot be used, with what to do about it."""
    try:
        decode(root / damage.path)
    except DataError as error:
        return str(error)
    except OSError:
        pass
    return damage.reason
