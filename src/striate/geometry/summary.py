"""summary: the network as a table that a person reads at a glance, and as rows with exact numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from striate.errors import UsageError
from striate.findings import Cell, Finding, Table
from striate.geometry.drawing import draw_growth
from striate.geometry.geometry import Geometry, Layer, axis_names
from striate.geometry.layout import BATCH, sizes
from striate.geometry.record import Axis
from striate.geometry.tree import Node, tree

ROWS = 40  # the most rows of a table whose depth was not chosen
NBSP = "\N{NO-BREAK SPACE}"


def summary(geometry: Geometry, *, depth: int | None = None, figure: bool = True) -> Finding:
    """The layers of a network: output size, window, receptive field, parameters, multiply-adds, share of the total.

    depth: levels of the module tree that are shown, what lies deeper is added up; chosen so that the table stays short
    if not given. figure: with that of the receptive field growing. `summary_rows` has the same as exact numbers.
    """
    root = tree(geometry)
    depth = _depth(root, depth)
    total = geometry.known_macs
    large = total >= 10**9
    rows: list[tuple[Cell, ...]] = []
    for level, node in root.walk(depth):
        last = node.layers[-1]
        macs = node.macs
        rows.append(
            (
                NBSP * 2 * level + node.name,
                node.kind,
                _output(geometry, last),
                _window(node.layer) if node.layer is not None else "",
                _seen(last),
                node.params or None,
                "unknown" if macs is None else macs / 1e6 if large else macs,
                None if macs is None or not total else macs / total,
            )
        )
    table = Table(
        columns=(
            "layer", "kind", "output", "window", "receptive field", "parameters",
            "MACs (M)" if large else "MACs", "share",
        ),
        rows=tuple(rows),
        formats=("", "", "", "", "", ",", ",.1f" if large else ",", ".1%"),
        caption=_caption(geometry),
    )  # fmt: skip
    unknown = [layer.name for layer in geometry.layers if layer.macs is None]
    unused = len(geometry.unused_params)
    advice = []
    if unknown:
        advice.append(
            f"multiply-adds of {_listed(unknown)} are not known, the total is at least that much"
        )
    if unused:
        advice.append(
            f"{unused:,} parameter {'tensor is' if unused == 1 else 'tensors are'} not used by this pass: "
            f"{_listed(list(geometry.unused_params))}"
        )
    if geometry.note:
        advice.append(geometry.note)
    grown = draw_growth(geometry) if figure else None
    return Finding(
        name="summary",
        title=f"{geometry.kind} on {_times(geometry.input_shape[1:])}",
        verdict=_verdict(geometry, bool(unknown)),
        status="warning" if unknown else "note",
        advice="; ".join(advice),
        tables=(table,),
        figures=() if grown is None else (grown,),
        data={"totals": totals(geometry), "layers": summary_rows(geometry, depth=depth)},
    )


def totals(geometry: Geometry) -> dict[str, Any]:
    """The sums over the network, as JSON types."""
    return {
        "kind": geometry.kind,
        "input": list(geometry.input_shape),
        "parameters": geometry.total_params,
        "multiply_adds": geometry.total_macs,
        "known_multiply_adds": geometry.known_macs,
        "activation_bytes": geometry.total_activation_bytes,
        "operations": len(geometry.layers),
    }


def summary_rows(geometry: Geometry, *, depth: int | None = None) -> list[dict[str, Any]]:
    """One dict a row of the module tree, parents before what they hold, all with the same keys and exact numbers.

    depth: levels that are listed, all if not given. `multiply_adds` is None where it is unknown; `receptive_field`
    (its size), `field_stride`, `field_start` are texts such as 11x11, in pixels, rows before columns, with "all" where
    everything is seen along an axis and a range where it depends on the position; `local_field` leaves out what comes
    through statistics over all positions (see `Layer`).
    """
    root = tree(geometry)
    total = geometry.known_macs
    rows = []
    for level, node in root.walk(_chosen(depth) or max(root.height, 1)):
        last = node.layers[-1]
        macs = node.macs
        axes = last.receptive_field
        rows.append(
            {
                "layer": node.path if node.layer is None else node.layer.name,
                "level": level,
                "kind": node.kind,
                "operation": node.layer.op if node.layer is not None else None,
                "output": "x".join(map(str, last.out_shape)),
                "window": _joined(node.layer.window) if node.layer is not None else None,
                "stride": _joined(node.layer.stride) if node.layer is not None else None,
                "receptive_field": _parts([_size(a) for a in axes]),
                "local_field": _parts([_size(a) for a in last.local_field]),
                "field_stride": _parts(["all" if a is None else str(a.stride) for a in axes]),
                "field_start": _parts(["all" if a is None else str(a.start) for a in axes]),
                "parameters": node.params,
                "multiply_adds": macs,
                "share": None if macs is None or not total else macs / total,
                "activation_bytes": node.activation_bytes,
            }
        )
    return rows


def _chosen(depth: int | None) -> int | None:
    if depth is not None and depth < 1:
        raise UsageError(f"depth counts levels of the module tree from 1, got {depth}")
    return depth


def _depth(root: Node, depth: int | None) -> int:
    """The deepest level at which the table is short enough, at least 1."""
    if _chosen(depth) is not None:
        assert depth is not None
        return depth
    best = 1
    for level in range(1, max(root.height, 1) + 1):
        if sum(1 for _ in root.walk(level)) > ROWS:
            break
        best = level
    return best


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))


def _output(geometry: Geometry, layer: Layer) -> str:
    """The shape of a layer's output for one image; positions merged with the batch are shown apart."""
    value = geometry.values[geometry.records[layer.record].output]
    shown = [
        n
        for dim, size in zip(value.layout, value.shape, strict=True)
        for n in ([m for a, m in zip(dim, sizes(dim, value.extents, 1), strict=True) if a != BATCH]
                  if BATCH in dim else [size])
    ]  # fmt: skip
    return _times(tuple(shown)) or "1"


