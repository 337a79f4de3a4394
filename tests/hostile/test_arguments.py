"""Hostile arguments: every option of every command with values that nobody means, and the table of ranges behind them."""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import fields
from pathlib import Path

import arguments
import pytest

import striate
from striate.errors import UsageError
from striate.ranges import RANGES, Range, check_ranges
from striate.tasks.regression.settings import RegressionSettings
from striate.tasks.segment.settings import SegmentSettings
from striate.training import Recipe

TRIALS = int(os.environ.get("STRIATE_HOSTILE_TRIALS", "80"))
# Of a recipe's numbers: channels are 1 or 3.
CHOSEN = {"channels"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands need, see `make_home`."""
    home = tmp_path_factory.mktemp("hostile") / "home"
    home.mkdir()
    arguments.make_home(home)
    return home


def test_every_option_of_every_command_ends_in_a_result_or_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STRIATE_HOSTILE_TRIALS=2000 is the long form; a fault shows the command."""
    monkeypatch.setenv("HOME", str(home / "out"))
    faults = []
    for trial in itertools.islice(arguments.quick(0), TRIALS):
        outcome, fault = arguments.run(trial, home, limit=60)
        if fault is not None:
            faults.append(f"{fault}\n{outcome}")
    assert not faults, "\n".join(faults)


def test_the_trials_reach_every_option() -> None:
    known = {
        (name, p.name)
        for name, command in arguments.COMMANDS.items()
        for p in command.params
        if p.name != "help"
    }
    reached = {
        (t.arguments[0], t.option) for t in itertools.islice(arguments.trials(0), 2 * len(known))
    }
    assert known <= reached


@pytest.mark.parametrize("kind", [Recipe, SegmentSettings, RegressionSettings])
def test_every_number_of_a_recipe_has_a_range(kind: type) -> None:
    numbers = {f.name for f in fields(kind) if str(f.type).split(" |")[0] in ("int", "float")}
    assert numbers and numbers <= RANGES.keys() | CHOSEN


@pytest.mark.parametrize("name", sorted(RANGES.keys() & {f.name for f in fields(Recipe)}))
def test_recipes_hold_the_ranges_and_finite_numbers(name: str) -> None:
    known = RANGES[name]
    for value in (
        math.nan,
        math.inf,
        -math.inf,
        1e300 if known.high < 1e300 else math.inf,
        known.low - 1,
    ):
        if math.isfinite(value) and value in known:
            continue
        with pytest.raises(UsageError, match=f"^{name} must be"):
            Recipe(data="digits", **{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 2**64}, "seed must be a whole number from 0 to 4,294,967,295, got 18446744073709551616"),
        ({"seed": 1.0}, "seed must be a whole number from 0 to 4,294,967,295, got 1.0"),
        ({"seed": True}, "seed must be a whole number from 0 to 4,294,967,295, got True"),
        ({"epochs": math.nan}, "epochs must be greater than 0 and at most 1,000,000, got nan"),
        ({"val": "half"}, "val must be between 0 and 1, got 'half'"),
        ({"limit": 10**400}, r"limit must be .*, got 100000000000... (401 digits)"),
    ],
    ids=str,
)  # fmt: skip
def test_a_number_out_of_range_is_one_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_ranges(**arguments)
    begin, _, end = message.partition(".*")
    assert str(caught.value).startswith(begin) and str(caught.value).endswith(end)


def test_bounds_belong_to_a_range_unless_it_is_above() -> None:
    assert 0 in Range(0, 1) and 1 in Range(0, 1) and 0 not in Range(0, 1, above=True)


@pytest.mark.parametrize("out", ["", " ", ".", "..", "/", "./", "~no-such-user/x", "a\0b"])
def test_a_place_that_cannot_be_made_is_refused_before_any_work(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^out "):
        striate.train("digits", out=out, epochs=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: striate.probe("nowhere", limit=0), "limit must be"),
        (lambda: striate.diagnose("nowhere", cross_validate=1), "cross_validate must be"),
        (lambda: striate.summary("lenet5", classes=0), "classes must be"),
        (lambda: striate.summary("lenet5", input=(10**13, 1, 1)), "--input is channels"),
        (lambda: striate.tile("nowhere", "x.png", tile=-1), "tile must be"),
        (lambda: striate.predict("nowhere", "x.png", top=0), "top must be"),
        (lambda: striate.explain("nowhere", "x.png", seed=-1), "seed must be"),
    ],
    ids=["probe", "diagnose", "summary", "input", "tile", "predict", "explain"],
)
def test_public_functions_hold_the_same_ranges(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]
