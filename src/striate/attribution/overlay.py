"""Overlay: a map as colour over the photograph that it explains, and the scale of that colour."""

from __future__ import annotations

import numpy as np
from torch import Tensor

# Orange and yellow of Okabe and Ito. The photograph is grey and darker than both, so that colour, lightness and what a
# colour-blind eye has of them all rise with the map, whatever lies beneath.
LOW, HIGH = np.array([0xE6, 0x9F, 0x00]) / 255, np.array([0xF0, 0xE4, 0x42]) / 255
DIM = 0.55  # lightness of the photograph's white
MOST = 0.9  # opacity of the strongest evidence: the photograph stays visible below it
LUMA = np.array([0.299, 0.587, 0.114])  # BT.601


def dimmed(image: Tensor) -> np.ndarray:
    """The photograph beneath: an image (C, H, W) in [0, 1] in grey, its white at 0.55: (H, W)."""
    pixels = image.double().numpy()
    grey = np.tensordot(LUMA, pixels[:3], 1) if len(pixels) >= 3 else pixels[0]
    return DIM * np.clip(grey, 0, 1)


def over(grey: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Colour over grey (H, W), both in [0, 1]: (H, W, 3). Strength 0 leaves the grey; 1 is yellow at 90 %."""
    v = np.clip(strength, 0, 1)[..., None]
    return (1 - MOST * v) * grey[..., None] + MOST * v * (LOW + (HIGH - LOW) * v)


def over_scale(steps: int = 256) -> np.ndarray:
    """The scale bar, weakest first: the colours over black above and over the photograph's white below, (2, steps, 3)."""
    strength = np.broadcast_to(np.linspace(0, 1, steps), (2, steps))
    return over(np.array([[0.0], [DIM]]), strength)
