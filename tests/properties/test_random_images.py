"""Files drawn at random hold one meaning for every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_images import differs, draw

FILES = 300


@pytest.mark.parametrize("part", range(4))
def test_a_file_drawn_at_random_is_read_alike_by_every_command(tmp_path: Path, part: int) -> None:
    for number in range(part, FILES, 4):
        rng = np.random.default_rng(number)
        case = draw(rng)
        assert not differs(case, tmp_path, rng), f"{number}: {case.name}"
