"""What `tile` leaves behind where a result is withheld."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from striate.errors import ExactnessError, StriateError
from striate.tasks.tiling import saved_report


def test_a_withheld_result_leaves_its_report_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "map-difference.json"
    report = {"largest difference": 0.5, "at": [3, 4]}
    said = r"withheld; the report is .*map-difference.json"
    with pytest.raises(ExactnessError, match=said) as raised, saved_report(path):
        raise ExactnessError("withheld", report)
    assert json.loads(path.read_text(encoding="utf-8")) == report == raised.value.report
    assert isinstance(raised.value, StriateError)  # told in a line, not as a traceback


def test_other_failures_and_results_leave_no_report(tmp_path: Path) -> None:
    path = tmp_path / "map-difference.json"
    with pytest.raises(ValueError, match="else"), saved_report(path):
        raise ValueError("something else")
    with saved_report(path):
        pass
    assert not path.exists()
