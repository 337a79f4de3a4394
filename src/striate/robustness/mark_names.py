"""Names for marks: the colour, the kind of content and the place, in words."""

from __future__ import annotations

import numpy as np

from striate.robustness.marks import HIDES, Mark

COLOURS = {
    "black": (0, 0, 0), "white": (1, 1, 1), "grey": (0.5, 0.5, 0.5), "red": (1, 0, 0), "green": (0, 1, 0),
    "blue": (0, 0, 1), "yellow": (1, 1, 0), "cyan": (0, 1, 1), "magenta": (1, 0, 1), "orange": (1, 0.5, 0),
}  # fmt: skip


def colour_name(colour: np.ndarray) -> str:
    """The name nearest to a colour (C,) in [0, 1]."""
    full = np.broadcast_to(colour, (3,)) if len(colour) != 3 else colour
    names = COLOURS if np.ptp(full) > 0.12 else {n: COLOURS[n] for n in ("black", "white", "grey")}
    return min(names, key=lambda n: float(np.abs(np.array(names[n]) - full).sum()))


def place_name(mark: Mark) -> str:
    """Where a mark is, such as "top right, 3 x 3 pixels at (2, 27)": rows by columns, the first row and column."""
    top, left, height, width = mark.box
    h, w = mark.mask.shape
    size = f"{height} x {width} pixels at ({top}, {left})"
    if height >= 0.8 * h and width >= 0.8 * w:
        for dim, sides in ((1, "top and bottom"), (0, "left and right")):
            lines = mark.mask.float().mean(dim)  # shares of rows, or of columns
            if float(((lines < 0.1) | (lines > 0.9)).float().mean()) > 0.9:
                return f"along the {sides} edges, {size}"
        return f"along the border, {size}"
    if width >= 0.8 * w or height >= 0.8 * h:
        middle = (top + height / 2) / h if width >= 0.8 * w else (left + width / 2) / w
        side = ("top", "bottom") if width >= 0.8 * w else ("left", "right")
        at = f"along the {side[0]} edge" if middle < 1 / 3 else f"along the {side[1]} edge"
        return f"{at if not 1 / 3 <= middle < 2 / 3 else 'across the middle'}, {size}"
    row, column = (top + height / 2) / h, (left + width / 2) / w
    vertical = "top" if row < 1 / 3 else "bottom" if row >= 2 / 3 else ""
    across = "left" if column < 1 / 3 else "right" if column >= 2 / 3 else ""
    return f"{' '.join(p for p in (vertical, across) if p) or 'in the middle'}, {size}"


def content_name(mark: Mark) -> str:
    """What stands there: "a red mark", "a black and white pattern", "a changing grey patch", "a tint lighter by 18 %"."""
    own = mark.bearers[:, :, mark.mask].numpy()  # (N, C, P)
    rest = mark.others[:, :, mark.mask].numpy()
    mean, others = own.mean(0), float(rest.std(0).mean())
    if mark.varies < HIDES:
        if float(mean.mean(0).std()) < 0.1:
            return f"a {colour_name(mean.mean(1))} mark"
        middle = mean.mean(0) > mean.mean()
        dark, light = (colour_name(mean[:, part].mean(1)) for part in (~middle, middle))
        return f"a {dark} and {light} pattern" if dark != light else f"a {dark} pattern"
    change = mean - rest.mean(0)
    shift = change.mean(1)
    if mark.varies > 1.1 * others and float(np.abs(shift).max()) < 0.5:
        return f"a {colour_name(mean.mean(1))} patch that changes from image to image (noise or writing)"
    kind = "pattern" if float(change.mean(0).std()) > abs(float(shift.mean())) else "tint"
    tone = ""
    if len(shift) == 3 and np.ptp(shift) > 0.05:
        bright = shift - shift.min()
        tone = f" (towards {colour_name(bright / bright.max())})"
    word = "lighter" if shift.mean() > 0 else "darker"
    return f"a {kind} {word} by {abs(100 * float(shift.mean())):.0f} %{tone}"
