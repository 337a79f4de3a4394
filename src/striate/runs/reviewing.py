"""Reviewing: the labels that a run's network doubts, what a person decided about them, and moving files accordingly.

Decisions are lines of `labels.jsonl` in the run's folder, the newest last; one that was undone is a line more. Nothing is
moved until that is asked for, and then every file still is somewhere: under its new class, or beside the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.answer import answer_of
from striate.data.naming import normal
from striate.data.source import FileSplit
from striate.documents import to_json
from striate.errors import DataError, RunError, UsageError
from striate.findings import Finding, Table
from striate.reading import read_file
from striate.runs.images import examples_of, source_of
from striate.runs.record import now
from striate.runs.run import Run
from striate.tasks.examples import Examples
from striate.wording import as_text, counted
from striate.writing import locked, write_atomically

LOG = "labels.jsonl"
LARGEST = 64_000_000  # bytes of a log that are read
ACTIONS = ("relabel", "exclude", "keep", "undo")
REVIEWED = 2000  # images that are looked at
AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Suspicion:
    """Images of a run's data with their labels, and what its network says of them, the most suspicious first.

    examples: N of them. probabilities (N, K). order (N,): by how much likelier another class is than the label, in units of
    how sure the network is of that class where it is the label (the margin of confident learning, Northcutt et al. 2021).
    suggested (N,): the class that contradicts the label, the label itself where none does.
    """

    examples: Examples
    probabilities: Tensor
    order: Tensor
    suggested: Tensor
    score: Tensor


def doubted(
    run: Run, split: str = "val", *, source: Any = None, limit: int = REVIEWED,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Suspicion:  # fmt: skip
    """The images of a split, `train`, `val` or `test`, by suspicion of their label.

    Of the training images labels may be learned by heart: what the network contradicts there is suspicious all the more,
    and it contradicts less. Raises UsageError for a task without one class an image, RunError without images.
    """
    if "labels" not in run.task.offers:
        raise UsageError(
            f"{run.path} gives {run.task.about}; labels are reviewed of networks that give one class an image"
        )
    source = source or source_of(run)
    if not len(source.splits[split]):
        raise RunError(f"{source.where} has no {split} images; choose another split")
    examples = examples_of(run, source, split, limit=limit, seed=run.recipe.seed)
    trained = run.trained
    module, parts = trained.pixels, []
    with torch.inference_mode():
        for first in range(0, len(examples), AT_ONCE):
            output = module(examples.images[first : first + AT_ONCE].float() / 255)
            parts.append(trained.task.answers(answer_of(output), trained)["probabilities"].float())
            progress(min(first + AT_ONCE, len(examples)), len(examples))
    return ranked(examples, torch.cat(parts))


def ranked(examples: Examples, probabilities: Tensor) -> Suspicion:
    """Images by suspicion. probabilities: (N, K) of each of N examples."""
    labels, p = examples.targets, probabilities.double()
    usual = torch.ones(p.shape[1], dtype=p.dtype)
    for k in labels.unique().tolist():
        usual[k] = p[labels == k, k].mean().clamp(min=1e-9)
    own = p.gather(1, labels[:, None])[:, 0]
    rivals = (p / usual).scatter(1, labels[:, None], -1.0)
    strength, rival = rivals.max(1)
    score = strength - own / usual[labels]
    return Suspicion(
        examples, probabilities, score.argsort(descending=True, stable=True),
        torch.where(score > 0, rival, labels), score,
    )  # fmt: skip


# The log


def decisions(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log, oldest first; none where there is no log. Raises RunError for a line that is none."""
    try:
        text = read_file(path / LOG, limit=LARGEST).decode()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path / LOG} cannot be read ({error}); move it away") from error
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            one = json.loads(line)
            if not isinstance(one["key"], str) or one["action"] not in (*ACTIONS, "moved"):
                raise KeyError("action")
        except (ValueError, KeyError, TypeError):
            raise RunError(f"line {number} of {path / LOG} is no decision; repair or delete it") from None  # fmt: skip
        lines.append(one)
    return lines


def decide(path: Path, key: str, action: str, label: str = "", to: str = "") -> None:
    """Note a decision about an image: `relabel` to a class, `exclude`, `keep` as it is, or `undo` the one before.

    label: the class that it has. Raises UsageError for another action, WriteError where the log cannot be written.
    """
    if action not in ACTIONS:
        raise UsageError(f"an image is reviewed by {', '.join(ACTIONS)}, got {action!r}")
    _note(path, [{"key": key, "action": action, "label": label, "to": to, "time": now()}])


