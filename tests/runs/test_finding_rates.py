"""--find-rate: the rate that the range test suggests is the one trained with, and the run can be made again from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from striate import train
from striate.errors import UsageError

QUICK = {"epochs": 3, "limit": 300, "model": "[conv8-relu]-pool-fc", "optimizer": "sgd"}


def test_the_suggested_rate_is_trained_with_and_gives_the_same_run_when_set(tmp_path: Path) -> None:
    found = train("digits", out=tmp_path / "found", find_rate=True, **QUICK)
    peak = found.recipe.lr
    assert peak == next(f for f in found.findings() if f.name == "diagnose-rates").data["peak"]
    given = train("digits", out=tmp_path / "given", lr=peak, **QUICK)
    assert given.info["model_sha256"] == found.info["model_sha256"]
    with pytest.raises(UsageError, match=r"lr=0\.1 is given"):
        train("digits", out=tmp_path / "both", find_rate=True, **{**QUICK, "lr": 0.1})
