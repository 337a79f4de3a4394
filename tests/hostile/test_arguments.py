"""Hostile arguments: every option of every command with values that nobody means, and the table of ranges behind them."""

from __future__ import annotations

import inspect
import itertools
import math
import os
import random
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import arguments
import pytest
import torch
from judge import fault, judge, run_here
from torch import nn

import striate
from striate import api
from striate.data.sources import open_source
from striate.data.targets import open_targets
from striate.errors import UsageError
from striate.inference.dense import dense
from striate.inference.incremental import occlusion
from striate.inference.tiled import tiled
from striate.ranges import RANGES, Range, check_ranges
from striate.tasks.detect.settings import DetectSettings
from striate.tasks.regression.settings import RegressionSettings
from striate.tasks.segment.data.sources import open_masks
from striate.tasks.segment.settings import SegmentSettings
from striate.training import Recipe, recipe

TRIALS = int(os.environ.get("STRIATE_HOSTILE_TRIALS", "80"))
# What is refused again behind the table, by what it is for.
OTHERS_REFUSE = {"budget", "channels", "count", "seed", "test", "val"}
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
        outcome, found = arguments.run(trial, home, limit=60)
        if found is not None:
            faults.append(f"{found}\n{outcome}")
    assert not faults, "\n".join(faults)


def test_the_trials_reach_every_option() -> None:
    known = {
        (name, p.name)
        for name, command in arguments.COMMANDS.items()
        for p in command.params
        if p.name != "help"
    }
    reached = {(t.command, t.option) for t in itertools.islice(arguments.trials(0), 2 * len(known))}
    assert known <= reached


@pytest.mark.parametrize("kind", [Recipe, SegmentSettings, DetectSettings, RegressionSettings])
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


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_ends_of_every_range_are_in_it_and_what_lies_beyond_is_refused(name: str) -> None:
    known = RANGES[name]
    high = int(known.high) if known.whole else known.high
    check_ranges(**{name: high})
    if not known.above:
        check_ranges(**{name: int(known.low) if known.whole else known.low})
    elif known.low in known:
        pytest.fail(f"{name}: the low end belongs to no range that is above it")
    for beyond in (high + 1 if known.whole else math.nextafter(high, math.inf), math.nan, True):
        with pytest.raises(UsageError, match=f"^{name} must be"):
            check_ranges(**{name: beyond})


SEEDED = {
    "train": ["train", "photos", "--epochs", "0.2", "--size", "8", "--out", "out/top", "--model", "[conv2-relu-pool]-fc"],
    "probe": ["probe", "runs/first", "shift", "--limit", "10"],
    "diagnose": ["diagnose", "runs/first", "gradients", "--limit", "10"],
    "units": ["units", "runs/first", "--layer", "conv1", "--limit", "10"],
    "data": ["data", "photos"],
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDED)
def test_the_largest_seed_works_and_the_next_is_refused(name: str, home: Path) -> None:
    top = 2**32 - 1
    option = ("--set", f"seed={top}") if name == "data" else ("--seed", str(top))
    done = judge(run_here([*SEEDED[name], *option], home), writes=("out", "runs"))
    assert done.status == 0, done
    over = [t.replace(str(top), str(top + 1)) for t in option]
    refused = judge(run_here([*SEEDED[name], *over], home), names=["seed must be"])
    assert refused.status == 2, refused


@pytest.mark.parametrize("names", [[], ["filters"], ["updates"]], ids=["all", "filters", "updates"])
def test_diagnose_opens_the_data_that_it_is_given_whatever_it_looks_at(
    names: list[str], home: Path
) -> None:
    outcome = run_here(["diagnose", "runs/first", *names, "--data", "nope"], home)
    assert judge(outcome, names=["'nope'"]).status == 2, outcome


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "runs/first", "complex.tif"],
        ["tile", "runs/first", "complex.tif"],
        ["explain", "runs/first", "complex.tif"],
        ["compare", "first.png", "complex.tif", "--network", "runs/first"],
    ],
    ids=lambda command: command[0],
)
def test_complex_numbers_are_no_image(command: list[str], home: Path) -> None:
    outcome = judge(run_here(command, home), names=["complex.tif"])
    assert outcome.status == 1 and "complex64" in outcome.out + outcome.err, outcome


def test_predict_names_the_file_where_none_can_be_read(home: Path) -> None:
    for files, said in (
        (["broken.png"], "1 of 1 files could not be used: broken.png;"),
        (["broken.png", "complex.tif"], "2 of 2 files could not be used: broken.png and 1 more;"),
    ):
        for form in ("table", "json", "csv"):
            outcome = judge(
                run_here(["predict", "runs/first", *files, "--format", form], home), names=[said]
            )
            assert outcome.status == 1, outcome


def test_a_line_feed_in_the_name_of_a_file_makes_no_line(home: Path) -> None:
    command = [
        "units",
        "runs/first",
        "--layer",
        "conv1",
        "--limit",
        "10",
        "--image=a\nstriate: done",
    ]
    outcome = judge(
        run_here(command, home), names=["cannot read a\\nstriate: done: there is no such file"]
    )
    assert outcome.status == 1, outcome


@pytest.mark.parametrize("concepts", ["concepts", "scenes"])
def test_no_more_concepts_are_generated_than_memory_holds(concepts: str, home: Path) -> None:
    outcome = run_here(
        ["dissect", "runs/first", "--concepts", concepts, "--limit", str(2**31)], home
    )
    assert judge(outcome, names=["limit=2,147,483,648"]).status == 2, outcome


