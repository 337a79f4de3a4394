"""Space: which settings a sweep tries, in which order."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from striate.errors import UsageError
from striate.ranges import shown

SAMPLERS = ("grid", "random", "optuna")
DECADE = 10.0  # a range whose ends differ by as much is drawn on a logarithmic scale


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones where both are."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Whether it is drawn on a logarithmic scale."""
        return self.low > 0 and self.high / self.low >= DECADE

    def draw(self, share: float) -> str:
        """The number at a share in [0, 1) of the scale, as text."""
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low + self.whole)
        return str(min(int(value), int(self.high))) if self.whole else f"{value:.4g}"


@dataclass(frozen=True)
class Space:
    """For each setting its values as text, or a range."""

    settings: Mapping[str, Sequence[str] | Range]

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Space:
        """From `name=a,b,c` and `name=LOW..HIGH`. Raises UsageError."""
        settings: dict[str, Sequence[str] | Range] = {}
        for text in texts:
            name, equals, rest = text.partition("=")
            name = name.strip().replace("-", "_")
            values = [v.strip() for v in _apart(rest)]
            if not equals or not name or not all(values):
                raise UsageError(
                    f"--over takes NAME=VALUE,VALUE or NAME=LOW..HIGH, got {shown(text)}; write for example "
                    "--over lr=0.1,0.01"
                )
            if name in settings:
                raise UsageError(f"--over {name} was given twice; give all its values at once")
            twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
            if twice is not None:
                raise UsageError(f"--over {name} has {twice} twice; give each value once")
            settings[name] = _range(name, values[0]) or values if len(values) == 1 else values
        if not settings:
            raise UsageError("a sweep needs --over NAME=VALUE,VALUE: the settings that it tries")
        return cls(settings)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            n: [v.low, v.high] if isinstance(v, Range) else list(v)
            for n, v in self.settings.items()
        }

    def grid(self) -> list[dict[str, str]]:
        """Every combination, the last setting fastest. Raises UsageError for a range."""
        for name, values in self.settings.items():
            if isinstance(values, Range):
                raise UsageError(
                    f"--over {name}={values.low:g}..{values.high:g} is a range, of which trials are drawn; give --trials N"
                )
        names = list(self.settings)
        lists: list[Sequence[str]] = [v for v in self.settings.values() if not isinstance(v, Range)]
        return [dict(zip(names, combination, strict=True)) for combination in product(*lists)]

    def drawn(self, trials: int, seed: int) -> list[dict[str, str]]:
        """So many trials at random, the same for the same seed; none twice where there are only values."""
        rng = np.random.default_rng(seed)
        if not any(isinstance(v, Range) for v in self.settings.values()):
            every = self.grid()
            return [every[i] for i in rng.permutation(len(every))[:trials]]
        return [
            {
                n: v.draw(float(rng.random())) if isinstance(v, Range) else str(rng.choice(list(v)))
                for n, v in self.settings.items()
            }
            for _ in range(trials)
        ]

    def asked(
        self, known: Sequence[tuple[Mapping[str, str], float | None]], seed: int
    ) -> dict[str, str]:
        """The next trial by optuna's TPE (Bergstra et al. 2011), from those that ended, each with its score or None."""
        try:
            import optuna
        except ImportError as error:
            raise UsageError(
                "the sampler optuna needs the package optuna; pip install 'striate[sweep]', or take --sampler random"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        spaces: dict[str, Any] = {}
        for name, values in self.settings.items():
            if not isinstance(values, Range):
                spaces[name] = optuna.distributions.CategoricalDistribution(list(values))
            elif values.whole:
                spaces[name] = optuna.distributions.IntDistribution(
                    int(values.low), int(values.high), log=values.log
                )
            else:
                spaces[name] = optuna.distributions.FloatDistribution(
                    values.low, values.high, log=values.log
                )
        sampler = optuna.samplers.TPESampler(seed=seed + len(known), multivariate=False)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for settings, score in known:
            given = {
                n: v
                if not isinstance(r := self.settings[n], Range)
                else int(v)
                if r.whole
                else float(v)
                for n, v in settings.items()
            }
            state = (
                optuna.trial.TrialState.COMPLETE
                if score is not None
                else optuna.trial.TrialState.FAIL
            )
            study.add_trial(
                optuna.trial.create_trial(
                    params=given, distributions=spaces, value=score, state=state
                )
            )
        asked = study.ask(spaces).params
        return {n: f"{v:.4g}" if isinstance(v, float) else str(v) for n, v in asked.items()}


def halved(trials: int, budget: float, eta: int = 3) -> list[tuple[int, float]]:
    """Successive halving (Jamieson and Talwalkar 2016): for each rung how many trials it has and the seconds of one of them.

    Each rung has the same share of the budget; of a rung the best third goes on, with three times as many seconds.

    >>> halved(9, 90)
    [(9, 3.333...), (3, 10.0), (1, 30.0)]
    """
    counts = [trials]
    while counts[-1] > 1:
        counts.append(-(-counts[-1] // eta))
    share = budget / len(counts)
    return [(n, share / n) for n in counts]


def _range(name: str, text: str) -> Range | None:
    number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    found = re.fullmatch(rf"({number})\.\.({number})", text)
    if found is None:
        return None
    low, high = float(found[1]), float(found[2])
    if not low < high or not math.isfinite(high):
        raise UsageError(f"--over {name}={text}: a range goes from a smaller to a larger number")
    whole = all(re.fullmatch(r"[-+]?\d+", end) is not None for end in found.groups())
    return Range(low, high, whole)


def _apart(text: str) -> list[str]:
    """At commas outside of brackets: a layer pattern has some of its own."""
    parts, depth = [""], 0
    for c in text:
        depth += (c in "[(") - (c in "])")
        if c == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts
