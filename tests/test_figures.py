"""Figures: what drawing them writes on a terminal."""

from __future__ import annotations

import pytest
from matplotlib.font_manager import FontProperties, findfont

from striate.figures import new_figure, render, style

BOLD = FontProperties(
    family="DejaVu Sans Display", weight="bold"
)  # comes with matplotlib, without a bold


def test_a_font_without_bold_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with style():
        figure = new_figure()
        figure.text(0.5, 0.5, "a name", fontproperties=BOLD)
        assert b"<svg" in render(figure, caption="").content
    assert caplog.messages == []


def test_outside_figures_matplotlib_logs_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    with style():
        pass
    findfont(FontProperties(family="DejaVu Sans Display", weight="heavy"))
    assert any("font weight" in message for message in caplog.messages)
