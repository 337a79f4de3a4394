"""Convert: a trained network's graph to a program (torch.export), and that to ONNX, with the layer named that cannot go."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from striate.borrow import borrowed
from striate.errors import StriateError, UsageError
from striate.export.engines import first_line, need
from striate.export.graph import IMAGES, Graph

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

OPSET = 18  # of ONNX: the first with an antialiased Resize, read by every engine of the last years
SAMPLE = 2  # images that are traced; 0 and 1 would be taken for constants
SCOPES = "pkg.torch.onnx.name_scopes"  # under which the exporter notes a node's layer
LARGEST = 2**31 - 2**20  # bytes that one ONNX file can hold


class Program:
    """A module of a trained network that was traced. name, parameters: the network's, and its bytes. input, names: of what
    goes in and out; names as they come where there are none. program: torch's ExportedProgram.
    """

    def __init__(
        self, trained: Trained, module: nn.Module, sample: torch.Tensor, moving: dict[int, Any], remedy: str,
        input: str = IMAGES, names: list[str] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.input, self.names = trained.name, input, names
        self.parameters = sum(p.numel() * p.element_size() for p in trained.model.parameters())
        with quiet(), borrowed(trained.model), torch.no_grad():
            try:
                self.program = torch.export.export(
                    module.eval(), (sample,), dynamic_shapes=(moving,), strict=False
                )
            except StriateError:
                raise
            except Exception as error:  # whatever a network of somebody else raises
                raise UsageError(
                    f"{trained.name} cannot be exported: {_where(error, trained.model)} stops the trace "
                    f"({type(error).__name__}: {first_line(error)}); write that layer without what depends on values, or "
                    f"{remedy}"
                ) from error

    @classmethod
    def of_images(cls, trained: Trained, size: tuple[int, int] | None, names: list[str]) -> Program:
        """From images to answers, see `Graph`. size: (height, width) of the images, None for any. names: of the outputs."""
        graph = Graph(trained, size).eval()
        how = trained.preprocessing
        height, width = size or (
            how.height + 2 if graph.resize is not None else how.height,
            how.width,
        )
        if size is None and graph.own_size:
            height, width = (
                height + 3,
                width + 5,
            )  # no multiples, so that what pads to some is in it
        elif size is None and height == width:
            width += 3  # equal sides would be taken for one and the same
        images = torch.zeros((SAMPLE, height, width, how.channels), dtype=torch.uint8)
        moving: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
        if size is None:
            moving |= {1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
        remedy = "leave --size out" if size is not None else "give --size HEIGHTxWIDTH"
        return cls(trained, graph, images, moving, remedy, names=names)

    @classmethod
    def of_network(cls, trained: Trained, module: nn.Module) -> Program:
        """A module of normalised images (N, C, H, W) float32, of any size where the task has images of any."""
        how = trained.preprocessing
        moving: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
        height, width = how.size
        if trained.task.axes == 4:
            moving |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
            height, width = height + 3, width + 5  # see `of_images`
        sample = torch.zeros((SAMPLE, how.channels, height, width))
        return cls(trained, module, sample, moving, "use --engine torch", "x")


def to_onnx(program: Program) -> bytes:
    """The program as an ONNX file. Raises UsageError with the layer whose operation ONNX lacks."""
    need("onnx")
    need("onnxscript")
    if program.parameters > LARGEST:
        raise UsageError(
            f"{program.name} has {program.parameters / 1e9:.1f} GB of weights, and one ONNX file holds 2 GB; export to .pt2"
        )
    with quiet():
        try:
            _own_memory(program.program)
            made: Any = torch.onnx.export(program.program, dynamo=True, opset_version=OPSET, verbose=False)  # fmt: skip
            # Of a program that was traced it takes no names.
            made.model.graph.inputs[0].name = program.input
            outputs = list(made.model.graph.outputs)
            for value, name in zip(
                outputs, program.names or [v.name for v in outputs], strict=True
            ):
                value.name = name
            proto = made.model_proto
            for (
                node
            ) in proto.graph.node:  # lines of source files, with their places on this machine
                kept = [p for p in node.metadata_props if p.key == SCOPES]
                del node.metadata_props[:]
                node.metadata_props.extend(kept)
                node.doc_string = ""
            data: bytes = proto.SerializeToString()
        except Exception as error:  # its errors have no common class
            raise UsageError(
                f"{program.name} cannot be written as ONNX: {_lacking(error, program.program)}; export to .pt2, or replace "
                "that layer"
            ) from error
    return data


def _own_memory(program: Any) -> None:
    """Give what is turned and then reshaped memory of its own: where an operation above, such as attention, is taken apart,
    its result lies otherwise in memory, and the view that a reshape had become is refused."""
    aten = torch.ops.aten
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        shapes = node.target in (aten.view.default, aten.reshape.default)
        if shapes and node.args[0].target in (aten.transpose.int, aten.permute.default):
            with graph.inserting_before(node):
                turned = node.args[0]
                own = graph.call_function(
                    aten.clone.default, (turned,), {"memory_format": torch.contiguous_format}
                )
                own.meta = dict(turned.meta)
                node.replace_input_with(turned, own)


def _where(error: BaseException, network: nn.Module) -> str:
    """The innermost layer in whose forward pass an error arose, by its name."""
    names = {id(module): name for name, module in network.named_modules()}
    found, trace = "the network", error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names:
            found = f"layer {names[id(owner)] or 'of the network itself'} ({type(owner).__name__})"
        trace = trace.tb_next
    return found


def _lacking(error: BaseException, program: Any) -> str:
    """Which operation ONNX has nothing for, and in which layer it stands."""
    text, cause = "", error
    while cause is not None:
        text += f"{cause}\n"
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    found = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", text)
    if found is None:
        return first_line(error)
    with contextlib.suppress(Exception):  # the layer is told where it can be
        for made in (program, program.run_decompositions()):  # the exporter splits operations first
            for node in made.graph.nodes:
                if node.op == "call_function" and str(node.target).startswith(f"{found[1]}."):
                    stack = list((node.meta.get("nn_module_stack") or {}).values())
                    layer = str(stack[-1][0]).removeprefix("network").lstrip(".") if stack else ""
                    return f"ONNX has nothing for {found[1]}" + (f" of layer {layer}" if layer else "")  # fmt: skip
    return f"ONNX has nothing for {found[1]}"


@contextmanager
def quiet() -> Iterator[None]:
    """What exporters say of themselves is not shown."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
