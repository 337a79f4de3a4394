"""Export: a trained network as one file for other programs, which carries the proof that its answers are the same.

export(trained, Path("model.onnx"))     # nothing is written where an answer differs
verify(Path("model.onnx"))              # the same proof, on the machine where the file is used
"""

from striate.export.exporting import export, write_script
from striate.export.fast import NAMES as ENGINES
from striate.export.fast import on_engine
from striate.export.verifying import verify

__all__ = ["ENGINES", "export", "on_engine", "verify", "write_script"]

# Files of this room that other rooms import from, beside the names above.
OPEN = ()
