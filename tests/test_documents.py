"""JSON documents that are written piece by piece are the same documents."""

import pytest

from striate.documents import ROWS, from_json, json_in_parts, to_json


@pytest.mark.parametrize("rows", [0, 1, ROWS, ROWS + 1, 2 * ROWS + 500])
@pytest.mark.parametrize(
    "rest", [{}, {"images": [{"id": 1}], "note": "a\u0308 \udcff", "area": float("nan")}]
)
def test_a_document_in_parts_is_the_document(rows, rest):
    listed = [{"id": i, "score": i / 7, "bbox": [float(i), float("inf")]} for i in range(rows)]
    document = {"rows": listed, **rest}
    parts = list(json_in_parts(document, "rows"))
    assert from_json("".join(parts)) == from_json(to_json(document))
    assert len(parts) >= 2 + rows // ROWS
    assert max(map(len, parts)) < 100 * (ROWS + 1)
