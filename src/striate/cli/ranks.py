"""Ranks: of the processes that a launcher began with one command, the first one prints."""

from __future__ import annotations

import os


def rank() -> int:
    """The number of this process among those that torchrun or srun began, from 0; 0 of one that is alone.

    It asks only the environment, since nothing else is loaded yet: `striate.training.launch` reads the same with care.
    """
    if "WORLD_SIZE" in os.environ:
        text = os.environ.get("RANK", "0")
    elif os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        text = os.environ.get("SLURM_PROCID", "0")
    else:
        return 0
    return int(text) if text.isdecimal() else 0


def leads() -> bool:
    """Whether this process prints."""
    return rank() == 0
