"""The public names: what `import striate` promises."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest

import striate
from striate import api

NAMES = {
    "Finding", "Geometry", "Listener", "Recipe", "Run", "Snapshots", "StriateError", "Trained", "build", "compare",
    "compare_images", "dense", "diagnose", "dissect", "explain", "load", "network_input", "occlusion", "open_source",
    "perceptual_distance", "predict", "probe", "save", "summary", "tile", "tiled", "trace", "train", "wrap",
}  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert set(striate.__all__) - {"__version__"} == NAMES
    assert sorted(dir(striate)) == sorted(striate.__all__)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_is_there_and_says_what_it_does(name: str) -> None:
    found = getattr(striate, name)
    assert callable(found)
    assert not inspect.ismodule(found)
    assert (inspect.getdoc(found) or "").strip()


def test_another_name_is_an_error_that_lists_them() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fit'; it has Finding"):
        striate.fit  # noqa: B018


def test_the_hints_of_what_is_public_are_found_at_run_time() -> None:
    """As tools that read signatures ask for them, though torch is imported only once a verb is called."""
    verbs = [f for name in api.__all__ if inspect.isfunction(f := getattr(api, name))]
    for thing in (*(getattr(striate, name) for name in NAMES), *verbs):
        typing.get_type_hints(thing)
    assert typing.get_type_hints(striate.probe)["target"] == striate.Run | striate.Trained | str | Path  # fmt: skip
