"""Very many rows: made when they are asked for, the same as a list of them, and as the same JSON."""

import json

import numpy as np
import pytest

from striate.documents import ROWS, Listing, json_in_parts, to_json
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.predict import coco_document
from striate.tasks.instances.prediction import InstancePrediction

ROW = [{"id": i} for i in range(2 * ROWS + 7)]


def made(asked):
    def make(first, last):
        asked.append(last - first)
        return ROW[first:last]

    return Listing(len(ROW), make)


def test_it_is_the_list_of_its_rows():
    asked = []
    rows = made(asked)
    assert len(rows) == len(ROW) and rows[-1] == ROW[-1] and rows[5:9] == ROW[5:9]
    assert rows[9:5] == [] and rows[1:9:3] == ROW[1:9:3] and rows[-4:] == ROW[-4:]
    assert list(rows) == ROW and max(asked) <= ROWS
    assert json.loads(to_json({"rows": rows})) == {"rows": ROW}
    with pytest.raises(IndexError, match="row 2007 of 2007"):
        rows[len(ROW)]


def test_it_is_written_in_parts():
    asked = []
    assert json.loads("".join(json_in_parts({"a": 1, "rows": made(asked)}, "rows")))["rows"] == ROW
    assert max(asked) <= ROWS


def test_parts_of_a_document_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    predictions = []
    for n in (3, 0, 5):
        regions = [Region.of(rng.random((4, 6)) < 0.7, 2 * i, 3 * i) for i in range(n)]
        boxes, scores = [r.box for r in regions], np.linspace(0.9, 0.1, n)
        objects = Objects.of(boxes, rng.integers(0, 2, n), scores=scores, regions=regions)
        one = InstancePrediction(path=f"{n}", size=(40, 50), objects=objects, classes=("a", "b"))
        predictions.append(one)
    entries = coco_document(predictions, ("a", "b"))["annotations"]
    assert [e["id"] for e in entries] == list(range(1, 9))
    assert [e["image_id"] for e in entries] == 3 * [1] + 5 * [3]
    assert entries[2:6] == [entries[i] for i in range(2, 6)]
    whole = list(entries)
    assert all(entries[i:j] == whole[i:j] for i in range(9) for j in range(9))
    shown = predictions[2]
    assert shown.rows(part=slice(1, 3)) == shown.rows()[1:3]
