"""`python -m striate.lectures.experiments.alexnet FOLDER` makes the kernels that the pages show, and the findings."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save

from striate.lectures.experiments.alexnet.run import Sizes, show, train
from striate.lectures.experiments.setting import Setting
from striate.writing import write_atomically


def progress(what: str, done: int, of: int) -> None:
    """One line of the terminal, written over."""
    count = f"{done:,} of {of:,}" if of else ""
    print(f"\r{what} {count}".ljust(60), end="", file=sys.stderr, flush=True)


if len(sys.argv) != 2:
    sys.exit("usage: python -m striate.lectures.experiments.alexnet FOLDER")
folder, setting, sizes = Path(sys.argv[1]), Setting(progress=progress), Sizes()
folder.mkdir(parents=True, exist_ok=True)
learned = train(setting, sizes)
write_atomically(
    folder / "first_units.safetensors", save({"kernels": learned.kernels.half().contiguous()})
)
findings = show(learned, setting, sizes)
print(file=sys.stderr)
for finding in findings:
    print(finding.save(folder), finding.verdict)
