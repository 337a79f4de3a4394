"""Together: a training of several processes has one run. The first process claims its folder and writes into it; each other
one has a folder of its own for what it would write, which is gone at the end.
"""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from striate.errors import RunError
from striate.reading import read_file
from striate.runs.claiming import Claim, claim_again, claim_new
from striate.runs.record import versions
from striate.runs.run import BEGUN, latest_unfinished
from striate.runs.stored import LARGEST
from striate.tasks.plan import Job, Plan
from striate.training.checkpoint import digest_of
from striate.training.launch import Launch
from striate.training.world import World
from striate.writing import write_atomically

LAUNCH = (
    ".launch"  # in a run's folder while it is trained by several processes: which launcher began it
)
CHECKPOINT = Path("checkpoint") / "last.pt"
COPIED = (Path("run.toml"), Path(BEGUN), CHECKPOINT)
MOST = 1 << 40  # bytes of a checkpoint that is read


def claimed(
    world: World, stack: ExitStack, folder: Path, *, numbered: bool, resume: bool
) -> tuple[Claim, Path, bool]:
    """The folder in which this process writes, held as long as `stack`; that of the run; and whether the run is resumed.

    A launcher that begins all processes again, because one of them died, resumes the run that it began. Errors are raised in
    all processes.
    """
    if world.size == 1:
        claim = claim_again(latest_unfinished(folder)) if resume else claim_new(folder, numbered=numbered)  # fmt: skip
        stack.enter_context(claim.held())
        return claim, claim.path, resume
    found: list[Claim] = []

    def first() -> tuple[Path, bool, dict[str, bytes]]:
        begun = None if resume else begun_before(folder, world.launch)
        if resume or begun is not None:
            found.append(claim_again(begun or latest_unfinished(folder)))
        else:
            found.append(claim_new(folder, numbered=numbered))
        path = found[0].path
        write_atomically(path / LAUNCH, mark(world.launch).encode())
        again = resume or begun is not None
        held = {str(n): read_file(path / n, limit=LARGEST if n != CHECKPOINT else MOST)
                for n in COPIED if again and (path / n).is_file()}  # fmt: skip
        return path, again, held

    path, again, held = world.first(first)
    if world.leads:
        stack.enter_context(found[0].held())
        return found[0], path, again
    own = Path(stack.enter_context(TemporaryDirectory(prefix="striate-"))) / path.name
    claim = claim_new(own, numbered=False)
    stack.enter_context(claim.held())
    for name, data in held.items():
        write_atomically(claim.path / name, data, durable=False)
    return claim, path, again


def mark(launch: Launch) -> str:
    """What tells a launcher from others: Slurm's job, or the process that began the first one of all, and its machine."""
    if launch.name.startswith("slurm"):
        return launch.name
    return f"{launch.name}-{socket.gethostname()}-{os.getppid()}"


def begun_before(folder: Path, launch: Launch) -> Path | None:
    """The run that the same launcher began, before it began all processes again; None where it has not come so far."""
    if not launch.restarts:
        return None
    try:
        path = latest_unfinished(folder)
        known = read_file(path / LAUNCH, limit=4096).decode(errors="replace")
    except (RunError, OSError):
        return None
    return path if known == mark(launch) else None


def refuse_other_data(world: World, plan: Plan) -> None:
    """Raise UsageError, in all processes, where one of them has other data, settings or versions than the first one."""
    if world.size == 1:
        return
    source, recipe = plan.source, plan.recipe.to_dict()
    facts: dict[str, Any] = {
        "the version of striate": versions()["striate"],
        "the version of torch": torch.__version__.partition("+")[0],
        "the fingerprint of the images": source.fingerprint,
        **{f"the number of {name} images": len(split) for name, split in source.splits.items()},
    }
    for name, value in recipe.items():
        if name not in ("data", "device", "workers"):  # which may differ between machines
            facts[f"the setting {name}"] = value
    facts["the preprocessing"] = plan.preprocessing.to_dict()
    world.refuse_differences(facts)


def refuse_other_weights(world: World, job: Job) -> None:
    """Raise UsageError, in all processes, where one of them begins with other weights than the first one."""
    if world.size > 1 and not job.training.sharded:  # which was compared before it was cut
        weights = digest_of(job.training.model.state_dict())
        world.refuse_differences({"the digest of the first weights": weights})


def words(world: World, batch: int) -> str:
    """What is said of a training of several processes."""
    least, most = batch // world.size, -(-batch // world.size)
    each = f"{least}" if least == most else f"{least} or {most}"
    text = f"{world.size} processes, each with {each} of the {batch} images of a batch"
    return f"{text}; {world.size - batch} of them have none" if most == 1 and least == 0 else text
