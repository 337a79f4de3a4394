"""Alterations of a run's folder: each key to each wrong kind, bytes that flip, files that are gone or are no files."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch

from striate.runs.stored import UNSIGNED, UNSIGNED_RECIPE, parsed, signed
from striate.training.checkpoint import digest_of

VALUES: list[Any] = [
    0, -1, 1, 7, 2**31, 2**63, 10**400, True, False, 0.0, -0.5, 1e300, float("nan"), float("inf"), "", "x", "0", "../..",
    "/etc/passwd", "\x1b[2J", "a" * 5000, "é\u202e\n", [], [[]], ["x"], [1, "x"], {}, {"x": {"y": []}}, None,
]  # fmt: skip


@dataclass(frozen=True)
class Alteration:
    """What was altered: the file, where in it, and whether that must be refused by whatever opens the network."""

    file: str
    where: str
    refused: bool = False


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and place in nested dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()  # fmt: skip
    for key, one in entries:
        yield (*at, key)
        yield from paths(one, (*at, key))


def edited(value: Any, random: random.Random) -> tuple[Any, tuple[Any, ...]]:
    """A copy with one entry changed, taken away or added, and which."""
    value = copy.deepcopy(value)
    chosen = random.choice(list(paths(value)))
    holder = value
    for key in chosen[:-1]:
        holder = holder[key]
    how = random.random()
    if how < 0.15:
        del holder[chosen[-1]]
    elif how < 0.25 and isinstance(holder, dict):
        chosen = (*chosen[:-1], "extra")
        holder["extra"] = random.choice(VALUES[:-1])
    else:
        holder[chosen[-1]] = copy.deepcopy(random.choice(VALUES))
    return value, chosen


def without_none(value: Any) -> Any:
    """TOML has no null: an empty text instead; and whole numbers of 64 bits alone."""
    if isinstance(value, dict):
        return {str(k): without_none(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_none(v) for v in value]
    return "" if value is None else value


def alter_toml(run: Path, random: random.Random) -> Alteration:
    before = parsed((run / "run.toml").read_bytes())
    after, where = edited(before, random)
    after = without_none(after)
    how = random.random()
    if (
        how < 0.4 and "digests" in after and isinstance(after.get("recipe"), dict)
    ):  # by somebody who knows of the digests
        after["digests"] = signed({k: v for k, v in after.items() if k != "digests"})
    elif how < 0.5:  # by somebody who goes around them
        after.pop("digests", None)
        after["format"] = 2
    (run / "run.toml").write_text(tomli_w.dumps(after), encoding="utf-8")
    free = where[0] in UNSIGNED or (
        where[0] == "recipe" and where[1:2] and where[1] in UNSIGNED_RECIPE
    )
    changed = not isinstance(after.get("recipe"), dict) or signed(without_none(before)) != signed(
        after
    )
    return Alteration("run.toml", ".".join(map(str, where)), how >= 0.5 and not free and changed)


def alter_json(run: Path, random: random.Random) -> Alteration:
    file = random.choice(sorted((run / "findings").glob("*.json")))
    after, where = edited(json.loads(file.read_text()), random)
    file.write_text(json.dumps(after))
    return Alteration(f"findings/{file.name}", ".".join(map(str, where)))


def alter_csv(run: Path, random: random.Random) -> Alteration:
    file = run / "metrics.csv"
    rows = [line.split(",") for line in file.read_text().splitlines()]
    row = random.randrange(len(rows))
    cell = random.randrange(len(rows[row]))
    rows[row][cell] = random.choice(["", "x", "nan", "-1", "1e999", '"', "\x00", "é", "1,2"])
    file.write_text("\n".join(",".join(r) for r in rows))
    return Alteration("metrics.csv", f"{row}.{cell}")


def alter_checkpoint(run: Path, random: random.Random) -> Alteration:
    file = run / "checkpoint" / "last.pt"
    held = torch.load(file, weights_only=True)
    state = held["state"]
    tensors = [torch.zeros(0), torch.full((3,), float("nan")), torch.ones(2, 2, dtype=torch.int64)]
    wrong: list[Any] = [*VALUES, *tensors]
    chosen = random.choice(list(paths(state)))
    holder = state
    for key in chosen[:-1]:
        holder = holder[key]
    if random.random() < 0.2:
        del holder[chosen[-1]]
    else:
        holder[chosen[-1]] = random.choice(wrong)
    if random.random() < 0.8:  # by somebody who knows of the digest
        held["digest"] = digest_of(state)
    torch.save(held, file)
    return Alteration("checkpoint/last.pt", ".".join(map(str, chosen)))


def alter_bytes(run: Path, random: random.Random) -> Alteration:
    file = random.choice(sorted(p for p in run.rglob("*") if p.is_file()))
    data = bytearray(file.read_bytes())
    before = bytes(data)
    how = random.choice(["flip", "flip", "truncate", "append", "zero", "utf16", "deep"])
    if how == "flip" and data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif how == "truncate":
        del data[random.randrange(len(data) + 1) :]
    elif how == "append":
        data += random.randbytes(20)
    elif how == "zero":
        data[:] = bytes(len(data))
    elif how == "utf16":
        data[:] = "format = 3".encode("utf-16")
    else:
        data[:] = b"[" * 30_000
    file.write_bytes(data)
    weights = file.name == "model.safetensors" and bytes(data) != before
    return Alteration(str(file.relative_to(run)), how, weights)


def alter_files(run: Path, random: random.Random) -> Alteration:
    file = random.choice(sorted(p for p in run.rglob("*")))
    name = str(file.relative_to(run))
    how = random.choice(["gone", "folder", "loop", "pipe", "unreadable"])
    if file.is_dir():
        for below in file.iterdir():
            below.unlink()
        file.rmdir()
    elif how != "unreadable":
        file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "loop":
        file.symlink_to(file.name)
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "unreadable" and file.is_file():
        file.chmod(0)
    return Alteration(name, how)


ALTERATIONS = (
    (alter_toml, 8), (alter_json, 4), (alter_csv, 1), (alter_checkpoint, 2), (alter_bytes, 3), (alter_files, 2)
)  # fmt: skip
