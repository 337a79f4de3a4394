"""Judging: one network through every check; what is equal, refused or a fault; and the smallest program that fails."""

from __future__ import annotations

import json
import random
import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from random_networks.checks import (
    CHECKS,
    Case,
    Wrong,
    close,
    plain,
    quiet,
    state_of,
    tensors,
    traced_once,
)
from random_networks.drawing import Unfit
from random_networks.program import Built, Program, build
from striate.errors import ExactnessError, StriateError

SECONDS = 20
# The last digit: what the pixels and the weights are changed by, in float64 and where bfloat16 is inside.
LAST = {False: 1e-13, True: 2.0**-9}


@dataclass
class Verdict:
    """How a network fared: a word a check ("equal", "refused", "fault"), the sentences, and the source of a fault."""

    seed: int
    outcomes: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    source: str = ""
    unstable: bool = False
    form: str = "plain"

    @property
    def faults(self) -> list[str]:
        return [check for check, word in self.outcomes.items() if word == "fault"]

    def line(self) -> str:
        """Its faults as a line of JSON."""
        found = {check: self.sentences[check] for check in self.faults}
        return json.dumps({"seed": self.seed, "form": self.form, "operations": self.kinds, **found})


class Hung(Exception):  # noqa: N818
    """A check takes too long."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hung(f"no result after {seconds} s of work")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of work: others may keep the machine busy
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(program: Program, only: str | None = None) -> Verdict | None:
    """All checks, or one; None where the program makes no network."""
    try:
        return judge_built(build(program), only)
    except Unfit:
        return None


@traced_once()
def judge_built(built: Built, only: str | None = None) -> Verdict | None:
    quiet()
    torch.set_num_threads(1)
    case = Case(built)
    verdict = Verdict(built.program.seed, kinds=built.kinds, form=built.program.form)
    try:
        first = tensors(case.want)
        state = torch.random.get_rng_state()
        others = [tensors(plain(case.module, case.image)) for _ in range(2)]
        draws = not torch.equal(state, torch.random.get_rng_state())
    except Exception as error:  # a program that a plain run refuses is no network
        verdict.sentences["plain"] = f"{type(error).__name__}: {error}"
        return None
    chance = draws or not all(
        torch.equal(a, b) for o in others for a, b in zip(first, o, strict=True)
    )
    if not first or not all(bool(torch.isfinite(t).all()) for t in first):
        return None
    before = state_of(case.module)
    for name, check in CHECKS.items():
        if only is not None and name != only:
            continue
        try:
            with limited(SECONDS):
                outcome = "equal" if check(case) else ""
        except ExactnessError as error:  # our own check found it: no wrong result, yet a fault
            outcome = "chance" if chance else "fault"
            if outcome == "fault" and _unstable(case, float("inf")):
                outcome, verdict.unstable = "unstable", True
            verdict.sentences[name] = f"withheld: {error}"
        except StriateError as error:
            outcome = "refused"
            verdict.sentences[name] = str(error)
        except Wrong as wrong:
            outcome = "chance" if chance else "fault"
            if outcome == "fault" and _unstable(case, wrong.size):
                outcome, verdict.unstable = "unstable", True
            verdict.sentences[name] = str(wrong)
        except Exception as error:
            outcome = "fault"
            verdict.sentences[name] = (
                f"{type(error).__name__}: {str(error)[:300]} [{_where(error)}]"
            )
        computed = chance and name in ("tiled", "occlusion", "dense")
        if computed and outcome not in ("", "refused"):
            outcome = "fault"
            verdict.sentences[name] = "draws random numbers and is not refused"
        if outcome:
            verdict.outcomes[name] = outcome
    if not chance and state_of(case.module) != before:
        verdict.outcomes["untouched"] = "fault"
        verdict.sentences["untouched"] = "the module is not as it was"
    if verdict.faults:
        verdict.source = built.source
    return verdict


def _unstable(case: Case, size: float) -> bool:
    """Whether rounding alone can change the network's own numbers so much: a tie, a step, a division by nearly zero.

    Asked of the image, of images with a flat part, as occlusion makes them, and of weights that are off by a rounding: what
    is nothing but rounding inside is not seen in the image.
    """
    rng = random.Random(case.built.program.seed)
    last = LAST[case.built.program.form == "autocast"]
    for trial in range(4):
        try:
            with shaken_weights(case.module, trial, last):
                moved = plain(case.module, case.image)
        except Exception:
            return True
        if _moves(moved, case.want, size, last):
            return True
    for trial in range(12):
        image = case.image.clone()
        if trial >= 10:
            image[:] = 0.5 * (trial - 10)
        elif trial >= 4:
            spans = [slice(*sorted(rng.choices(range(n + 1), k=2))) for n in image.shape[2:]]
            image[(..., *spans)] = rng.choice([0.0, 0.5])
        generator = torch.Generator().manual_seed(trial)
        noise = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        try:
            pair = (
                plain(case.module, image),
                plain(case.module, (image + last * noise).to(image.dtype)),
            )
        except Exception:
            return True
        if _moves(*pair, size, last):
            return True
    return False


def _moves(one: Any, other: Any, size: float, last: float) -> bool:
    """Whether two results of nearly the same numbers lie as far apart as what is to be explained."""
    half = last == LAST[True]
    for a, b in zip(tensors(one), tensors(other), strict=True):
        worst = (b - a).abs().max().item() / max(a.abs().max().item(), 1e-3) if a.numel() else 0
        if worst > size / (3 if half else 10) or (worst > 1e-9 and not half):
            return True
    return False


@contextmanager
def shaken_weights(module: nn.Module, seed: int, last: float) -> Iterator[None]:
    """Every number of the parameters and buffers off by a rounding or two for a while."""
    generator = torch.Generator().manual_seed(seed)
    kinds = (torch.float64, torch.float32)
    held = [t for t in (*module.parameters(), *module.buffers()) if t.dtype in kinds]
    before = [t.detach().clone() for t in held]
    with torch.no_grad():
        for t in held:
            t.mul_(1 + last * torch.randn(t.shape, generator=generator, dtype=torch.float64))
    try:
        yield
    finally:
        with torch.no_grad():
            for t, numbers in zip(held, before, strict=True):
                t.copy_(numbers)


def _where(error: BaseException) -> str:
    """The last line of ours in a traceback."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "/striate/" in f.filename]
    last = ours[-1] if ours else traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rpartition('/striate/')[2]}:{last.lineno} {last.name}"


def alike(sentence: str) -> str:
    """A sentence without its numbers and names, by which faults are grouped."""
    text = re.sub(r"\d+(\.\d+)?(e[-+]\d+)?", "0", sentence.split("\n")[0])
    return re.sub(r"\bm0(_0)?(\.[\w#]+)*", "m0", text)[:140]


def smallest(program: Program, check: str) -> tuple[Program, Verdict]:
    """The program with as few steps as still fail the check."""
    found = judge(program, None if check == "untouched" else check)
    assert found is not None
    assert check in found.faults
    best, place = program, 0
    best = build(program).program
    while place < len(best.steps):
        shorter = best.without(place)
        verdict = judge(shorter, None if check == "untouched" else check)
        if verdict is not None and check in verdict.faults:
            best, found = build(shorter).program, verdict
        else:
            place += 1
    return best, found


__all__ = ["Verdict", "alike", "close", "judge", "judge_built", "smallest"]
