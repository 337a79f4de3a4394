"""Verbs: the public functions of `striate.api` as methods of whatever holds a trained network."""

from __future__ import annotations

import importlib
from typing import Any


class Verbs:
    """`x.predict(...)` is `striate.predict(x, ...)`, and so on.

    The functions stand above everything that has them as methods, so each is looked up when it is called.
    """

    def predict(self, images: Any, **options: Any) -> Any:
        """Predictions of images, one after another; see `striate.predict`."""
        return _verb("predict")(self, images, **options)

    def explain(self, images: Any, target: Any = None, **options: Any) -> Any:
        """Which pixels decided, image after image; see `striate.explain`."""
        return _verb("explain")(self, images, target, **options)

    def units(self, **options: Any) -> Any:
        """What units look for, as findings; see `striate.api.units`."""
        return _verb("units")(self, **options)

    def dissect(self, concepts: Any = "concepts", **options: Any) -> Any:
        """Which concept each unit finds, as findings; see `striate.dissect`."""
        return _verb("dissect")(self, concepts, **options)

    def probe(self, data: Any = None, labels: Any = None, **options: Any) -> Any:
        """Where it breaks, as findings; see `striate.probe`."""
        return _verb("probe")(self, data, labels, **options)

    def diagnose(self, data: Any = None, labels: Any = None, **options: Any) -> Any:
        """What is wrong inside, as findings; see `striate.diagnose`."""
        return _verb("diagnose")(self, data, labels, **options)

    def summary(self, **options: Any) -> Any:
        """Its layers, as a finding; see `striate.summary`."""
        return _verb("summary")(self, **options)

    def tile(self, image: Any, out: Any = None, **options: Any) -> Any:
        """One image of any size, as a finding; see `striate.tile`."""
        return _verb("tile")(self, image, out, **options)

    def export(self, out: Any, **options: Any) -> Any:
        """Write it into one file for other programs, with a proof, as a finding; see `striate.export`."""
        return _verb("export")(self, out, **options)

    def report(self, data: Any = None, labels: Any = None, **options: Any) -> Any:
        """Write its page and return where it is; see `striate.api.report`."""
        return _verb("report")(self, data, labels, **options)

    def network_input(self, images: Any, **options: Any) -> Any:
        """A picture of what the network sees of images, as a finding; see `striate.network_input`."""
        return _verb("network_input")(getattr(self, "trained", self), images, **options)

    def save(self, path: Any, **options: Any) -> Any:
        """Make a run folder of a network that was wrapped; see `striate.save`."""
        return _verb("save")(getattr(self, "trained", self), path, **options)


def _verb(name: str) -> Any:
    return getattr(importlib.import_module("striate.api"), name)
