"""Sources whose images lie in one array."""

from __future__ import annotations

import numpy as np

from striate.data.arrangement import FREE, arrange
from striate.data.records import digest
from striate.data.source import SPLITS, ArraySplit, Source
from striate.data.splitting import TEST, TRAIN, VAL


def open_array(
    images: np.ndarray,
    labels: np.ndarray,
    *,
    name: str,
    classes: tuple[str, ...],
    where: str,
    seed: int = 0,
    val: float | None = None,
    test: float | None = None,
    given: np.ndarray | None = None,
    horizontal_flip: bool | None = None,
) -> Source:
    """Split images (N, H, W, C) uint8 with labels (N,); `given` as in `arrange`.

    Keys are "NAME/0", "NAME/1", ...; where the source itself has splits, "NAME/train/0" and so on.
    """
    images = np.ascontiguousarray(images)
    n = len(images)
    flat = images.reshape(n, -1)
    contents = [digest(row) for row in flat]
    if given is None:
        keys = [f"{name}/{i}" for i in range(n)]
    else:
        seen = dict.fromkeys((*range(len(SPLITS)), FREE), 0)
        keys = []
        for g in given.tolist():
            keys.append(f"{name}/{SPLITS[g] if g != FREE else 'free'}/{seen[g]}")
            seen[g] += 1
    plan = arrange(
        contents,
        labels,
        keys=keys,
        classes=classes,
        seed=seed,
        val=val,
        test=test,
        given=given,
    )
    blank = np.flatnonzero(flat.min(axis=1) == flat.max(axis=1))
    parts = []
    for code in range(len(SPLITS)):
        at = np.flatnonzero(plan.part == code)
        parts.append(ArraySplit.of(images[at], labels[at], [keys[i] for i in at]))
    return Source(
        name=name,
        classes=classes,
        where=where,
        fingerprint=plan.fingerprint,
        duplicates=plan.duplicates,
        blank=tuple(keys[i] for i in blank),
        photographs=False,
        horizontal_flip=horizontal_flip,
        train=parts[TRAIN],
        val=parts[VAL],
        test=parts[TEST],
    )
