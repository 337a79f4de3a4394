"""Pictures shrink from the heaviest on, and only as far as they must."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from striate.errors import DataError
from striate.findings import Figure
from striate.report.raster import size_of
from striate.report.sections import picture as shown
from striate.report.weight import leave_out, lighten


def picture(width: int, height: int, mode: str = "RGB") -> Figure:
    channels = len(mode)
    pixels = np.random.default_rng(width).integers(
        0, 256, size=(height, width, channels), dtype=np.uint8
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return Figure(content=buffer.getvalue(), media="image/png", caption="c", alt="a")


def size(figure: Figure) -> tuple[int, int]:
    with Image.open(io.BytesIO(figure.content)) as image:
        return image.size


SVG = Figure(content=b"<svg/>" * 1000, media="image/svg+xml", caption="", alt="")


def test_nothing_changes_when_nothing_is_in_excess() -> None:
    figures = [picture(50, 50), SVG]
    assert lighten(figures, 0) == figures
    assert leave_out(figures, 0) == figures


def test_what_is_behind_a_switch_goes_before_anything_gets_smaller() -> None:
    both = replace(picture(60, 60), bare=picture(61, 60).content)
    out = lighten([both, picture(300, 300)], 100)
    assert out == [replace(both, bare=b""), picture(300, 300)]


def test_the_heaviest_becomes_webp_first_and_charts_stay() -> None:
    small, large = picture(50, 50), picture(300, 300)
    out = lighten([small, SVG, large], 1000)
    assert out[:2] == [small, SVG]
    assert (out[2].media, size(out[2]), out[2].caption, out[2].alt) == (
        "image/webp",
        (300, 300),
        "c",
        "a",
    )


def test_then_sizes_are_halved_but_never_below_what_can_be_seen() -> None:
    out = lighten([picture(800, 400)], 10**9)
    assert size(out[0]) == (100, 50)


def test_transparency_survives() -> None:
    out = lighten([picture(64, 64, "RGBA")], 10**9)
    with Image.open(io.BytesIO(out[0].content)) as image:
        assert image.mode == "RGBA"


def test_leaving_out_takes_the_heaviest_until_it_is_enough() -> None:
    small, large = picture(50, 50), picture(300, 300)
    assert [bool(f.content) for f in leave_out([small, large, SVG], 1)] == [True, False, True]
    assert [bool(f.content) for f in leave_out([small, large, SVG], 10**9)] == [False] * 3


def bomb() -> Figure:
    """A sound PNG whose header says 20,000 x 20,000 pixels."""
    png = bytearray(picture(4, 4).content)
    png[16:24] = struct.pack(">II", 20_000, 20_000)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    return Figure(content=bytes(png), media="image/png", caption="", alt="")


@pytest.mark.parametrize(
    "content", [b"x", b"\x89PNG\r\n\x1a\n cut", bomb().content], ids=["no-picture", "cut", "bomb"]
)
def test_a_picture_that_cannot_be_decoded_stays_and_the_others_shrink(content: bytes) -> None:
    bad = replace(bomb(), content=content)
    out = lighten([bad, picture(300, 300)], 10**9)
    assert out[0] == bad and size(out[1]) == (150, 150)
    with pytest.raises(DataError, match="picture"):
        size_of(content)
    assert "cannot be shown" in shown(bad, "p", "findings/x-1.png").html
