"""The page of a sweep: its trials, best first, with what is held out and its interval."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.figures import CYCLE, GRID, INK, new_figure, render, style
from striate.findings import Figure, Finding, Status, Table
from striate.report import write_report
from striate.runs.record import versions
from striate.runs.run import Run
from striate.wording import counted

SHOWN = 24  # trials in the figure


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a sweep.

    score: by validation at its end, more is better, None where it failed; measure: of what. held_out: value, low and high of
    the headline of the images that were held out, and split its name. label: of that headline.
    """

    name: str
    number: int
    rung: int
    settings: Mapping[str, str]
    score: float | None = None
    measure: str = ""
    held_out: tuple[float, float, float] | None = None
    label: str = ""
    split: str = ""
    seconds: float = 0.0
    error: str = ""

    @classmethod
    def read(cls, path: Path, number: int, rung: int, settings: Mapping[str, str]) -> Trial:
        """From its run, or from what is written of one that failed."""
        failed = path.with_suffix(".failed")
        if failed.is_file():
            error = str(json.loads(failed.read_text(encoding="utf-8"))["error"])
            return cls(name=path.name, number=number, rung=rung, settings=settings, error=error)
        run = Run.load(path)
        figure: dict[str, Any] = {}
        for finding in run.findings():
            if finding.name == "headline":
                figure = finding.data.get("key_figure") or {}
        span = tuple(float(figure[k]) for k in ("value", "low", "high")) if figure else None
        score, measure = validated(run.metrics)
        if score is None and span is not None:
            score, measure = span[0], str(figure["label"])
        return cls(
            name=path.name, number=number, rung=rung, settings=settings, score=score, measure=measure,
            held_out=span, label=str(figure.get("label", "")),  # type: ignore[arg-type]
            split=str(run.info.get("results", {}).get("split", "")),
            seconds=float(run.info.get("training", {}).get("seconds", 0.0)),
        )  # fmt: skip

    @property
    def words(self) -> str:
        """Its settings."""
        return ", ".join(f"{k}={v}" for k, v in self.settings.items())


def validated(rows: Sequence[Mapping[str, Any]]) -> tuple[float | None, str]:
    """The last validation score of a run and its name: the headline where there is one, else the loss, of which less is
    better."""
    for row in reversed(rows):
        scores = {
            k.removeprefix("val_"): v
            for k, v in row.items()
            if k.startswith("val_") and v not in ("", None)
        }
        for name, value in scores.items():
            if name != "loss":
                return float(value), f"validation {name}"
        if "loss" in scores:
            return -float(scores["loss"]), "minus validation loss"
    return None, ""


