"""Licences of published face weights, named where such weights are loaded: the code is free, and often they are not.

What a file is, is told by names of its tensors, which its maker's code gives them, or by its own name. Facts and where they
stand, as of 2026:

- InsightFace: "The pretrained models we provided with this library are available for non-commercial research purposes only",
  https://github.com/deepinsight/insightface/tree/master/python-package; its issue 1877.
- facenet-pytorch: MIT for the code; nothing is said of the weights, https://github.com/timesler/facenet-pytorch, issue 239.
- AdaFace: MIT for the code; none is stated for the weights, https://github.com/mk-minchul/AdaFace, issue 174; the author's
  later model cards ask to "follow the license of the training dataset", https://github.com/mk-minchul/CVLface.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights that are known: whose, what is known of their licence, and how a file of them is told.

    holds: names of tensors -> whether they are these. named: parts of file names.
    """

    maker: str
    licence: str
    holds: Callable[[Collection[str]], bool]
    named: tuple[str, ...]


KNOWN = (
    Weights(
        maker="facenet-pytorch",
        licence="its authors state no licence for them (the code is under MIT), and they were trained on VGGFace2 or "
        "CASIA-WebFace, which have terms of their own",
        holds=lambda names: {"conv2d_1a.conv.weight", "last_bn.weight"} <= set(names),
        named=("-vggface2.pt", "-casia-webface.pt"),
    ),
    Weights(
        maker="AdaFace, or another of its architecture",
        licence="no licence is stated for AdaFace's (the code is under MIT); its author asks to follow that of the training "
        "data",
        holds=lambda names: any(".shortcut_layer." in name for name in names),
        named=("adaface",),
    ),
    Weights(
        maker="InsightFace",
        licence="its authors give them for non-commercial research only (the code is under MIT)",
        holds=lambda names: {"prelu.weight", "features.weight", "layer1.0.prelu.weight"} <= set(names),
        named=("w600k_r50", "w600k_mbf", "glint360k", "ms1mv2", "ms1mv3", "buffalo_", "antelopev2"),
    ),
)  # fmt: skip


def licence_of(file: str, names: Collection[str]) -> str | None:
    """What is known of the licence of a file of weights, in a sentence, or None. names: of its tensors."""
    for known in KNOWN:
        if known.holds(names) or any(part in file.casefold() for part in known.named):
            return f"{file} looks like face weights of {known.maker}: {known.licence}; ask before using them for more"
    return None
