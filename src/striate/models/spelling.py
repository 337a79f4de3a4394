"""How a spec spells an architecture with its options: `vit(patch_size=8, depth=6)`, and the papers' own names of sizes.

vit-s/16, vit-s16      ViT-Ti, -S, -B, -L and -H of Touvron et al. (2021) and Dosovitskiy et al. (2021), patch 16
cct-7/3x1              CCT of 7 layers, one convolution of 3 x 3 (Hassani et al. 2021, its code's heads and widths)
patch-mlp-s/16         Mixer-S, -B and -L (Tolstikhin et al. 2021, table 1)
"""

from __future__ import annotations

import ast
import re
from typing import Any

from striate.errors import UsageError
from striate.wording import short

WRITTEN = re.compile(r"\s*([A-Za-z][\w/-]*)\s*\((.*)\)\s*", re.DOTALL)
OPTION = re.compile(r"\s*(\w+)\s*=\s*(.+?)\s*", re.DOTALL)
COMMA = re.compile(r",(?![^(]*\))")  # none inside the brackets of a value such as (24, 24, 24)
WORDS = {"true": True, "false": False}
LONGEST = 5_000  # characters of a spec

# letter: width, depth, heads
VIT = {"ti": (192, 12, 3), "s": (384, 12, 6), "b": (768, 12, 12), "l": (1024, 24, 16), "h": (1280, 32, 16)}  # fmt: skip
# letter: width, depth, widths of the perceptrons across tokens and across channels
MIXER = {"s": (512, 8, 256, 2048), "b": (768, 12, 384, 3072), "l": (1024, 24, 512, 4096)}
# depth: width, heads, width of the perceptrons over that of the tokens
CCT = {2: (128, 2, 1), 4: (128, 2, 1), 6: (256, 4, 2), 7: (256, 4, 2), 14: (384, 6, 3)}
SIZED = (
    (re.compile(r"vit-([a-z]+)[/-]?(\d{1,6})"), "vit"),
    (re.compile(r"cct-(\d{1,6})[/-](\d{1,6})x(\d{1,6})"), "cct"),
    (re.compile(r"(?:patch-mlp|mixer)-([a-z]+)[/-]?(\d{1,6})"), "patch-mlp"),
)


def spelled(spec: str) -> tuple[str, dict[str, Any]]:
    """The name of the architecture and the options that a spec spells; a spec without any is the name, as it stands.

    Raises UsageError for options that are no `name=value`, one given twice, a size that no paper has, and a spec that is too
    long to be one.
    """
    if len(spec) > LONGEST:
        raise UsageError(
            f"a model is named by at most {LONGEST:,} characters, got {len(spec):,}: {short(spec, 40)}"
        )
    written = WRITTEN.fullmatch(spec)
    name, text = (written[1], written[2]) if written else (spec, "")
    base, options = _sized(name)
    if written is None:
        return base, options
    given: dict[str, Any] = {}
    for part in COMMA.split(text) if text.strip() else ():
        match = OPTION.fullmatch(part)
        if match is None:
            raise UsageError(
                f"{spec}: {part.strip()!r} is no option; write name=value, as in vit(patch_size=8, depth=6)"
            )
        if match[1] in given:
            raise UsageError(f"{spec}: {match[1]} is given twice; leave one out")
        given[match[1]] = _value(match[2])
    return base, {**options, **given}


def architecture(spec: str | None) -> str | None:
    """The architecture's name alone: "vit" of `vit(depth=6)` and of `vit-s16`; other specs as they stand."""
    if spec is None:
        return None
    try:
        return spelled(spec)[0]
    except UsageError:
        return spec


def _sized(name: str) -> tuple[str, dict[str, Any]]:
    plain = name.strip().lower().replace("_", "-")
    for pattern, base in SIZED:
        match = pattern.fullmatch(plain)
        if match is None:
            continue
        sizes: Any = {"vit": VIT, "cct": CCT, "patch-mlp": MIXER}[base]
        key: Any = int(match[1]) if base == "cct" else match[1]
        if key not in sizes:
            known = ", ".join(f"{base}-{k}" for k in sizes)
            raise UsageError(
                f"{name} is no size of {base}; there are {known}, or spell it: {base}(depth=6)"
            )
        numbers = [int(n) for n in match.groups()[1:]]
        if base == "cct":
            return base, _cct(key, *numbers)
        return base, (_vit if base == "vit" else _mixer)(key, *numbers)
    return name, {}


def _vit(letter: str, patch: int) -> dict[str, Any]:
    width, depth, heads = VIT[letter]
    return {
        "patch_size": patch,
        "width": width,
        "depth": depth,
        "heads": heads,
        "mlp_width": 4 * width,
    }


def _mixer(letter: str, patch: int) -> dict[str, Any]:
    names = ("width", "depth", "token_mlp", "mlp_width")
    return {"patch_size": patch, **dict(zip(names, MIXER[letter], strict=True))}


def _cct(depth: int, kernel: int, convolutions: int) -> dict[str, Any]:
    width, heads, ratio = CCT[depth]
    return {
        "depth": depth,
        "kernel": kernel,
        "convolutions": convolutions,
        "width": width,
        "heads": heads,
        "mlp_width": ratio * width,
    }


def _value(text: str) -> Any:
    """A number, true, false, None, a list of numbers in brackets, or the word itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
