"""Many random folders, by hand: `python tests/properties/fuzz_folders.py --count 5000 --jobs 2`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from random_folders import Truth, make

from striate.cli import main
from striate.data import Source, open_source
from striate.errors import StriateError


def judge(seed: int, *, command: bool = False) -> tuple[str, list[str]]:
    """What kind of folder a seed gives, and how its reading differs from the truth."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        root.mkdir()
        truth = make(root, seed)
        data = root / truth.given if truth.given else root
        try:
            found: Source | str = open_source(data)
        except StriateError as error:
            found = str(error)
        except Exception:
            return " ".join(truth.story), [traceback.format_exc()]
        wrong = differences(truth, found)
        if command:
            wrong += of_command(data, found)
        return " ".join(truth.story), wrong


def differences(truth: Truth, found: Source | str) -> list[str]:
    """In words, where a reading is not the truth."""
    if isinstance(found, str):
        right = truth.refused and truth.refused in found and "\n" not in found
        return [] if right else [f"refused: {found}"]
    if truth.refused:
        return [f"not refused: {truth.refused}"]
    wrong = []
    classes, splits = {}, {}
    for name, split in found.splits.items():
        for key, label in zip(split.keys, split.labels.tolist(), strict=True):
            classes[key], splits[key] = found.classes[label], name
    pairs = (
        ("classes", classes, truth.classes),
        ("splits", {k: splits.get(k) for k in truth.splits}, truth.splits),
        ("damaged", {d.path for d in found.damaged}, truth.damaged),
        ("outside", set(found.outside), truth.outside),
        ("left out", {one.kind: set(one.paths) for one in found.left_out}, truth.left),
        ("duplicates", len(found.duplicates), 0),
    )
    for what, got, right in pairs:
        if got != right:
            wrong.append(f"{what}: {got} where {right} is right")
    return wrong


def of_command(data: Path, found: Source | str) -> list[str]:
    """In words, where `striate data --format json` says something else than the library."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    # What is no classes may be another task's: tags, numbers.
    task = ["--task", "classify"] if isinstance(found, str) else []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["data", str(data), "--format", "json", *task])
        except SystemExit as stop:
            status = int(stop.code or 0)
    if isinstance(found, str):
        return (
            []
            if status in (1, 2) and not out.getvalue()
            else [f"status {status}: {out.getvalue()}"]
        )
    said = json.loads(out.getvalue())["data"]["data"] if status == 0 else {}
    right = {
        "classes": list(found.classes),
        "counts": {name: found.counts()[:, i].tolist() for i, name in enumerate(found.splits)},
        "damaged": [{"path": d.path, "reason": d.reason} for d in found.damaged],
        "outside": list(found.outside),
        "left_out": [one.to_dict() for one in found.left_out],
    }
    return [
        f"{k}: the command says {said.get(k)}, the library {v}"
        for k, v in right.items()
        if said.get(k) != v
    ]


def run() -> None:
    """Judge many seeds and print what differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--command", action="store_true", help="run `striate data` on each, too")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.count)
    kinds: Counter[str] = Counter()
    failed = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        results = pool.map(partial(judge, command=options.command), seeds, chunksize=20)
        for seed, (story, wrong) in zip(seeds, results, strict=True):
            kinds[story] += 1
            failed += bool(wrong)
            if wrong and failed <= 20:
                print(f"seed {seed} ({story})", *wrong, sep="\n  ")
    print(f"{options.count} folders, {failed} read otherwise than they are; {dict(kinds)}")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    run()
