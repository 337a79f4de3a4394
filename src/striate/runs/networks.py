"""Networks of a run, a Trained or a spec, as far as their structure goes.

What opens runs is imported where one is given: a spec does without the tasks and all that they read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from striate.models import MODELS, build
from striate.models import preprocessing as preprocessing_of

if TYPE_CHECKING:
    from striate.runs.run import Run
    from striate.tasks.trained import Trained

Shape = tuple[int, int, int]


def network_of(
    target: Run | Trained | str | Path,
    shape: Shape | None = None,
    classes: int | None = None,
    *,
    check: bool = False,
) -> tuple[nn.Module, Shape]:
    """The network of a run or of a spec (without memory for its weights), and the shape (C, H, W) of its input.

    check: raise UsageError with the layer at which images of the shape get stuck.
    """
    if (
        isinstance(target, str | Path)
        and os.path.isdir(target)
        and (str(target) not in MODELS or (Path(target) / "run.toml").is_file())
    ):
        from striate.runs.run import load

        target = load(target)
    if not isinstance(target, str | Path):
        from striate.runs.run import Run
        from striate.tasks.trained import Trained

        if isinstance(target, Run | Trained):
            known = target.preprocessing
            return target.model, shape or (known.channels, known.height, known.width)
    target = str(target)
    entry = MODELS.get(target)
    if entry is not None:
        usual = (entry.channels, *entry.size)
    elif target.startswith("timm/"):
        usual = (3, *preprocessing_of(target).size)
    else:
        usual = (3, 32, 32)
    outputs = 2 if entry is not None and entry.pixels else 1000 if usual[1] > 64 else 10
    expected = shape or usual
    with torch.device("meta"):
        module = build(
            target, in_channels=expected[0], num_classes=classes or outputs, size=expected[1:], check=check
        )  # fmt: skip
    return module.eval(), expected
