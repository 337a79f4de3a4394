"""Profiles: what a file states of its colours (ICC profile, gamma). It is named, and the numbers are read as they are.

Networks are trained on stored numbers, and so are the peers' published weights: converting would change every published
result. Where some images state another profile than others, the difference is one of colour, which `striate data` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SRGB_GAMMA, NEAR = 1 / 2.2, 0.02
KNOWN = (
    "Display P3", "Adobe RGB (1998)", "ProPhoto RGB", "ROMM RGB", "Rec. 2020", "Rec2020", "eciRGB", "Apple RGB",
    "Gray Gamma 2.2", "Dot Gain 20%", "Dot Gain 15%", "Linear",
)  # fmt: skip


def profile_of(info: Mapping[str, Any]) -> str:
    """The colours that a file states other than sRGB, by the facts that Pillow found in it; "" for sRGB or nothing."""
    icc = info.get("icc_profile")
    if isinstance(icc, bytes) and icc:
        return icc_name(icc)
    gamma = info.get("gamma")
    if "srgb" in info or not isinstance(gamma, int | float) or gamma <= 0:
        return ""
    return f"gamma {1 / gamma:.2g}" if abs(gamma - SRGB_GAMMA) > NEAR else ""


def icc_name(icc: bytes) -> str:
    """What an ICC profile calls itself, if that is not sRGB or the usual greys of the same curve: "" for these."""
    text = icc[:20_000].replace(b"\0", b"").decode("latin-1")
    if "sRGB" in text or "Gray Gamma 2.2" in text:
        return ""
    return next((name for name in KNOWN if name in text), "an ICC profile")
