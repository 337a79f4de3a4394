"""The recipe is shown whole, flattened, as a person writes it."""

from __future__ import annotations

import json
from pathlib import Path

from striate.runs.provenance import recipe


def test_every_setting_is_listed_once() -> None:
    finding = recipe(
        {
            "data": Path("cats"),
            "seed": 3,
            "flip": True,
            "size": (64, 64),
            "schedule": {"kind": "cosine", "warmup": 0.1},
        },
        {"torch": "2.9.0"},
        facts={"device": "cpu"},
    )
    assert finding.tables[0].rows == (
        ("data", "cats"),
        ("seed", 3),
        ("flip", "yes"),
        ("size", "64, 64"),
        ("schedule.kind", "cosine"),
        ("schedule.warmup", 0.1),
    )
    assert [t.rows for t in finding.tables[1:]] == [(("device", "cpu"),), (("torch", "2.9.0"),)]
    assert finding.verdict.startswith("6 settings and seed 3 decide this training")
    assert finding.seed == 3
    assert json.loads(json.dumps(finding.to_dict()))["data"]["recipe"]["flip"] is True


def test_a_recipe_alone_has_one_table() -> None:
    assert len(recipe({"model": "lenet5"}, {}).tables) == 1
