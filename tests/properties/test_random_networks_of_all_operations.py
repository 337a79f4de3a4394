"""Random networks out of all operations: equal to the plain module, or refused; never anything else.

Many more by hand: `python tests/properties/fuzz_networks.py --count 20000 --jobs 2`.
"""

from __future__ import annotations

import pytest
import torch
from random_networks.cured import CURED
from random_networks.judging import judge, judge_built
from random_networks.operations import EVERY, EVERY_ENDING, FIRST
from random_networks.program import FORMS, Program, Step, build, draw, load

pytestmark = pytest.mark.filterwarnings("ignore")
SHAPES = [(1, 4, 9, 8), (1, 3, 8, 8), (1, 2, 1, 5), (1, 2, 9), (1, 2, 4, 5, 6)]


def test_a_source_is_the_network() -> None:
    """What is printed and pasted gives the same numbers."""
    for seed in range(20):
        built = build(draw(seed))
        again = load(built.source, built.program)
        for one, other in zip(built.module.parameters(), again.module.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("kind", [*EVERY, *EVERY_ENDING])
def test_every_operation_runs(kind: str) -> None:
    """No operation is always left out because of a slip in its lines."""
    before = ["residual", "tokens", "split_dim", "reduced_and_kept"]
    for seed in range(60):
        for shape in SHAPES:
            for first in before:
                steps = [Step("residual", 0), Step(first, seed)]
                if kind in FIRST:
                    steps = []
                if kind in EVERY:
                    steps.append(Step(kind, seed))
                ending = Step(kind if kind in EVERY_ENDING else "plain", seed)
                if kind in build(Program(seed, shape, tuple(steps), ending)).kinds:
                    return
    pytest.fail(f"{kind} never fits")


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_random_networks_are_equal_or_refused(first: int) -> None:
    faults = {}
    equal = outcomes = 0
    for seed in range(first, first + 20):
        verdict = judge(draw(seed))
        assert verdict is not None
        outcomes += len(verdict.outcomes)
        equal += list(verdict.outcomes.values()).count("equal")
        if verdict.faults:
            faults[seed] = {check: verdict.sentences[check] for check in verdict.faults}
    assert not faults
    assert equal > 0.75 * outcomes  # else nothing is proven


@pytest.mark.parametrize("form", FORMS[1:])
def test_random_networks_of_other_forms_are_equal_or_refused(form: str) -> None:
    faults = {}
    equal = 0
    for seed in range(8):
        verdict = judge(draw(seed, form))
        if verdict is None:  # torch refuses this one under autocast
            continue
        equal += list(verdict.outcomes.values()).count("equal")
        if verdict.faults:
            faults[seed] = {check: verdict.sentences[check] for check in verdict.faults}
    assert not faults
    assert equal > 20


@pytest.mark.parametrize("name", CURED)
def test_cured_networks(name: str) -> None:
    verdict = judge_built(CURED[name].build())
    assert verdict is not None
    refused = {check for check, word in verdict.outcomes.items() if word == "refused"}
    assert set(verdict.outcomes.values()) <= {"equal", "refused", "chance"}, verdict.sentences
    assert refused <= CURED[name].refused, verdict.sentences