def _note(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with locked(path):
        file = path / LOG
        before = read_file(file, limit=LARGEST) if file.is_file() else b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        added = "".join(to_json(line, indent=None) + "\n" for line in lines)
        write_atomically(file, before + added.encode(), durable=False)


def standing(lines: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What holds for each image: its last decision that was not undone."""
    stacks: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        stack = stacks.setdefault(str(line["key"]), [])
        if line["action"] == "undo":
            if stack:
                stack.pop()
        else:
            stack.append(line)
    return {key: stack[-1] for key, stack in stacks.items() if stack}


# Moving


def apply_decisions(run: Run) -> Finding:
    """Move image files as the log says: into the folder of their new class, or beside the data where they are excluded.

    Nothing is erased and nothing written over; what was moved is noted in the log. Raises UsageError where labels do not
    come from class folders, RunError where the data is not there.
    """
    waiting = {
        key: line
        for key, line in standing(decisions(run.path)).items()
        if line["action"] in ("relabel", "exclude")
    }
    source = source_of(run)
    root, folders = class_folders(source)
    moved: list[tuple[str, str]] = []
    left: list[tuple[str, str]] = []
    for key, line in waiting.items():
        try:
            target = place_of(root, folders, key, line)
            _move(root / key, target)
        except (OSError, DataError) as error:
            left.append((key, getattr(error, "strerror", None) or str(error)))
            continue
        moved.append((key, str(target)))
        _note(run.path, [{**line, "action": "moved", "target": str(target), "time": now()}])
    words = f"{counted(len(moved), 'file')} moved"
    words += f", {len(left)} left where they are" if left else ""
    rows = tuple((as_text(k), as_text(t)) for k, t in (*moved, *left))
    return Finding(
        name="review-apply", title="Labels that were reviewed",
        verdict=f"Of {counted(len(waiting), 'decision')} in {run.path / LOG}: {words}.",
        status="warning" if left else "good",
        advice="Train again on the data to use the new labels." if moved else "",
        tables=(Table(columns=("image", "now, or why not"), rows=rows, formats=("", "")),) if rows else (),
        data={"moved": moved, "left": left},
    )  # fmt: skip


def class_folders(source: Any) -> tuple[Path, dict[str, list[str]]]:
    """The data's root, and for each class the parts of the path of one of its images up to its folder.

    Raises UsageError where labels do not come from folders: those of a table are changed in the table.
    """
    folders: dict[str, list[str]] = {}
    root = None
    for split in source.splits.values():
        if not isinstance(split, FileSplit):
            continue
        root = split.root
        for key, label in zip(split.keys, split.labels, strict=True):
            name = source.classes[int(label)]
            parts = Path(key).parts
            at = next((i for i, p in enumerate(parts[:-1]) if normal(as_text(p)) == name), None)
            if at is not None:
                folders.setdefault(name, list(parts[: at + 1]))
    if root is None or not folders:
        raise UsageError(
            f"the labels of {source.where} do not come from a folder a class, so that no file can be moved; labels.jsonl "
            "lists what was decided"
        )
    return root, folders


def place_of(root: Path, folders: Mapping[str, Sequence[str]], key: str, line: Mapping[str, Any]) -> Path:  # fmt: skip
    """Where an image goes. Raises DataError where it does not lie in the folder of its class."""
    parts = list(Path(key).parts)
    if Path(key).is_absolute() or ".." in parts:
        raise DataError("it lies outside the data")
    at = next(
        (i for i, p in enumerate(parts[:-1]) if normal(as_text(p)) == line.get("label")), None
    )
    if at is None:
        raise DataError(f"it does not lie in a folder {line.get('label')}")
    if line["action"] == "exclude":
        return root.parent / f"{root.name}-excluded" / Path(*parts)
    new = str(line.get("to"))
    if new not in folders:
        raise DataError(f"there is no folder of the class {new}")
    return root.joinpath(*parts[:at], folders[new][-1], *parts[at + 1 :])


def _move(file: Path, target: Path) -> None:
    """Raises OSError where something stands there already, or it cannot be moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        raise DataError(f"{target} stands there already")
    os.rename(file, target)


def copies_in(images: Tensor) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) of images (N, C, H, W) uint8 that are the same to the last bit."""
    seen: dict[bytes, int] = {}
    for i, image in enumerate(images):
        data = image.numpy().tobytes()
        if data in seen:
            yield seen[data], i
        else:
            seen[data] = i
