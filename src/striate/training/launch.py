"""Launch: which of several processes of one training this is, by what torchrun or Slurm's srun says in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from striate.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Launch:
    """One of `size` processes, number `rank` from 0; `local_rank` of `local_size` on its machine, which are others' names
    for the same. address, port: where the first process listens. restarts: how often the launcher began all of them again.
    name: what the launcher calls this job, the same after a restart.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 29500
    restarts: int = 0
    name: str = ""


ALONE = Launch()


def launched(environment: Mapping[str, str] | None = None) -> Launch:
    """What the launcher said; `ALONE` without one, and where it began one process only.

    Slurm's variables count in a step that srun began; a batch script that calls Python itself is one process, however many
    tasks it asked for. Raises UsageError for variables that contradict each other.
    """
    env = os.environ if environment is None else environment
    if "RANK" in env and "WORLD_SIZE" in env:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        rank, size = number(env, names[0]), number(env, names[1])
        found = Launch(
            rank=rank, size=size, local_rank=number(env, names[2], rank), local_size=number(env, names[3], size),
            address=env.get("MASTER_ADDR", ALONE.address), port=number(env, "MASTER_PORT", ALONE.port),
            restarts=number(env, "TORCHELASTIC_RESTART_COUNT", 0), name=env.get("TORCHELASTIC_RUN_ID", ""),
        )  # fmt: skip
    elif number(env, "SLURM_STEP_NUM_TASKS", 1) > 1 and "SLURM_PROCID" in env:
        job = number(env, "SLURM_JOB_ID", 0)
        size = number(env, "SLURM_STEP_NUM_TASKS", 1)
        tasks = re.match(r"\d+", env.get("SLURM_STEP_TASKS_PER_NODE", str(size)))
        found = Launch(
            rank=number(env, "SLURM_PROCID"), size=size, local_rank=number(env, "SLURM_LOCALID", 0),
            local_size=int(tasks[0]) if tasks else 1,
            address=env.get("MASTER_ADDR") or first_host(env.get("SLURM_STEP_NODELIST", ALONE.address)),
            port=number(env, "MASTER_PORT", 15_000 + job % 20_000), restarts=number(env, "SLURM_RESTART_COUNT", 0),
            name=f"slurm-{job}",
        )  # fmt: skip
    else:
        return ALONE
    if not 0 <= found.rank < found.size:
        raise UsageError(
            f"the launcher says that this is process {found.rank} of {found.size}, counted from 0; unset RANK and "
            "WORLD_SIZE to train in one process, or begin with torchrun"
        )
    return found if found.size > 1 else ALONE


def number(env: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    """A variable as a number of at least 0. Raises UsageError."""
    text = env.get(name)
    if text is None and otherwise is not None:
        return otherwise
    if text is None or not text.strip().isdecimal():
        raise UsageError(
            f"the variable {name} of the launcher must be a whole number, got {text!r}; unset it to train in one process"
        )
    return int(text)


def first_host(nodes: str) -> str:
    """The first of Slurm's list of hosts: `node07` of `node[07-09,12],other3`."""
    found = re.match(r"([^\[,]+)(?:\[([^\]]+)\]([^,]*))?", nodes.strip())
    if found is None:
        return ALONE.address
    name, numbers, rest = found.groups()
    return name if numbers is None else f"{name}{re.split(r'[-,]', numbers)[0]}{rest or ''}"
