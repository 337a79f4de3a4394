"""Which scale, margin and sampling tell apart identities that were never seen: one setting after another.

    PYTHONPATH=src python benchmarks/embed_defaults.py [--seeds 3] [--epochs 6] [--only scale margin]

Each seed generates identities of its own, trains on most of them as `striate train glyphs` does, and measures `--fresh`
others with four images each: recall at 1, the equal error rate, and true accepts at 1 % of false ones, as means over the
seeds with their standard error. All settings of a seed see the same images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "scale": [{"logit_scale": s} for s in (8.0, 16.0, 32.0)],
    "margin": [{"margin": m} for m in (0.1, 0.3, 0.5)],
    "loss": [{"loss": name} for name in ("softmax", "cosface", "triplet", "supcon")],
    "sampling": [{"sampling": "balanced", "each": k} for k in (2, 4, 8)],
}
FRESH, EACH = 100_000, 4


def measured(
    settings: dict[str, Any], seed: int, others: list[np.ndarray], a: Any
) -> tuple[float, float, float]:
    """Recall at 1, equal error rate, true accepts at 1 % of a training with these settings. others: images (H, W, 3)."""
    import striate
    from striate.tasks.embed.evaluation.curve import curve_of
    from striate.tasks.embed.evaluation.embedded import Embedded
    from striate.tasks.embed.evaluation.retrieval import retrieve
    from striate.tasks.embedding import Embedder

    with tempfile.TemporaryDirectory(prefix="striate-defaults-") as folder:
        run = striate.train(
            "glyphs", count=a.count, seed=seed, size=a.size, epochs=a.epochs, val=0.1, test=0.05, device="cpu", workers=0,
            out=Path(folder) / "run", **settings,
        )  # fmt: skip
        preprocessing = run.trained.preprocessing
        pixels = torch.from_numpy(np.stack([preprocessing.apply(x) for x in others]))
        vectors, _ = Embedder(run.trained)(pixels)
    embedded = Embedded.of(vectors, np.arange(len(vectors)) // EACH)
    curve = curve_of(embedded)
    return retrieve(embedded).recall(1).value, curve.eer().far, curve.at_far(0.01).tar


def main() -> None:
    """Print a line a setting."""
    from striate.runs import training
    from striate.tasks.embed.glyphs import card, glyph_image

    # What follows a training, its report, says nothing here.
    training.evaluate_run = training.report_run = lambda *given, **more: None  # type: ignore[assignment]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=960)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--fresh", type=int, default=150)
    parser.add_argument("--only", nargs="*", choices=[*SETTINGS], default=[*SETTINGS])
    a = parser.parse_args()
    images = {
        seed: [
            glyph_image(seed, i, k, drawn=made)
            for i in range(FRESH, FRESH + a.fresh) for made in [card(seed, i)] for k in range(EACH)
        ]
        for seed in range(a.seeds)
    }  # fmt: skip
    print(f"{'':34}  recall at 1     equal error     true accepts at 1 %")
    for group in a.only:
        for settings in SETTINGS[group]:
            rows = np.array([measured(settings, seed, images[seed], a) for seed in range(a.seeds)])
            spread = rows.std(0, ddof=1) / np.sqrt(a.seeds) if a.seeds > 1 else np.zeros(3)
            words = ", ".join(f"{name} = {value}" for name, value in settings.items())
            cells = "   ".join(
                f"{m:.3f} ± {s:.3f}" for m, s in zip(rows.mean(0), spread, strict=True)
            )
            print(f"{words:34}  {cells}", flush=True)


if __name__ == "__main__":
    main()
