"""Verifying: the proof that travels in a file, repeated on this machine, without the network that it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from striate.documents import from_json
from striate.errors import DataError, UsageError
from striate.export.engines import versions
from striate.export.envelope import PROOF, VERIFIED, noted, unpacked
from striate.export.kinds import OPENED, OnnxOpened
from striate.export.machine import machine, now
from striate.export.proof import compared, with_controls
from striate.export.references import References
from striate.findings import Finding
from striate.writing import write_atomically


def verify(path: Path, *, keep: bool = True) -> Finding:
    """Whether a file gives on this machine the answers that it was proven to give.

    path: as `export` wrote it, .onnx, .xml or .pt2. keep: append processor, versions and result to the file, unless it is a
    .pt2. Raises DataError for a file without a proof, altered, or of a later format; UsageError where the engine is missing;
    ExactnessError where an answer differs.
    """
    if path.suffix.lower() == ".safetensors":
        raise UsageError(
            f"{path} holds weights alone, which nothing here runs; its proof was made when it was written"
        )
    try:
        opened = OPENED.get(path.suffix.lower(), OnnxOpened)(path)
        about, stored = opened.about, opened.about.get("proof") or {}
        made = References.of(unpacked(opened.texts.get(PROOF, "")), about, stored)
    except DataError as error:
        said = str(error)
        raise DataError(
            said if said.startswith("cannot read") else f"cannot use {path}: {error}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the proof in {path} cannot be read ({error!r}); export the network again") from error  # fmt: skip
    proof = with_controls(
        compared(made, opened.session(made.names), about), [], {**machine(), **versions(), "date": now()}
    )  # fmt: skip
    records = from_json(opened.texts.get(VERIFIED, "[]"))
    record = {k: v for k, v in proof.document().items() if k != "checks"}
    written = opened.noted(**{VERIFIED: noted([*records, record])})
    if keep and written is not None:
        write_atomically(path, written)
    proof.refuse(f"do not use {path} here")
    finding = proof.finding("verification", "Repeated proof", f"{path} on {machine()['processor']}")
    return replace(finding, data={**finding.data, "file": str(path)})
