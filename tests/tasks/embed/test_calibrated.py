"""A training's threshold, and a gallery's, keep their word on identities that neither ever saw.

Each seed generates identities of its own, trains a network on some, and asks hundreds of others. `python test_calibrated.py
0 20` is the long form, of 20 seeds, whose figures docs/embed.md has.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import striate
from striate import api
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.glyphs import card, glyph_image
from striate.tasks.embedding import Embedder

FRESH = 10_000  # the first identity that no training has
STRANGERS = 50_000


class Kept(NamedTuple):
    """Of one seed: the asked rate, its interval over identities and the rate of others; and the same of the gallery."""

    asked: float
    low: float
    high: float
    realised: float
    true_accepts: float
    known_asked: float
    known_low: float
    known_high: float
    known_realised: float


def pictures(seed: int, identities: range, each: int) -> list[np.ndarray]:
    """`each` images (64, 64, 3) of each generated identity, in order."""
    made = []
    for identity in identities:
        drawn = card(seed, identity)
        made += [glyph_image(seed, identity, k, drawn=drawn) for k in range(each)]
    return made


def kept(
    seed: int, folder: Path, *, size: int, epochs: int, count: int, fresh: int, enrolled: int, far: float
) -> Kept:  # fmt: skip
    """Train on generated identities of a seed, and measure both thresholds on `fresh` others."""
    run = striate.train(
        "glyphs", count=count, seed=seed, size=size, epochs=epochs, val=0.3, test=0.05, device="cpu", workers=0,
        out=folder / f"run-{seed}",
    )  # fmt: skip
    chosen = run.trained.calibration
    embedder = Embedder(run.trained)
    seen = [run.trained.preprocessing.apply(x) for x in pictures(seed, range(FRESH, FRESH + fresh), 2)]  # fmt: skip
    vectors, faults = embedder(torch.from_numpy(np.stack(seen)))
    assert not faults
    whole = Embedded.of(vectors, np.arange(len(vectors)) // 2)
    # Counted by plain arithmetic, in blocks of its own.
    scores = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    first, second = np.triu_indices(len(vectors), 1)
    accepted = scores[first, second] >= chosen["threshold"]
    own = first // 2 == second // 2
    assert whole.impostor_pairs == (~own).sum()
    place = folder / f"people-{seed}"
    for i, picture in enumerate(pictures(seed, range(FRESH, FRESH + enrolled), 2)):
        (place / f"n{i // 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"n{i // 2}" / f"{i % 2}.png")
    gallery = folder / f"gallery-{seed}"
    document: Any = api.gallery_enrol(gallery, run, place, far=far).data["threshold"]["identify"]
    others = pictures(seed, range(STRANGERS, STRANGERS + fresh), 1)
    answers = list(api.gallery_identify(gallery, others, network=run))
    return Kept(
        chosen["rate"], chosen["low"], chosen["high"], float(accepted[~own].mean()), float(accepted[own].mean()),
        far, document["low"], document["high"], float(np.mean([one.name is not None for one in answers])),
    )  # fmt: skip


def test_error_rates_hold_of_identities_that_no_training_saw(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("striate.runs.training.evaluate_run", lambda *given, **more: None)
    monkeypatch.setattr("striate.runs.training.report_run", lambda *given: None)
    found = kept(1, tmp_path, size=16, epochs=3, count=480, fresh=100, enrolled=40, far=0.1)
    assert found.low <= found.realised <= found.high
    assert found.true_accepts > 2 * found.realised  # it is a network that knows something
    assert found.known_low <= found.known_realised <= found.known_high
    assert found.high < 0.05 and found.known_high < 0.5


if __name__ == "__main__":
    from striate.runs import training

    training.evaluate_run = training.report_run = lambda *given, **more: None  # type: ignore[assignment]
    rows = []
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        with tempfile.TemporaryDirectory(prefix="striate-calibrated-") as place:
            rows.append(
                kept(number, Path(place), size=24, epochs=6, count=960, fresh=400, enrolled=100, far=0.05)
            )  # fmt: skip
        print(number, " ".join(f"{value:.4f}" for value in rows[-1]), flush=True)
    table = np.array(rows)
    held = (table[:, 1] <= table[:, 3]) & (table[:, 3] <= table[:, 2])
    known = (table[:, 6] <= table[:, 8]) & (table[:, 8] <= table[:, 7])
    print(
        f"pairs: asked {table[:, 0].mean():.4f}, of others {table[:, 3].mean():.4f}, held {held.sum()} of {len(rows)}"
    )
    print(f"true accepts of others {table[:, 4].mean():.3f}")
    print(
        f"strangers: asked {table[:, 5].mean():.3f}, named {table[:, 8].mean():.4f}, held {known.sum()} of {len(rows)}"
    )