def sweep_finding(trials: Sequence[Trial], data: str, budget: float | None) -> Finding:
    """The trials as a table and a figure, the best first: of a later rung, then by validation."""
    good = sorted(
        (t for t in trials if t.score is not None),
        key=lambda t: (-t.rung, -(t.score or 0.0), t.number),
    )
    bad = [t for t in trials if t.score is None]
    if not good:
        why = f": {bad[0].error}" if bad else ""
        return Finding(
            name="sweep", title=f"Sweep of {data}", status="problem",
            verdict=f"None of {counted(len(trials), 'trial')} could be trained{why}",
            data={"trials": [_row(t) for t in trials]},
        )  # fmt: skip
    best = good[0]
    names = list(best.settings)
    rows = [
        (
            t.name, *[t.settings.get(n, "") for n in names], t.score, None if t.held_out is None else t.held_out[0],
            None if t.held_out is None else f"{t.held_out[1]:.3f}–{t.held_out[2]:.3f}", t.seconds,
        )
        for t in good
    ]  # fmt: skip
    rows += [
        (t.name, *[t.settings.get(n, "") for n in names], None, None, t.error, None) for t in bad
    ]
    verdict = f"Best of {counted(len(trials), 'trial')} by {best.measure}, {best.score:.3f}: {best.words}."
    status: Status = "note"
    data_: dict[str, Any] = {
        "best": best.name,
        "settings": dict(best.settings),
        "trials": [_row(t) for t in (*good, *bad)],
    }
    if best.held_out is not None:
        value, low, high = best.held_out
        verdict += f" Its {best.label}: {value:.3f} (95 % interval {low:.3f}–{high:.3f})"
        near = sum(
            t.held_out is not None and t.held_out[2] >= low for t in good[1:] if t.rung == best.rung
        )
        verdict += (
            f"; the intervals of {counted(near, 'other trial')} reach into it."
            if near
            else "; no other trial's interval reaches into it."
        )
        status = "note" if near else "good"
        if best.split == "val":
            verdict += (
                " There are no test images: it was chosen by the images that it is measured on, and looks better "
                "than it is."
            )
        data_["key_figure"] = {
            "label": f"{best.label}, of the best trial", "value": value, "low": low, "high": high,
        }  # fmt: skip
    if bad:
        verdict += f" {counted(len(bad), 'trial')} failed."
    shown = [t for t in good if t.held_out is not None][:SHOWN]
    return Finding(
        name="sweep",
        title=f"Sweep of {data}",
        verdict=verdict,
        status=status,
        tables=(
            Table(
                columns=("run", *names, best.measure, "held out", "95 % interval", "seconds"),
                rows=tuple(rows),
                formats=("", *[""] * len(names), ".3f", ".3f", "", ",.1f"),
                caption=(
                    "Chosen by validation; what is held out took no part in the choice."
                    + (" Trials of a later rung had more time." if budget is not None else "")
                ),
            ),
        ),
        figures=(figure_of(shown),) if shown else (),
        data=data_,
    )


def _row(t: Trial) -> dict[str, Any]:
    span = dict(zip(("value", "low", "high"), t.held_out or (None,) * 3, strict=True))
    return {
        "run": t.name, "rung": t.rung + 1, **t.settings, "score": t.score, "measure": t.measure, **span,
        "seconds": t.seconds, "error": t.error,
    }  # fmt: skip


def figure_of(trials: Sequence[Trial]) -> Figure:
    """The held-out headline of each trial with its interval, best on top."""
    with style():
        figure = new_figure(6.4, 1.1 + 0.3 * len(trials))
        axes = figure.subplots()
        y = np.arange(len(trials))[::-1]
        spans = np.array([t.held_out for t in trials])
        axes.axvspan(spans[0, 1], spans[0, 2], color=GRID, alpha=0.25, linewidth=0)
        axes.hlines(y, spans[:, 1], spans[:, 2], color=INK, linewidth=1.2)
        axes.plot(spans[:, 0], y, "o", color=CYCLE[0], markersize=5)
        axes.set_yticks(y, [t.words if len(t.words) <= 48 else f"{t.words[:47]}…" for t in trials])
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(-0.6, len(trials) - 0.4), xlabel=trials[0].label)
        axes.grid(axis="x")
        return render(
            figure,
            caption="Dots: what is held out; lines: 95 % intervals; grey: the interval of the best trial by validation.",
            alt="A dot with its interval for each trial: " + "; ".join(
                f"{t.words}: {t.held_out[0]:.3f}" for t in trials if t.held_out is not None
            ),
        )  # fmt: skip


def page_of(
    finding: Finding, path: Path, head: Mapping[str, Any], rungs: Sequence[tuple[int, float | None]]
) -> None:
    """Write the page."""
    many = len(finding.data["trials"])
    facts = {"trials": str(many), "sampler": str(head["sampler"]), "seed": str(head["seed"])}
    if head["budget"] is not None:
        facts["budget"] = f"{head['budget']:g} s"
        facts["rungs"] = ", ".join(f"{n} × {s:.0f} s" for n, s in rungs if s is not None)
    write_report(
        path, [finding], title=finding.title, subtitle=", ".join(head["over"]), facts=facts,
        generated=f"Striate {head['version'] or versions()['striate']}",
    )  # fmt: skip
