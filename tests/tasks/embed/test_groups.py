"""Errors by group: one that is taken for others more often is named; what names no groups is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import DataError, UsageError
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.verification import rates_at
from striate.tasks.embed.findings.by_group import by_group
from striate.tasks.embed.findings.held import Held
from striate.tasks.embed.groups import GroupedSource


def test_a_group_of_look_alikes_is_named(population: Any) -> None:
    embeddings, labels = population(60, 4, 0)
    alike = labels < 20
    middle = embeddings[alike].mean(0)
    embeddings[alike] = 0.5 * embeddings[alike] + 0.5 * middle / np.linalg.norm(middle)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    groups = ["alike" if a else "others" for a in alike]
    groups[-1] = ""  # of no group
    held = Held(embeddings, labels, [f"n{i}" for i in range(60)], ["x"] * 240, lambda i: None)
    found = by_group(held, "place", groups)
    assert found.status == "warning" and "'alike'" in found.verdict
    threshold = found.data["threshold"]
    for said in found.data["groups"]:
        some = np.array(groups) == said["group"]
        rates = rates_at(Embedded.of(embeddings[some], labels[some]), threshold)
        assert (said["far"]["pairs"], said["far"]["accepted"], said["far"]["low"]) == (rates.far.of, rates.far.hits, rates.far.low)  # noqa: E501  # fmt: skip
        assert said["images"] == some.sum()
    assert by_group(held, "place", ["all"] * 240).status == "note"


def test_groups_come_from_a_column_of_the_table(tmp_path: Path) -> None:
    lines = ["file,label,camera"]
    for k in range(6):
        for i in range(2):
            Image.fromarray(np.full((8, 8, 3), 40 * k + i, np.uint8)).save(tmp_path / f"{k}{i}.png")
            lines.append(f"{k}{i}.png,n{k},{'' if k == 0 else 'left' if i else 'right'}")
    table = tmp_path / "people.csv"
    table.write_text("\n".join(lines) + "\n")

    def opened(column: str) -> Any:
        return striate.open_source(str(table), task="embed", group=column)

    source = opened("camera")
    assert isinstance(source, GroupedSource)
    assert source.groups["00.png"] == "" and source.groups["31.png"] == "left"
    assert set(source.groups) == {k for split in source.splits.values() for k in split.keys}
    with pytest.raises(DataError, match="no column 'place'; it has file, label, camera"):
        opened("place")
    # A run is measured on other images too, which need no groups.
    assert not isinstance(
        striate.open_source(str(table), task="embed", group="place", identities=3), GroupedSource
    )
    with pytest.raises(UsageError, match="digits has none; leave it out"):
        striate.open_source("digits", task="embed", group="camera")
