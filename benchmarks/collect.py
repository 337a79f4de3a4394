"""The table of results, from the JSON that benchmarks write; figures are never typed by hand.

    python benchmarks/predict.py --json results/predict.json
    python benchmarks/collect.py results [--readme README.md]

A file holds one benchmark: name, what (the work in words), ours (which contestant is Striate), work (how much, such as the
number of images) and its unit a second, rounds (a mapping contestant -> seconds each), processor, torch and threads. The
table has median, least and most over the rounds, ratios within a round, and the machine; rounds in which something else
slowed a contestant down are left out and counted, by the rule of `rounds.py`. --readme replaces what stands
between `<!-- results -->` and `<!-- end of results -->`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rounds import undisturbed

BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def processor() -> str:
    """The processor's name, and whether it multiplies bfloat16."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown processor"
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    known = {key.strip(): value.strip() for key, value in known.items()}
    wide = [f for f in ("avx512_bf16", "amx_bf16") if f in known.get("flags", "").split()]
    model = f"family {known.get('cpu family', '?')}, model {known.get('model', '?')}"
    return f"{known.get('model name', 'unknown')} ({model}; {', '.join(wide) or 'no bfloat16'})"


def write(path: Path, *, rounds: Sequence[dict[str, float]], **more: Any) -> None:
    """One benchmark's file, see above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"processor": processor(), "torch": torch.__version__, "threads": torch.get_num_threads()}  # fmt: skip
    path.write_text(json.dumps({**more, **machine, "rounds": list(rounds)}, indent=1) + "\n")


def three(values: Sequence[float], spec: str) -> str:
    """Median, and in brackets least and most."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{spec}} ({low:{spec}} - {high:{spec}})"


def rows(found: dict[str, Any]) -> list[str]:
    """A line of Markdown for each peer of one benchmark."""
    ours, unit = found["ours"], found["unit"]
    rounds = [r["seconds"] for r in undisturbed([{"seconds": r} for r in found["rounds"]])]
    kept = (
        f"{len(rounds)} of {len(found['rounds'])} rounds"
        if len(rounds) < len(found["rounds"])
        else f"{len(rounds)} rounds"
    )
    spec = ",.0f" if min(found["work"] / r[ours] for r in rounds) >= 100 else ".1f"
    speed = {name: [found["work"] / r[name] for r in rounds] for name in rounds[0]}
    made = []
    for name in speed:
        if name == ours:
            continue
        ratio = three([r[name] / r[ours] for r in rounds], ".2f")
        made.append(
            f"| {found['what']} ({found['name']}.py, {kept}) | {name}: {three(speed[name], spec)} {unit} "
            f"| {three(speed[ours], spec)} {unit} | {ratio}x |"
        )
    return made


def table(files: Sequence[Path]) -> str:
    """The Markdown table of all files, and the machines under it."""
    lines = ["| work | peer | Striate | ratio |", "|---|---|---|---|"]
    machines: dict[str, list[str]] = {}
    for path in files:
        found = json.loads(path.read_text(encoding="utf-8"))
        lines += rows(found)
        machine = f"{found['processor']}, torch {found['torch']}, {found['threads']} threads"
        machines.setdefault(machine, []).append(found["name"])
    measured = [f"{', '.join(names)}: {machine}." for machine, names in machines.items()]
    return "\n".join([*lines, "", "Median (least - most). " + " ".join(measured)])


def replaced(text: str, made: str) -> str:
    """A page with the table between its marks. Raises ValueError where the marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"the page has no {BEGIN} ... {END}; write both lines where the table goes"
        )
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", type=Path)
    given = parser.parse_args()
    made = table(sorted(given.folder.glob("*.json")))
    if given.readme is None:
        print(made)
    else:
        given.readme.write_text(replaced(given.readme.read_text(encoding="utf-8"), made), encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    main()
