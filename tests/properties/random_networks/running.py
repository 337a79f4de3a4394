"""Running: many networks in several processes, counted, with the smallest source of each kind of fault."""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections import Counter
from pathlib import Path

import torch
import torch._dynamo  # once here, not in every process

from random_networks.judging import Verdict, alike, judge, smallest
from random_networks.program import FORMS, draw


def _one(which: tuple[int, str]) -> Verdict | None:
    torch.set_num_threads(1)
    return judge(draw(*which))


class Tally:
    """Counts of what was seen."""

    def __init__(self) -> None:
        self.networks = self.empty = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.forms: Counter[str] = Counter()
        self.operations: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.faults: dict[tuple[str, str], list[int]] = {}
        self.clean = 0

    def add(self, verdict: Verdict | None) -> None:
        if verdict is None:
            self.empty += 1
            return
        self.networks += 1
        self.forms[verdict.form] += 1
        self.operations.update(verdict.kinds)
        words = set(verdict.outcomes.values())
        self.clean += words <= {"equal"}
        for check, word in verdict.outcomes.items():
            self.outcomes[check, word] += 1
            sentence = verdict.sentences.get(check, "")
            if word == "fault":
                self.faults.setdefault((check, alike(sentence)), []).append(verdict.seed)
            if word == "refused":
                self.refusals[f"{check}: {alike(sentence)}"] += 1

    def lines(self) -> list[str]:
        found = [
            f"{self.networks} networks, {self.empty} seeds that make none; {self.clean} equal throughout"
        ]
        found.append("  " + ", ".join(f"{form} {n}" for form, n in sorted(self.forms.items())))
        for check in dict.fromkeys(check for check, _ in self.outcomes):
            counts = {word: n for (c, word), n in self.outcomes.items() if c == check}
            total = sum(counts.values())
            found.append(
                f"  {check:<12} "
                + ", ".join(f"{w} {n} ({100 * n / total:.1f} %)" for w, n in sorted(counts.items()))
            )
        found.append("refused most often:")
        found += [f"  {n:5d}  {text}" for text, n in self.refusals.most_common(25)]
        found.append(f"{sum(map(len, self.faults.values()))} faults of {len(self.faults)} kinds")
        for (check, text), seeds in sorted(self.faults.items(), key=lambda f: -len(f[1])):
            found.append(f"  {len(seeds):5d}  {check}: {text}   seeds {seeds[:5]}")
        return found


def main() -> int:
    """Run as a program; the exit status is 1 where there are faults."""
    parser = argparse.ArgumentParser(
        description="Random networks: Striate against the plain module."
    )
    parser.add_argument("--count", type=int, default=1000, help="seeds to draw (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--show", type=int, default=10, help="kinds of faults to minimise and print (default 10)"
    )
    parser.add_argument(
        "--form",
        default="mixed",
        choices=["mixed", *FORMS],
        help="of networks (default mixed: seven of ten plain)",
    )
    parser.add_argument("--log", type=Path, help="a file that takes one line of JSON a fault")
    given = parser.parse_args()

    tally, began = Tally(), time.perf_counter()
    seeds = [(seed, given.form) for seed in range(given.seed, given.seed + given.count)]
    with multiprocessing.Pool(given.jobs, maxtasksperchild=400) as pool:
        for done, verdict in enumerate(pool.imap_unordered(_one, seeds, chunksize=8), 1):
            tally.add(verdict)
            if verdict is not None and verdict.faults and given.log:
                with given.log.open("a") as file:
                    file.write(verdict.line() + "\n")
            if done % 500 == 0:
                seconds, faults = time.perf_counter() - began, sum(map(len, tally.faults.values()))
                print(f"{done} seeds, {seconds:.0f} s, {faults} faults", flush=True)
    print("\n".join(tally.lines()))
    for (check, text), found in sorted(tally.faults.items(), key=lambda f: -len(f[1]))[
        : given.show
    ]:
        print(f"\n# {check}: {text}\n# seed {found[0]}")
        try:
            program, verdict = smallest(draw(found[0], given.form), check)
        except AssertionError:
            print("# does not fail again")
            continue
        print(f"# {program}\n# {verdict.sentences[check]}")
        print(verdict.source.split("class Network")[1])
    return 1 if tally.faults else 0