SMALL = nn.Conv2d(1, 2, 3, padding=1).eval()
PATCH = nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()).eval()
IMAGE = torch.zeros(1, 1, 8, 8)
MEMORIES = {
    "inf": math.inf,
    "nan": math.nan,
    "digits": 10**400,
    "text": "9" * 400 + "GB",
    "none": 0,
}
COUNTS = {"inf": math.inf, "nan": math.nan, "digits": 10**400, "half": 2.5, "none": 0, "bool": True,
          "text": "8"}  # fmt: skip


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_memory_limit_that_no_machine_has_is_one_sentence(memory: str) -> None:
    given: Any = MEMORIES[memory]
    for call in (
        lambda: tiled(SMALL, IMAGE, memory=given),
        lambda: dense(PATCH, IMAGE, window=8, memory=given),
        lambda: occlusion(PATCH, IMAGE, 0, patch=4, stride=4, memory=given),
    ):
        with pytest.raises(UsageError, match="a memory limit is a number of bytes") as caught:
            call()
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("count", COUNTS)
def test_numbers_of_pixels_are_whole_and_in_range(count: str) -> None:
    given: Any = COUNTS[count]
    calls: dict[str, Callable[[], Any]] = {
        "tile": lambda: tiled(SMALL, IMAGE, tile=given),
        "window": lambda: dense(PATCH, IMAGE, window=given),
        "stride": lambda: dense(PATCH, IMAGE, window=8, stride=given),
        "patch": lambda: occlusion(PATCH, IMAGE, 0, patch=given, stride=4),
        "stride ": lambda: occlusion(PATCH, IMAGE, 0, patch=4, stride=given),
        "batch": lambda: occlusion(PATCH, IMAGE, 0, patch=4, stride=4, batch=given),
    }
    for name, call in calls.items():
        with pytest.raises(UsageError, match=f"^{name.strip()} ") as caught:
            call()
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("seed", [-1, 2**32, math.nan])
def test_sources_of_every_kind_hold_the_range_of_seeds(seed: Any, tmp_path: Path) -> None:
    opens: tuple[Callable[..., Any], ...] = (open_source, open_masks, open_targets)
    for opened, data in zip(opens, ("digits", "scenes", tmp_path), strict=True):
        more = {"kind": "tags"} if opened is open_targets else {}
        with pytest.raises(UsageError, match="seed must be a whole number from 0 to 4,294,967,295"):
            opened(data, seed=seed, **more)


def parameters_of(function: Callable[..., object]) -> list[str]:
    """Names of all that a function takes by name."""
    parameters = inspect.signature(function).parameters.values()
    return sorted(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)


@pytest.mark.parametrize(
    ("command", "key"),
    [("data", key) for key in parameters_of(api.data)]
    # A model, a task and, where the task is `embed`, a loss have names, and so are settings too.
    + [("train", key) for key in parameters_of(api.train) if key not in ("model", "task", "loss")],
)
def test_what_is_an_argument_of_the_command_is_no_setting(
    command: str, key: str, home: Path
) -> None:
    """Every parameter of the public function behind the command, each of which would be given twice."""
    outcome = run_here([command, "photos", "--set", f"{key}=x"], home)
    assert outcome.status == 2 and fault(outcome, names=[f"--set {key}"]) is None, outcome


def test_a_setting_is_given_once(home: Path) -> None:
    outcome = run_here(["data", "photos", "--set", "val=0.1", "--set", "val=0.2"], home)
    assert outcome.status == 2 and fault(outcome, names=["--set val"]) is None, outcome


@pytest.mark.parametrize("key", arguments.RANGED)
def test_only_the_table_refuses_what_is_just_out_of_range(
    key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the table the trial keeps the rule; without it the same trial is taken, and the judge sees it."""
    rng = random.Random(key)
    trial = arguments.out_of_range(rng, "data", key)
    outcome, found = arguments.run(trial, home)
    assert outcome.status == 2 and found is None, outcome
    if key in OTHERS_REFUSE:
        return
    monkeypatch.setattr(recipe, "check_fields", lambda settings: None)
    monkeypatch.setattr(api, "check_ranges", lambda **values: None)
    outcome, found = arguments.run(trial, home)
    assert found == "a number out of its range was accepted", outcome


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        (["compare", "first.png", "-nan", "--network", "runs/first"], "second", "-nan"),
        (["compare", "first.png", "--", "--network"], "second", "--"),
        (["compare", "first.png", "-zz"], "second", "-zz"),
        (["predict", "runs/first", "*"], "images", "*"),
        (["compare", "first.png", "*", "--network", "runs/first"], "second", "*"),
        (["compare", "first.png", "first.png", "-n"], "network", ""),
        (["explain", "--", "first.png", "-m", "gradient"], "target", "--"),
        (
            [
                "compare",
                "first.png",
                "first.png",
                "--network",
                "runs/first",
                "--weights=/proc/self/mem",
            ],
            "weights",
            "/proc/self/mem",
        ),
        (["units", "runs/first", "--layer", "conv1", "--image", " "], "image", " "),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_judge_knows_what_a_shell_word_is_taken_for(
    words: list[str], option: str, value: str, home: Path
) -> None:
    outcome, found = arguments.run(arguments.Trial(tuple(words), option, value), home)
    assert outcome.status and found is None, outcome
