"""Refusal: what to say of a forward pass that a trace could not follow: what happened, and what helps."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from striate.errors import GeometryError, UsageError
from striate.geometry.tape import DataDependentError, UnfollowedError

SHAPED = (RuntimeError, ValueError, AssertionError, IndexError)
PARTS = "trace the parts before and after it"
# Words that torch and people use where an input does not fit.
SHAPE = re.compile(
    r"shape|size|dimension|\bdims?\b|channel|height|width|resolution|\d+x\d+|must match|mismatch|divisible|batch|"
    r"patch|multiple|out of range|too small|too large|\b[23]D\b|grey|gray|rgb|numel|elements|"
    r"length|pixels|broadcast|tensor a\b",
    re.IGNORECASE,
)
DATA = re.compile(
    r"meta|numpy\(?|tolist|item\(\)|data pointer|data_ptr|storage|fake ?tensor|without data",
    re.IGNORECASE,
)
KINDS = re.compile(
    r"should be the same|same dtype|type .* expected|found dtype|scalar type|expected .* type",
    re.IGNORECASE,
)
DEVICES = re.compile(r"device|cuda|is_cpu|\bcpu\b|\bgpu\b", re.IGNORECASE)


def refuse_misfit(module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Raise UsageError where `forward` takes other arguments than these."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise UsageError(
            f"{type(module).__name__}.forward takes ({takes}), but {error}; trace takes an input for each in a dict, "
            "such as {'x': (1, 3, 224, 224), ...}; what is no tensor, and the other inputs for all that runs one image, a "
            "module around it fixes: def forward(self, x): return self.network(x, scale=2)"
        ) from error


def fits_badly(error: Exception) -> bool:
    """Whether an operation of torch refused its shapes, and not a device or a kind of number."""
    text = str(error)
    return isinstance(error, SHAPED) and not any(p.search(text) for p in (KINDS, DATA, DEVICES))


def refusal(
    module: nn.Module, error: Exception, where: str, shapes: Sequence[tuple[int, ...]], call: str
) -> GeometryError:
    """The error for a forward pass that raised `error` in the submodule `where`.

    shapes: of the inputs. call: the operation that raised and its shapes, in words, empty where Python raised.
    """
    kind = type(error).__name__
    text = " ".join(str(error).split()) or kind
    if isinstance(error, DataDependentError):
        number = (
            text == "_local_scalar_dense"
        )  # `if x.max() > 1`, float(x), a loop until it converges
        how = "the number of a tensor in Python" if number else text
        instead = (
            "write an if as torch.where and a loop with a fixed number of steps"
            if number
            else "give that step a fixed size"
        )
        return GeometryError(
            f"{where} decides by the data ({how}), which a trace without data cannot follow; {PARTS}, or {instead}"
        )
    if isinstance(error, UnfollowedError):
        return GeometryError(f"{where} {text}")
    higher = re.search(r"rule registered for HigherOrderOperator (\w+)", text)
    if higher:
        return GeometryError(
            f"{where} uses torch's {higher[1]}, which runs a program of its own that a trace cannot follow; {PARTS}, or "
            f"write it {_instead(higher[1])}"
        )
    if call.startswith(
        "to_mkldnn "
    ):  # as torch.jit.optimize_for_inference and torch.utils.mkldnn make
        return GeometryError(
            f"{where} computes in oneDNN's own tensors (to_mkldnn), for which torch computes no shapes without data; use "
            "the network as it was before it was optimised for inference: its layers and shapes are the same"
        )
    unknown = re.search(r"(\w+::\w+)", text)
    if (
        "fake impl" in text
        or "not currently supported on the Meta" in text
        or "SparseMeta" in text
        or "QuantizedMeta" in text
    ):
        name = unknown[1] if unknown else call.partition(" of ")[0] or "an operation"
        return _no_kernel(where, name)
    shape = " and ".join("x".join(map(str, s)) for s in shapes)
    if call and KINDS.search(text):
        return GeometryError(
            f"{where} mixes kinds of numbers: {call}{text}; cast its input or its weights to the same, or give an "
            "example tensor of the kind that the network takes"
        )
    if "INTERNAL ASSERT" in text and "storage_device" in text:
        return GeometryError(
            f"{where} makes a nested tensor, which torch cannot do without data; {PARTS}, or pad instead"
        )
    if DATA.search(text) and isinstance(
        error, (RuntimeError, NotImplementedError, TypeError, ValueError)
    ):
        return GeometryError(
            f"{where} needs the data itself, which a trace without data does not have ({text.split('. ')[0][:160]}); "
            f"{PARTS}, or replace that step"
        )
    if call or (
        SHAPE.search(text)
        and isinstance(error, (RuntimeError, ValueError, AssertionError, IndexError))
    ):
        hint = "give the input shape that the network was made for"
        if len(shapes) == 1 and len(shapes[0]) == 3:
            first = ", ".join(map(str, shapes[0]))
            hint += f", with the number of images first: (1, {first})"
        return GeometryError(f"{where} refuses an input of {shape}: {call}{text}; {hint}")
    message = text if text == kind else f"{kind}: {text}"
    place = _line(error)
    device = (
        "; it was run on a tensor without data, of the weights' device"
        if DEVICES.search(text)
        else ""
    )
    return GeometryError(
        f"{where} raised {message}{place}{device}; run module(x) on an input of {shape} to see whether it does so by "
        f"itself, and if not, {PARTS}"
    )


def own_words(error: Exception, who: str, shape: tuple[int, ...]) -> str:
    """What a module raised on real data: a shape that it refuses, or else a fault of its own, as it said it."""
    kind = type(error).__name__
    text = " ".join(str(error).split())[:300] or kind
    size = "x".join(map(str, shape))
    if SHAPE.search(text) and isinstance(error, SHAPED) and not KINDS.search(text):
        return f"{who} refuses images of {size}: {text}; give the size and the channels that it was made for"
    message = text if text == kind else f"{kind}: {text}"
    return f"{who} raised {message}{_line(error)} on images of {size}; module(x) raises the same, so mend that first"


def _no_kernel(where: str, name: str) -> GeometryError:
    space = name.partition("::")[0]
    if space == "quantized" or "quantize" in name:
        return GeometryError(
            f"{where} computes in quantised numbers ({name}), for which torch computes no shapes without data; use the "
            "network as it was before quantisation: its layers and shapes are the same"
        )
    if space == "aten" or "::" not in name:
        return GeometryError(
            f"{where} runs {name} on a kind of tensor (sparse, quantised, nested) that torch cannot follow without data; "
            f"{PARTS}, or make it dense"
        )
    return GeometryError(
        f"{where} runs {name}, an operation of its own that does not give its output's shape; add one with "
        f'torch.library.register_fake("{name}"), or {PARTS}'
    )


def _instead(name: str) -> str:
    return {
        "cond": "as a choice that does not depend on the data, or with torch.where",
        "flex_attention": "with torch.nn.functional.scaled_dot_product_attention and a mask",
        "scan": "as a loop in Python",
        "associative_scan": "as a loop in Python",
        "while_loop": "as a loop of a fixed number of steps in Python",
        "map_impl": "as a loop in Python",
    }.get(name, "as operations of torch, in Python")


def _line(error: Exception) -> str:
    """File and line of the innermost step that is not torch's or ours."""
    here = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        root = trace.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if root not in ("torch", "striate"):
            here = f" ({name.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return here