def _parts(texts: list[str]) -> str | None:
    if not texts or set(texts) == {"all"}:
        return "all" if texts else None
    return "x".join(texts)


def _joined(sizes: tuple[int | None, ...]) -> str | None:
    return None if not sizes or None in sizes else "x".join(map(str, sizes))


@lru_cache(maxsize=4096)
def _size(axis: Axis | None) -> str:
    if axis is None:
        return "all"
    sizes = axis.sizes
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"


def _field(axes: tuple[Axis | None, ...]) -> str:
    """The receptive field of a layer in pixels, `all` where it sees everything."""
    if not axes or all(a is None for a in axes):
        return "all"
    return "×".join(_size(a) for a in axes)


def _seen(layer: Layer) -> str:
    """The receptive field; marked where statistics over all positions add everything else to it."""
    text = _field(layer.receptive_field)
    local = _field(layer.local_field)
    return text if local == text else f"{local} *"


def _window(layer: Layer) -> str:
    """Kernel, stride and dilation: `3×3`, `7×7 /2`, `3×3 dilated 2`, `2×2 ↑2`."""
    if not layer.window or all(k is None for k in layer.window):
        return ""
    text = _times(tuple(k for k in layer.window if k is not None))
    strides = tuple(s for s in layer.stride if s is not None)
    if any(s != 1 for s in strides):
        same = len(set(strides)) == 1
        text += f" {'↑' if layer.transposed else '/'}{strides[0] if same else _times(strides)}"
    spread = tuple(d for d in layer.dilation if d is not None)
    if any(d != 1 for d in spread):
        text += f" dilated {spread[0] if len(set(spread)) == 1 else _times(spread)}"
    return text


def _listed(names: list[str], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def quantity(count: int) -> str:
    """A count as people say it: 832, 51,264, 25.6 million, 4.09 billion."""
    if count < 10**6:
        return f"{count:,}"
    for power, word in ((12, "trillion"), (9, "billion"), (6, "million")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {word}"
    raise AssertionError(count)


def _verdict(geometry: Geometry, unknown: bool) -> str:
    least = "at least " if unknown else ""
    text = (
        f"{quantity(geometry.total_params)} parameters and {least}{quantity(geometry.known_macs)} multiply-adds"
        f"{'' if geometry.batch == 1 else f' for {geometry.batch} inputs'}"
    )
    image = geometry.image
    for layer in reversed(geometry.layers):
        axes = layer.receptive_field
        value = geometry.values[geometry.records[layer.record].output]
        if not value.spatial or not image:
            continue
        if any(a is None for a in axes):
            local = _field(layer.local_field)
            near = (
                ""
                if local == "all"
                else f": {local} pixels by itself, the rest through statistics over all positions"
            )
            return (
                f"{text}; the last layer with positions, {layer.name}, sees the whole input{near}."
            )
        sizes = [a.size for a in axes if a is not None]
        grid = _times(tuple(n for n in value.extents if n is not None))
        where = f"the last layer with positions, {layer.name} ({grid}), sees {_field(axes)} pixels"
        if all(s >= n for s, n in zip(sizes, image, strict=True)):
            return f"{text}; {where}, no less than the whole input of {_times(image)}."
        return f"{text}; {where} of {_times(image)}."
    return f"{text}."


def _caption(geometry: Geometry) -> str:
    names = " × ".join(
        {"y": "rows", "x": "columns", "z": "planes"}.get(a, a) for a in axis_names(geometry.axes)
    )
    mode = "training" if geometry.training else "evaluation"
    marked = any(x.local_field != x.receptive_field for x in geometry.layers)
    note = "* and everything else through statistics over all positions. " if marked else ""
    return (
        f"{note}Traced in {mode} mode. Window and receptive field in pixels{f', {names}' if names else ''}. MACs are "
        "the multiply-adds of convolutions and matrix products; a layer that runs twice counts its parameters once."
    )
