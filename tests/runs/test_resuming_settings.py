"""A resumed run keeps its settings: others are refused, the same may be given again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.errors import RunError, UsageError
from striate.runs import Listener, train
from striate.runs.stored import parsed, signed, to_toml
from striate.training.loop import Moment


class Stop(Listener):
    def step(self, moment: Moment) -> None:
        if moment.step == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("masks", [False, True], ids=["classes", "masks"])
def test_settings_of_a_resumed_run(tmp_path: Path, masks: bool) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        mask = (pixels > 128).astype(np.uint8) * 100
        mask[:2] = 50
        files = (
            {f"images/{i}": pixels, f"masks/{i}": mask} if masks else {f"{'ab'[i % 2]}/{i}": pixels}
        )
        for name, array in files.items():
            path = tmp_path / "data" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    settings: dict[str, Any] = {"epochs": 4, "seed": 3, "precision": "auto"}
    settings |= (
        {"model": "unet", "width": "2", "ignore": "50"}
        if masks
        else {"model": "[conv4-relu-pool]*2-fc"}
    )
    run = train(tmp_path / "data", out=tmp_path / "run", listener=Stop(), **settings)
    assert not run.finished
    wrong = ("ignore", "none") if masks else ("model", "lenet5")
    for name, value in (("seed", 4), ("epochs", 2.0), wrong):
        with pytest.raises(
            UsageError, match=f"a resumed run keeps its settings: .*{name}={value}; leave it out"
        ):
            train(tmp_path / "data", out=tmp_path / "run", resume=True, **settings | {name: value})
    info = tmp_path / "run" / "run.toml"
    before = info.read_text()
    if not masks:
        raw = {**parsed(before.encode()), "classes": ["a", "x"]}
        raw["digests"] = signed({k: v for k, v in raw.items() if k != "digests"})
        info.write_bytes(to_toml(raw))
        with pytest.raises(
            RunError, match=r"run\.toml: classes are .a., .x., and the images have .a., .b."
        ):
            train(tmp_path / "data", out=tmp_path / "run", resume=True, **settings)
        info.write_text(before)
    assert train(tmp_path / "data", out=tmp_path / "run", resume=True, **settings).finished
