"""Kinds: what an exported file can be, each made from a program, run, sealed with its notes, and opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from striate.errors import DataError
from striate.export import pt2
from striate.export.convert import SCOPES, Program, to_onnx
from striate.export.engines import OnnxRuntime, Session
from striate.export.envelope import DIGEST, Envelope
from striate.export.vino import VinoFile, of_onnx
from striate.reading import read_file

LARGEST = 2**31  # bytes of a file that are read


class Made(Protocol):
    """A network as a file of one kind, not yet written."""

    def session(self, names: Sequence[str], precision: str) -> Session:
        """It, made ready to run. names: of the outputs. Raises RunError where the engine cannot."""

    def sealed(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        """What is written, by the ending of its name, in that order, with these notes and a digest."""

    def layer(self, words: str) -> str:
        """The layer that an engine's error speaks of; nothing where it names none."""


class OnnxMade:
    """See Made."""

    needs = ("onnx", "onnxscript", "onnxruntime")

    def __init__(self, program: Program) -> None:
        self.data = Envelope.open(to_onnx(program)).graph

    def session(self, names: Sequence[str], precision: str) -> Session:
        """See Made."""
        return OnnxRuntime(self.data)

    def sealed(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        """See Made."""
        envelope = Envelope(graph=self.data, texts=texts)
        return {".onnx": envelope.with_texts(**{DIGEST: envelope.digest}).bytes()}

    def layer(self, words: str) -> str:
        """See Made."""
        return layer_of(self.data, words)


class Pt2Made:
    """See Made."""

    needs = ()

    def __init__(self, program: Program) -> None:
        self.program = program
        self.data = pt2.saved(program, {})

    def session(self, names: Sequence[str], precision: str) -> Session:
        """See Made."""
        return pt2.TorchProgram(self.data, names)

    def sealed(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        """See Made."""
        return {".pt2": pt2.sealed(pt2.saved(self.program, texts), texts)}

    def layer(self, words: str) -> str:
        """See Made."""
        return ""


class VinoMade:
    """See Made. model: of OpenVINO, where it was changed since."""

    needs = ("onnx", "onnxscript", "openvino")

    def __init__(self, program: Program | None, model: Any = None) -> None:
        self.onnx = b"" if program is None else Envelope.open(to_onnx(program)).graph
        self.model = of_onnx(self.onnx) if model is None else model
        self.file = VinoFile.of_model(self.model)

    def session(self, names: Sequence[str], precision: str) -> Session:
        """See Made."""
        return self.file.session(precision)

    def sealed(self, texts: Mapping[str, str]) -> dict[str, bytes]:
        """See Made."""
        file = self.file.with_texts(**texts)
        made = file.with_texts(**{DIGEST: file.digest}).bytes()
        return {".bin": self.file.weights, ".xml": made}

    def layer(self, words: str) -> str:
        """See Made."""
        return layer_of(self.onnx, words)


KINDS: dict[str, tuple[str, Any]] = {
    ".onnx": ("ONNX, for ONNX Runtime and most others", OnnxMade),
    ".pt2": ("torch.export, for torch alone", Pt2Made),
    ".xml": ("OpenVINO, with a .bin beside it", VinoMade),
    ".safetensors": ("the weights alone, with run.toml beside it", None),
}
"""What is exported, by the ending of the file's name."""


class OnnxOpened:
    """An exported file that was read. texts: what is noted in it. about: the same of Striate, checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.envelope = Envelope.open(_read(path))
        self.texts, self.about = self.envelope.texts, self.envelope.about

    def session(self, names: Sequence[str]) -> Session:
        """It, made ready to run."""
        return OnnxRuntime(self.path)

    def noted(self, **texts: str) -> bytes | None:
        """The file with more notes; None where such files take none."""
        return self.envelope.with_texts(**texts).bytes()


class VinoOpened:
    """See OnnxOpened."""

    def __init__(self, path: Path) -> None:
        self.file = VinoFile.open(_read(path), _read(path.with_suffix(".bin")))
        self.texts, self.about = self.file.texts, self.file.about

    def session(self, names: Sequence[str]) -> Session:
        """See OnnxOpened."""
        return self.file.session(str(self.about.get("precision")))

    def noted(self, **texts: str) -> bytes | None:
        """See OnnxOpened."""
        return self.file.with_texts(**texts).bytes()


class Pt2Opened:
    """See OnnxOpened."""

    def __init__(self, path: Path) -> None:
        self.data = _read(path)
        self.texts = pt2.texts_of(self.data)
        self.about = pt2.about_of(self.data, self.texts)

    def session(self, names: Sequence[str]) -> Session:
        """See OnnxOpened."""
        return pt2.TorchProgram(self.data, names)

    def noted(self, **texts: str) -> bytes | None:
        """See OnnxOpened."""
        return None


OPENED: dict[str, Any] = {".pt2": Pt2Opened, ".xml": VinoOpened}
"""What opens a file, by its ending; all others are taken for ONNX."""


def layer_of(onnx_file: bytes, words: str) -> str:
    """The layer of the network that a node named in `words` came from, as the exporter noted it; nothing if none is."""
    from striate.export.engines import need

    if not onnx_file:
        return ""
    for node in need("onnx").load_from_string(onnx_file).graph.node:
        if node.name and f"{node.name}'" in words.replace('"', "'").replace("\\", ""):
            return layer_in({p.key: p.value for p in node.metadata_props})
    return ""


def layer_in(notes: Mapping[str, str]) -> str:
    """The innermost layer that the exporter's note of a node names."""
    import ast

    try:
        scopes = ast.literal_eval(notes.get(SCOPES, "[]"))
    except (ValueError, SyntaxError):
        return ""
    own = [
        s.removeprefix("network.") for s in map(str, scopes[:-1]) if s and s not in ("network", "resize")
    ]  # fmt: skip
    return own[-1] if own else ""


def _read(path: Path) -> bytes:
    """A file. Raises DataError with its name."""
    try:
        return read_file(path, limit=LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
