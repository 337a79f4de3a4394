"""Rounds: a line of JSON each, which of them were disturbed, and the table over the others.

A round is what all contestants took for the same work, one after the other. Other work on the machine slows a round down
and never speeds it up, so the rule is: a round in which any contestant took more than `SLOWER` times its own least is
dropped whole. Ratios are taken within a round.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fresh import spread, three

SLOWER = 1.25
Round = dict[str, Any]


def append(path: Path, line: Round) -> None:
    """One round behind those that the file holds."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> list[Round]:
    """All rounds of a file; none if there is no file."""
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


def undisturbed(rounds: Sequence[Round]) -> list[Round]:
    """The rounds in which nobody took more than `SLOWER` times its own least."""
    least: dict[str, float] = {}
    for one in rounds:
        for name, seconds in one["seconds"].items():
            least[name] = min(seconds, least.get(name, seconds))
    return [r for r in rounds if all(s <= SLOWER * least[name] for name, s in r["seconds"].items())]


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """Of rounds of one kind: least, median and most of every contestant's seconds, and of its seconds over ours."""
    kept = undisturbed(rounds)
    ours = rounds[0]["ours"]
    names = dict.fromkeys(name for r in kept for name in r["seconds"])
    contestants = {}
    for name in names:
        took = [r for r in kept if name in r["seconds"]]
        contestants[name] = {
            "rounds": len(took),
            "seconds": spread([r["seconds"][name] for r in took]),
            "ratio": spread([r["seconds"][name] / r["seconds"][ours] for r in took]),
            "difference": max(r["difference"][name] for r in took),
        }
    return {
        "what": rounds[0]["what"], "ours": ours, "kept": len(kept), "rounds": len(rounds), "bound": rounds[0]["bound"],
        "planned": rounds[0]["planned"], "span": max(r["span"] for r in kept), "contestants": contestants,
    }  # fmt: skip


def summaries(rounds: Iterable[Round]) -> list[dict[str, Any]]:
    """A summary of every kind of round, in the order in which they came."""
    kinds: dict[str, list[Round]] = {}
    for one in rounds:
        kinds.setdefault(json.dumps(one["what"]), []).append(one)
    return [summary(mine) for mine in kinds.values()]


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each contestant of each kind; median, and in brackets least and most."""
    lines = [
        "| what | contestant | rounds kept | seconds | over ours | share of the bound | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in found:
        what = ", ".join(str(v) for v in one["what"].values() if v is not None)
        for name, c in one["contestants"].items():
            ratio = "" if name == one["ours"] else three(c["ratio"], ".2f") + "x"
            share = ""
            if name == "loop" and one["ours"] == "striate":
                share = (
                    f"{three([r / one['bound'] for r in c['ratio']], '.0%')} of {one['bound']:.2f}x"
                )
            lines.append(
                f"| {what} | {name} | {c['rounds']} of {one['rounds']} | {three(c['seconds'], '.2f')} | {ratio} "
                f"| {share} | {c['difference']:.1e} in {one['span']:.2g} |"
            )
    return "\n".join(lines)
