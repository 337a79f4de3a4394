"""Reviewed: images by suspicion of their label, and what a person decides about them, for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from striate.errors import UsageError
from striate.runs.images import source_of
from striate.runs.refitting import refitted
from striate.runs.reviewing import Suspicion, copies_in, decide, decisions, doubted, standing
from striate.statistics.intervals import wilson
from striate.studio.describing import thumbnail
from striate.studio.desk import Part
from striate.studio.numbers import text_in, whole_in
from striate.studio.shelf import Network, Picture

SPLITS = ("val", "test", "train")
PAGE = 60  # images that are sent at once


class Review:
    """The images of one run's split. network: of the run. Raises UsageError for one that comes from none."""

    def __init__(self, one: Network, split: str) -> None:
        if not Path(one.base).is_dir():
            raise UsageError(f"{one.base} has no labels to review; start the studio with a run")
        if split not in SPLITS:
            raise UsageError(f"labels are reviewed of {', '.join(SPLITS)}, got {split!r}")
        self.one, self.split = one, split
        self.run = one.run()
        source = self.source = source_of(self.run)
        self.counts = {name: len(source.splits[name]) for name in SPLITS}
        filled = next((n for n in (split, *SPLITS) if self.counts[n]), split)
        self.split = filled
        self.found: Suspicion = doubted(self.run, filled, source=source)
        self.order = self.found.order.tolist()
        examples, classes = self.found.examples, self.run.classes
        self.copies: dict[int, list[int]] = {}
        for a, b in copies_in(examples.images):
            self.copies.setdefault(a, []).append(b)
            self.copies.setdefault(b, []).append(a)
        one.reviewed = {
            f"r{i}": Picture(examples.keys[i], examples.images[i].numpy(), classes[int(examples.targets[i])])
            for i in range(len(examples))
        }  # fmt: skip

    def page(self, first: int) -> Part:
        """Images from a place of the order on, with their thumbnails."""
        some = self.order[first : first + PAGE]
        held = standing(decisions(self.run.path))
        header = {
            "first": first, "of": len(self.order), "split": self.split, "counts": self.counts,
            "classes": list(self.run.classes), "log": str(self.run.path / "labels.jsonl"),
            "decided": len(held), "images": [self._image(i, held) for i in some], "run": self.one.base,
        }  # fmt: skip
        images = self.found.examples.images
        return header, {f"r{i}": thumbnail(images[i].numpy()) for i in some}

    def _image(self, i: int, held: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        examples, classes = self.found.examples, self.run.classes
        p = self.found.probabilities[i]
        suggested = int(self.found.suggested[i])
        decision = held.get(examples.keys[i])
        return {
            "id": f"r{i}", "key": examples.keys[i], "label": classes[int(examples.targets[i])],
            "suggested": classes[suggested], "sure": float(p[suggested]), "own": float(p[int(examples.targets[i])]),
            "doubted": bool(self.found.score[i] > 0), "copies": [f"r{j}" for j in self.copies.get(i, [])],
            "decision": None if decision is None else {"action": decision["action"], "to": decision.get("to", "")},
        }  # fmt: skip

    def decide(self, question: Mapping[str, Any]) -> Part:
        """Note what was decided about one image. Raises UsageError for no image or class of these."""
        number = text_in(question, "picture")
        if number not in self.one.reviewed:
            raise UsageError(
                "this image is not one of those that are reviewed; load the page again"
            )
        i = int(number[1:])
        action = text_in(question, "action")
        classes, examples = self.run.classes, self.found.examples
        label = classes[int(examples.targets[i])]
        to = classes[whole_in(question, "to", 0, len(classes) - 1)] if action == "relabel" else ""
        decide(self.run.path, examples.keys[i], action, label, to)
        held = standing(decisions(self.run.path))
        return {"image": self._image(i, held), "decided": len(held)}, {}


def review(one: Network, question: Mapping[str, Any]) -> Iterator[Part]:
    """Images by suspicion of their label, from `first` on; ranked again where the split is another."""
    split = text_in(question, "split") if "split" in question else "val"
    first = whole_in(question, "first", 0, 1 << 30) if "first" in question else 0
    if one.review is None or (one.review.split != split and "split" in question):
        one.review = Review(one, split)
    yield one.review.page(first)


def decided(one: Network, question: Mapping[str, Any]) -> Part:
    """See `Review.decide`."""
    if one.review is None:
        raise UsageError("the review was begun before this studio was started; load the page again")
    found: Part = one.review.decide(question)
    return found


def refit(one: Network) -> Part:
    """Accuracy with the last layer fitted to the labels before and after what was decided; see `refitted`."""
    if one.review is None:
        raise UsageError("the review was begun before this studio was started; load the page again")
    found = refitted(one.review.run, source=one.review.source)
    header = {
        name: {"right": right, "interval": wilson(right, found.of)}
        for name, right in (("before", found.before), ("after", found.after))
    }
    counts = {"of": found.of, "split": found.split, "trained": found.trained}
    return {**header, **counts, "relabelled": found.relabelled, "excluded": found.excluded}, {}
