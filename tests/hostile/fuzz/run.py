"""Fuzz one target, guided by coverage: `python run.py TARGET SECONDS [CORPUS]`. Needs atheris (`pip install atheris`)."""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
with atheris.instrument_imports(include=["striate", "tifffile", "csv"]):
    from targets import TARGETS

target, seconds = sys.argv[1], int(sys.argv[2])
corpus = sys.argv[3] if len(sys.argv) > 3 else str(HERE.parent / "corpus" / target)
options = [
    f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=4096", "-print_final_stats=1"
]  # fmt: skip
atheris.Setup([sys.argv[0], *options, corpus], TARGETS[target])
atheris.Fuzz()
