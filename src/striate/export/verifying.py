"""Verifying: the proof that travels in a file, repeated on this machine, without the network that it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from striate.documents import from_json
from striate.errors import DataError
from striate.export import pt2
from striate.export.engines import OnnxRuntime, Session, versions
from striate.export.envelope import PROOF, VERIFIED, Envelope, noted, unpacked
from striate.export.machine import machine, now
from striate.export.proof import compared, with_controls
from striate.export.references import References
from striate.findings import Finding
from striate.reading import read_file
from striate.writing import write_atomically

LARGEST = 2**31  # bytes of a file that are read


def verify(path: Path, *, keep: bool = True) -> Finding:
    """Whether a file gives on this machine the answers that it was proven to give.

    keep: append processor, versions and result to the file, where it is of ONNX. Raises DataError for a file without a
    proof, altered, or of a later format; UsageError where the engine is missing; ExactnessError where an answer differs.
    """
    data = _read(path)
    try:
        envelope = None if path.suffix.lower() == ".pt2" else Envelope.open(data)
        texts = pt2.texts_of(data) if envelope is None else envelope.texts
        about = pt2.about_of(data, texts) if envelope is None else envelope.about
        stored = about.get("proof") or {}
        made = References.of(
            unpacked(texts.get(PROOF, "")), about["labels"], str(about["decides"]), float(stored["deviation"]),
            float(stored["noise"]),
        )  # fmt: skip
    except DataError as error:
        raise DataError(f"cannot use {path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the proof in {path} cannot be read ({error!r}); export the network again") from error  # fmt: skip
    session: Session
    session = pt2.TorchProgram(data, made.names) if envelope is None else OnnxRuntime(path)
    proof = with_controls(
        compared(made, session, about), [], {**machine(), **versions(), "date": now()}
    )
    if keep and envelope is not None:
        records = from_json(envelope.texts.get(VERIFIED, "[]"))
        record = {k: v for k, v in proof.document().items() if k != "checks"}
        kept = {VERIFIED: noted([*records, record])}
        write_atomically(path, envelope.with_texts(**kept).bytes())
    proof.refuse(f"do not use {path} here")
    finding = proof.finding("verification", "Repeated proof", f"{path} on {machine()['processor']}")
    return replace(finding, data={**finding.data, "file": str(path)})


def _read(path: Path) -> bytes:
    """A file. Raises DataError with its name."""
    try:
        return read_file(path, limit=LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
