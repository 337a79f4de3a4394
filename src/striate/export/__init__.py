"""Export: a trained network as one file for other programs, which carries the proof that its answers are the same.

export(trained, Path("model.onnx"))     # nothing is written where an answer differs
verify(Path("model.onnx"))              # the same proof, on the machine where the file is used
"""

from striate.export.exporting import PRECISIONS, export, refuse
from striate.export.fast import NAMES as ENGINES
from striate.export.fast import on_engine, share_of
from striate.export.gate import Gate
from striate.export.script import write_script
from striate.export.verifying import verify

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Gate",
    "export",
    "on_engine",
    "refuse",
    "share_of",
    "verify",
    "write_script",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ()
