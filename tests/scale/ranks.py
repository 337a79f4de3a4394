"""Processes that train together, forked from one that has imported everything once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["torch", "striate.runs.preparing", "striate.runs.training", "torch.distributed"]
)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def together(
    size: int, work: Callable[..., Any], *arguments: Any, folder: Path, seconds: float = 1800, lost: tuple[int, ...] = (),
    restarts: int = 0,
) -> list[Any]:  # fmt: skip
    """What `work(*arguments)` gives in each of `size` processes that found each other; raises what one of them raised.

    lost: those that give nothing, since they are killed. restarts: how often the launcher says that it began them again.
    """
    port = free_port()
    for rank in range(size):
        (folder / f"{size}-{rank}.pkl").unlink(missing_ok=True)
    processes = [
        FORKED.Process(
            target=_one,
            args=(rank, size, port, restarts, work, arguments, folder / f"{size}-{rank}.pkl"),
        )
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    found = []
    for rank, process in enumerate(processes):
        process.join(seconds)
        if process.is_alive():
            for other in processes:
                other.kill()
            raise TimeoutError(f"rank {rank} of {size} did not end")
        path = folder / f"{size}-{rank}.pkl"
        found.append(
            pickle.loads(path.read_bytes())
            if path.is_file()
            else RuntimeError(f"rank {rank} left nothing: it ended with {process.exitcode}")
        )
    for rank, one in enumerate(found):
        if rank in lost:
            continue
        if isinstance(one, BaseException):
            raise one
    return found


def _one(
    rank: int,
    size: int,
    port: int,
    restarts: int,
    work: Callable[..., Any],
    arguments: Any,
    path: Path,
) -> None:
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "TORCHELASTIC_RESTART_COUNT": str(restarts),
    }  # fmt: skip
    import torch

    from striate.training.launch import launched
    from striate.training.world import joined

    torch.set_num_threads(1)
    try:
        with joined(launched(), torch.device("cpu")):
            made = work(*arguments)
    except Exception as error:
        made = RuntimeError(f"rank {rank}: {error!r}\n{traceback.format_exc()}")
    path.write_bytes(pickle.dumps(made))
