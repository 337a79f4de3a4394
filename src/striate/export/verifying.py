"""Verifying: the proof that travels in a file, repeated on this machine, without the network that it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from striate.documents import from_json
from striate.errors import DataError
from striate.export.engines import OnnxRuntime, versions
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

    keep: append processor, versions and result to the file. Raises DataError for a file without a proof, altered, or of a
    later format; UsageError where the engine is missing; ExactnessError where an answer differs.
    """
    envelope = opened(path)
    about = envelope.about
    stored = about.get("proof") or {}
    try:
        made = References.of(
            unpacked(envelope.texts.get(PROOF, "")), about["labels"], str(about["decides"]), float(stored["deviation"])
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the proof in {path} cannot be read ({error!r}); export the network again") from error  # fmt: skip
    session = OnnxRuntime(path)
    proof = with_controls(
        compared(made, session, about), [], {**machine(), **versions(), "date": now()}
    )
    if keep:
        records = from_json(envelope.texts.get(VERIFIED, "[]"))
        record = {k: v for k, v in proof.document().items() if k != "checks"}
        texts = {VERIFIED: noted([*records, record])}
        write_atomically(path, envelope.with_texts(**texts).bytes())
    proof.refuse(f"do not use {path} here")
    finding = proof.finding("verification", "Repeated proof", f"{path} on {machine()['processor']}")
    return replace(finding, data={**finding.data, "file": str(path)})


def opened(path: Path) -> Envelope:
    """A file taken apart. Raises DataError with its name."""
    try:
        data = read_file(path, limit=LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
    try:
        envelope = Envelope.open(data)
        _ = envelope.about
    except DataError as error:
        raise DataError(f"cannot use {path}: {error}") from error
    return envelope
