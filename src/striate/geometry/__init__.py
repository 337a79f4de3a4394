"""Geometry: which pixels every value of a network sees, and which values every pixel can change.

    geometry = trace(module, (1, 3, 224, 224))

`Geometry` is a frozen program of integers and names, without tensors.

`geometry.values`   every tensor of the forward pass, written once. A `Value` has a `shape`, a `layout` (what each
                    dimension holds: batch, channels, positions; see `striate.geometry.layout`) and `extents`: its size
                    along each spatial axis of the input, None where it has no such axis (any more).
`geometry.records`  the operations in the order they run. A `Record` makes `values[record.output]` from
                    `values[i] for i in record.inputs`. Parameters, buffers and constants are values too, with a
                    `source` other than "record" and a qualified `name`; `Weights(geometry, module)[i]` finds them.
`record.links[j]`   how the output reads its j-th input: `link.pull(box_out) -> box_in`, `link.push(box_in, extents)`.
`record.plan.kind`  "local": a box of the output needs a box of each input. "reduce": an axis of the image ends here
                    (mean over positions). "normalise": the axes stay but statistics over all of them enter (group
                    norm, softmax over positions). "global": no rule, needs and changes everything. "whole": none of
                    its inputs has positions (the classifier's head, the gate of squeeze-and-excitation).
`record.live`       False where no result depends on it: skip it.

A *box* is a tuple with one half-open interval (start, stop) a spatial axis, rows before columns, and None where the
value has no such axis; `value.full` covers the whole value. To compute one box of one record:

    needs = [link.pull(box) for link in record.links]
    crops = [Crop(tensor, need) for ...]                  # each covers at least its need; larger is cut to it
    y = apply(geometry, record, crops, box)               # any number of images

True border padding enters only at true borders of the traced size: for an image of another size, trace again (it takes
milliseconds). `geometry.pull(value, box)` walks a box from a value back to the input, `geometry.push(box)` from the input
on; `replay(geometry, module, x)` runs the whole program and is the smallest example of walking it.
"""

from striate.geometry.apply import Crop, Weights, apply, replay
from striate.geometry.box import Box
from striate.geometry.chance import refuse_chance
from striate.geometry.drawing import draw_growth, draw_receptive_fields, draw_utilisation
from striate.geometry.effective import effective_receptive_field
from striate.geometry.exact_field import Field, receptive_field, utilisation
from striate.geometry.geometry import Geometry
from striate.geometry.outputs import leaves_of, map_tensors
from striate.geometry.record import Axis, Layer, Link, Record, Value
from striate.geometry.refusal import own_words
from striate.geometry.summary import summary, summary_rows
from striate.geometry.trace import trace

__all__ = [
    "Axis",
    "Box",
    "Crop",
    "Field",
    "Geometry",
    "Layer",
    "Link",
    "Record",
    "Value",
    "Weights",
    "apply",
    "draw_growth",
    "draw_receptive_fields",
    "draw_utilisation",
    "effective_receptive_field",
    "leaves_of",
    "map_tensors",
    "own_words",
    "receptive_field",
    "refuse_chance",
    "replay",
    "summary",
    "summary_rows",
    "trace",
    "utilisation",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "apply", "box", "index_map", "layout", "plan", "record", "rules.convolution",
    "rules.dimension", "rules.normalisation", "rules.padding", "rules.pointwise",
    "rules.pooling", "rules.product", "rules.reduction", "rules.resize", "rules.site",
    "summary", "trace",
)  # fmt: skip
