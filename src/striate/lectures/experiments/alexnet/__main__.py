"""`python -m striate.lectures.experiments.alexnet FOLDER` makes the kernels that the pages show, and the findings."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from striate.lectures.experiments.alexnet.run import Sizes, show, train
from striate.lectures.experiments.setting import Setting

folder, setting, sizes = Path(sys.argv[1]), Setting(), Sizes()
learned = train(setting, sizes)
folder.mkdir(parents=True, exist_ok=True)
save_file({"kernels": learned.kernels.half()}, folder / "first_units.safetensors")
for finding in show(learned, setting, sizes):
    print(finding.save(folder), finding.verdict)
