"""The check before training: what in images of identities would spoil a result."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.data import Source
from striate.data.checks import checked
from striate.data.deep_remarks import deep_remarks
from striate.data.problems import (
    FEW_TESTED,
    Remark,
    find_in_files,
    like_names,
    names,
    remark_on,
    several_names,
)
from striate.data.source import refuse_empty
from striate.errors import DataError
from striate.findings import Finding
from striate.tasks.embed.data import LEAST, trained_on
from striate.wording import counted, percent

FEW_HELD = (
    20  # identities of the test; below, one that is hard moves the result by 5 points and more
)
LOOK_ALIKE = 10  # training identities, below which what distinguishes others is hardly learned
IDENTITY = ("identity", "identities")


def check_identities(source: Source) -> Finding:
    """Look for what would spoil a training or its measurement: identities with one image, one image under two names, few
    identities held out, and damage.

    Raises DataError where training cannot start at all: without images, or with fewer than two identities to train on.
    """
    if not len(source.train) and 0 < len(source.classes) < 2 * LEAST:
        raise DataError(
            f"{source.where} has {counted(len(source.classes), *IDENTITY)}; at least {2 * LEAST} are needed, {LEAST} to "
            f"train on and {LEAST} to test with: add identities, each in a folder of its own"
        )
    refuse_empty(source)
    n = trained_on(source)
    if n < LEAST:
        raise DataError(
            f"{source.name} has {counted(n, *IDENTITY)} to train on, and at least {LEAST} are needed to be told apart; add "
            "identities, each in a folder of its own"
        )
    total = f"{len(source):,} images of {counted(len(source.classes), *IDENTITY)}"
    in_files = [r for r in find_in_files(source) if r.kind not in ("conflicting labels", "empty class")]  # fmt: skip
    found = [*_identities(source), *in_files, *deep_remarks(source.splits)]
    return checked(source, found, total)


def _identities(source: Source) -> Iterator[Remark]:
    counts = source.counts()
    yield from _two_names(source)
    yield from like_names(source.classes)
    single = np.flatnonzero(counts.sum(1) == 1)
    if len(single):
        held = int((counts[single, 1:].sum(1) > 0).sum())
        where = tuple(source.classes[i] for i in single)
        rest = f", {held:,} of them held out, where such an image has nothing to be found" if held else ""  # fmt: skip
        yield Remark(
            kind="one image",
            status="warning",
            sentence=f"{counted(len(single), 'identity has', 'identities have')} one image, which makes no pair of the same "
            f"identity{rest}: {names(where)}.",
            advice="Add a second image of each, or leave them out: they count as strangers only.",
            where=where,
            count=len(single),
        )  # fmt: skip
    yield from remark_on(
        source.empty,
        "empty identity",
        "warning",
        "folder has no usable image and no identity",
        "folders have no usable image and no identity",
        "Fill the folder or delete it.",
    )
    trained = int((counts[:, 0] > 0).sum())
    if trained < LOOK_ALIKE:
        yield Remark(
            kind="few identities",
            status="warning",
            sentence=f"{counted(trained, *IDENTITY)} to train on: what tells these apart may be nothing that tells others "
            "apart.",
            advice="Add identities rather than images of these, or start from pretrained weights.",
            count=trained,
        )
    name, column = ("test", 2) if len(source.test) else ("val", 1)
    held_out = int((counts[:, column] > 0).sum())
    if not held_out:
        yield Remark(
            kind="nothing held out",
            status="warning",
            sentence="No identity is held out, so that nothing will be known of those never seen.",
            advice="Add identities, or give test a share greater than 0.",
        )
    elif not (counts[:, column] > 1).any():
        yield Remark(
            kind="no pair held out",
            status="problem",
            sentence=f"No identity of {name} has two images, so that there is nothing to be found among them: no result can "
            "be measured.",
            advice="Give two images or more of each identity that is held out.",
            count=held_out,
        )  # fmt: skip
    elif held_out < FEW_HELD:
        images = counts[counts[:, column] > 0, column]
        yield Remark(
            kind="few held out",
            status="warning" if held_out < LEAST else "note",
            sentence=f"{counted(held_out, *IDENTITY)} of {name} ({span(images)} each): a "
            f"result on so few says little of others; one of them is {percent(1 / held_out)} of what is measured.",
            advice="Read the intervals over identities, not the numbers alone.",
            count=held_out,
        )  # fmt: skip
    elif 0 < len(source.test) < FEW_TESTED:
        yield Remark(
            kind="few test images",
            status="note",
            sentence=f"{counted(len(source.test), 'test image')}: the share that is found is uncertain by up to "
            f"{100 * 0.98 / np.sqrt(len(source.test)):.0f} points either way.",
            advice="Read the intervals, not the numbers alone.",
            count=len(source.test),
        )


def span(counts: np.ndarray) -> str:
    """`16 images`, or `3 to 40 images`, of counts (K,)."""
    least, most = int(counts.min()), int(counts.max())
    return counted(most, "image") if least == most else f"{least:,} to {most:,} images"


def _two_names(source: Source) -> Iterator[Remark]:
    """Images that stand under the names of two identities: at least one of the names is wrong."""
    conflicting = [d for d in source.duplicates if d.conflicting]
    if not conflicting:
        return
    n = len(conflicting)
    yield Remark(
        kind="two names",
        status="problem",
        sentence=f"{counted(n, 'image stands', 'images stand')} under the names of two identities or more "
        f"({several_names(conflicting)}).",
        advice="Decide for one name and delete the other copies, or give both folders one name: the two are perhaps one.",
        where=tuple(key for d in conflicting for key in d.keys),
        count=n,
    )
