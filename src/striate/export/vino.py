"""OpenVINO's files: `model.xml` with the graph and what Striate noted, and `model.bin` with the weights beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import quoteattr, unescape

from striate.errors import DataError
from striate.export.engines import OpenVinoSession, need
from striate.export.envelope import checked, digest_with

_OURS = re.compile(rb"\t*<striate_export>.*?</striate_export>\n", re.DOTALL)
_TEXT = re.compile(r'<(striate\w*) value=("[^"]*"|\'[^\']*\') />')
_QUOTED = {"&quot;": '"', "&apos;": "'", "&#10;": "\n", "&#13;": "\r", "&#9;": "\t"}


@dataclass(frozen=True, kw_only=True)
class VinoFile:
    """Both files taken apart. graph: the .xml without what Striate noted. weights: the .bin. texts: what was noted."""

    graph: bytes
    weights: bytes
    texts: Mapping[str, str]

    @classmethod
    def of_model(cls, model: Any) -> VinoFile:
        """A model of OpenVINO in float32."""
        with TemporaryDirectory(prefix="striate-") as name:
            file = Path(name) / "model.xml"
            need("openvino").save_model(model, str(file), compress_to_fp16=False)
            return cls(
                graph=file.read_bytes(), weights=file.with_suffix(".bin").read_bytes(), texts={}
            )

    @classmethod
    def open(cls, data: bytes, weights: bytes) -> VinoFile:
        """Raises DataError for what is no graph of OpenVINO."""
        if not re.match(rb"\s*<\?xml[^>]*>\s*<net ", data[:400]) or b"</net>" not in data[-100:]:
            raise DataError(
                "it is no graph of OpenVINO, or was cut short; export the network again"
            )
        noted = _OURS.search(data)
        try:
            own = "" if noted is None else noted[0].decode()
        except UnicodeDecodeError:
            raise DataError("it was damaged; export the network again") from None
        texts = {m[1]: unescape(m[2][1:-1], _QUOTED) for m in _TEXT.finditer(own)}
        return cls(graph=_OURS.sub(b"", data), weights=weights, texts=texts)

    def bytes(self) -> bytes:
        """The .xml. What is noted is the last entry of OpenVINO's own section for such things."""
        lines = "".join(
            f"\t\t\t<{name} value={quoteattr(text)} />\n" for name, text in self.texts.items()
        )
        own = f"\t\t<striate_export>\n{lines}\t\t</striate_export>\n".encode()
        head, section, tail = self.graph.rpartition(b"\t</rt_info>\n</net>")
        if not section:
            head, section, tail = self.graph.rpartition(b"</net>")
            own, section = b"\t<rt_info>\n" + own, b"\t</rt_info>\n</net>"
        return head + own + section + tail

    def with_texts(self, **texts: str) -> VinoFile:
        """The same with other notes."""
        return VinoFile(graph=self.graph, weights=self.weights, texts={**self.texts, **texts})

    @property
    def digest(self) -> str:
        """SHA-256 of graph, weights and all notes but the digest itself and the records of verifications."""
        made = hashlib.sha256(re.sub(rb"\s*</?rt_info ?/?>\s*", b"", self.graph))
        made.update(hashlib.sha256(self.weights).digest())
        return digest_with(made, self.texts)

    @property
    def about(self) -> dict[str, Any]:
        """What Striate noted, see `Envelope.about`."""
        return checked(self.texts, self.digest)

    def session(self, precision: str) -> OpenVinoSession:
        """It, made ready to run. Raises RunError."""
        return OpenVinoSession(self.graph, self.weights, precision=precision)


def of_onnx(data: bytes) -> Any:
    """An ONNX file as OpenVINO's model. Raises RunError where it lacks an operation."""
    from striate.errors import RunError
    from striate.export.engines import said

    vino = need("openvino")
    try:
        return vino.Core().read_model(data)
    except Exception as error:  # its errors are all RuntimeError
        raise RunError(
            f"openvino {str(vino.__version__).split('-')[0]} cannot read the network: {said(error)}; export to .onnx"
        ) from error
