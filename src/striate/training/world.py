"""World: the processes that train one network together, and what they tell each other; of one process it costs nothing.

Each holds the whole network and a part of every batch. What is summed or gathered comes out with the same bits everywhere,
so that they stay alike without ever being told to.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from striate.errors import StriateError, TrainingError, UsageError
from striate.schema import shortened
from striate.training.launch import ALONE, Launch
from striate.training.machine import micro_batch
from striate.training.shares import parts, positions, share

T = TypeVar("T")

PATIENCE = datetime.timedelta(minutes=30)  # for what another process is slower with
LONGEST = datetime.timedelta(days=7)  # of the first one's evaluation and report
MOMENT = datetime.timedelta(seconds=3)
BUCKET = 8_000_000  # numbers that travel at a time


class World:
    """`size` processes, of which this is number `rank` from 0, on `device`; of one alone every method gives what it gets."""

    def __init__(self, launch: Launch = ALONE, device: torch.device | None = None) -> None:
        self.rank, self.size, self.local_size = launch.rank, launch.size, launch.local_size
        self.launch = launch
        self.device = device or torch.device("cpu")
        self.control: Any = None  # the group by which numbers of the CPU travel
        self.finished = 0  # trainings whose end was waited for

    @property
    def leads(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    # Shares

    def share(self, count: int) -> range:
        """Which of `count` things are this process's: a contiguous part."""
        return range(*share(count, self.rank, self.size))

    def parts(
        self, count: int, size: Sequence[int], device: torch.device, rank: int | None = None
    ) -> list[tuple[int, int, int]]:
        """(first, end, number of images) of each micro-batch of `count` images of a size in pixels; see `shares.parts`.

        rank: another process's, in place of this one's.
        """
        micro = micro_batch(count, size[0], size[1], device)
        return parts(count, micro, self.rank if rank is None else rank, self.size)

    def positions(self, count: int, size: Sequence[int], device: torch.device) -> Tensor | None:
        """(n,) int64 places in a batch of `count` images (height, width) that are this process's; None for all of them."""
        if self.size == 1:
            return None
        micro = micro_batch(count, size[0], size[1], device)
        return torch.from_numpy(positions(count, micro, self.rank, self.size))

    # What they tell each other

    def highest(self, *values: float) -> list[float]:
        """The greatest of each value among all processes."""
        if self.size == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64)
        with reached():
            dist.all_reduce(told, dist.ReduceOp.MAX, group=self.control)
        return [float(v) for v in told]

    def any(self, here: bool) -> bool:
        """Whether it is so in one of them at least."""
        return (self.size > 1 and self.highest(float(here))[0] > 0) or here

    def all(self, here: bool) -> bool:
        """Whether it is so in all of them."""
        return not self.any(not here)

    def gathered(self, value: T) -> list[T]:
        """What each process gives, any object, in their order."""
        if self.size == 1:
            return [value]
        told: list[Any] = [None] * self.size
        with reached():
            dist.all_gather_object(told, value, group=self.control)
        return told

    def assembled(self, count: int, mine: Sequence[T]) -> list[T]:
        """All `count` things in their order, of which each process gives those of its `share`."""
        if self.size == 1:
            return list(mine)
        told = self.gathered((list(self.share(count)), list(mine)))
        numbers = [i for own, _ in told for i in own]
        things = [thing for _, given in told for thing in given]
        if numbers != list(range(count)) or len(things) != count:
            raise TrainingError(
                f"{self.size} processes gave {len(things)} results for {count} images; begin again, and report it"
            )
        return things

    def rows_of_all(self, count: int, own: Tensor | None) -> Tensor:
        """(count, ...) on the CPU, of which each process gives the rows of its `share`, None for no row."""
        if self.size == 1:
            assert own is not None
            return own
        told = self.gathered(None if own is None else own.cpu())
        counts = [0 if rows is None else len(rows) for rows in told]
        wanted = [share(count, rank, self.size) for rank in range(self.size)]
        if counts != [end - first for first, end in wanted]:
            raise TrainingError(
                f"{self.size} processes gave {counts} results for {count} images; begin the training again, and report it"
            )
        return torch.cat([rows for rows in told if rows is not None])

    def total(self, numbers: Tensor) -> Tensor:
        """The sum of each process's numbers, of any shape, on the device that they lie on; in place."""
        if self.size > 1:
            with reached():
                dist.all_reduce(numbers)
        return numbers

    def stacked(self, numbers: Tensor) -> Tensor:
        """(size, ...) of numbers (...), the same shape everywhere: each process's."""
        made = [torch.empty_like(numbers) for _ in range(self.size)]
        with reached():
            dist.all_gather(made, numbers.contiguous())
        return torch.stack(made)

    def rows(self, own: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """The tensors (n, ...) of all processes without their graphs, n of each as `counts` says; its own as it is."""
        room = max(counts)
        page = own.new_zeros((room, *own.shape[1:]))
        page[: counts[self.rank]] = own.detach()[: counts[self.rank]]
        plain = page.to(torch.uint8) if page.dtype == torch.bool else page
        found = [t[:n].to(own.dtype) for t, n in zip(self.stacked(plain), counts, strict=True)]
        found[self.rank] = own[: counts[self.rank]]
        return found

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the gradients of all processes; a parameter that has none anywhere keeps none."""
        bucket: list[nn.Parameter] = []
        room = 0
        for parameter in parameters:
            other = bool(bucket) and (parameter.dtype, parameter.device) != (bucket[0].dtype, bucket[0].device)  # fmt: skip
            if bucket and (other or room + parameter.numel() > BUCKET):
                self._sum_bucket(bucket)
                bucket, room = [], 0
            bucket.append(parameter)
            room += parameter.numel()
        if bucket:
            self._sum_bucket(bucket)

    def _sum_bucket(self, bucket: Sequence[nn.Parameter]) -> None:
        has = bucket[0].new_tensor([p.grad is not None for p in bucket])
        flat = torch.cat([has, *(p.reshape(-1) * 0 if p.grad is None else p.grad.reshape(-1) for p in bucket)])  # fmt: skip
        self.total(flat)
        known = (flat[: len(bucket)] > 0).tolist()
        sums = flat[len(bucket) :].split([p.numel() for p in bucket])
        for parameter, one, there in zip(bucket, sums, known, strict=True):
            if there and parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            if there and parameter.grad is not None:
                parameter.grad.copy_(one.view(parameter.shape))

    # What they do together

    def together(self, work: Callable[[], T]) -> T:
        """What `work` gives here, done in every process; an error of one of them is raised in all.

        It says which process it was, and `everywhere` of it is true, so that it is printed once.
        """
        if self.size == 1:
            return work()
        made, error = _tried(work)
        errors = self.gathered(_plain(error))
        where = next((rank for rank, told in enumerate(errors) if told is not None), None)
        if where is None:
            return made  # type: ignore[return-value]
        told = errors[where]
        assert told is not None
        alike = all(other == told for other in errors)
        raise _raised(
            told, "" if alike else f"process {where} of {self.size} on {told[2]}: "
        ) from error

    def first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, which alone calls it; its error is raised in all."""
        if self.size == 1:
            return make()
        made, error = _tried(make) if self.leads else (None, None)
        told: list[Any] = [(made, _plain(error))]
        with reached():
            dist.broadcast_object_list(told, src=0, group=self.control)
        value, wrong = told[0]
        if wrong is not None:
            raise _raised(wrong, "") from error
        return value  # type: ignore[no-any-return]

    def refuse_differences(
        self,
        facts: dict[str, Any],
        do: str = "begin all of them with the same command, data and versions",
    ) -> None:
        """Raise UsageError, in all of them, where facts, by name, are not the same in every process. do: what helps."""
        everywhere = self.gathered((socket.gethostname(), facts))
        for rank, (host, theirs) in enumerate(everywhere[1:], 1):
            for name, value in everywhere[0][1].items():
                if theirs.get(name) != value:
                    raise _raised((UsageError, (
                        f"the processes do not train the same: {name} is {shortened(value)} in process 0 on "
                        f"{everywhere[0][0]}, and {shortened(theirs.get(name))} in process {rank} on {host}; {do}"
                    ), host), "")  # fmt: skip

    def note(self, error: StriateError) -> None:
        """Find out, for a moment, whether the first process raises the same error: it alone prints it then."""
        if self.size == 1 or error.everywhere:
            return
        with contextlib.suppress(Exception):
            store, key = dist.distributed_c10d._get_default_store(), "striate-error"
            if self.leads:
                store.set(key, error.sentence)
                return
            store.wait([key], MOMENT)
            error.everywhere = store.get(key).decode() == error.sentence

    def wait_for_the_first(self) -> None:
        """Until the first process has called this too, however long its evaluation and report take."""
        if self.size == 1:
            return
        self.finished += 1
        store, key = dist.distributed_c10d._get_default_store(), f"striate-finished-{self.finished}"
        with reached():
            if self.leads:
                store.set(key, "1")
                for rank in range(1, self.size):  # it may hold the store that they look into
                    store.wait([f"{key}-{rank}"], PATIENCE)
            else:
                store.wait([key], LONGEST)
                store.set(f"{key}-{self.rank}", "1")


_here = World()
_joined: World | None = None


def here() -> World:
    """The world of the training that runs now; one process alone where none does."""
    return _here


@contextmanager
def joined(launch: Launch, device: torch.device) -> Iterator[World]:
    """Find the other processes, for the duration of a `with`; a process that is alone finds nobody.

    Raises TrainingError where not all of them come.
    """
    global _here, _joined
    if launch.size == 1:
        yield _here
        return
    if _joined is None:
        _joined = _found(launch, device)
    before, _here = _here, _joined
    _joined.device = device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        yield _joined
    finally:
        _here = before


@contextmanager
def apart() -> Iterator[None]:
    """Work that one process does for itself, for the duration of a `with`."""
    global _here
    before, _here = _here, World()
    try:
        yield
    finally:
        _here = before


def _found(launch: Launch, device: torch.device) -> World:
    if not dist.is_available():
        raise UsageError(
            f"this torch was built without torch.distributed, and the launcher began {launch.size} processes; begin one"
        )
    world = World(launch, device)
    if dist.is_initialized():  # a person's own
        if (dist.get_rank(), dist.get_world_size()) != (launch.rank, launch.size):
            raise UsageError(
                f"torch.distributed was set up as process {dist.get_rank()} of {dist.get_world_size()}, and the launcher "
                f"says {launch.rank} of {launch.size}; set it up as the launcher says, or not at all"
            )
        world.control = dist.new_group(backend="gloo")
        return world
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    where = f"tcp://{launch.address}:{launch.port}"
    if not launch.name.startswith("slurm"):
        where = "env://"
    try:
        store, *_ = next(dist.rendezvous(where, launch.rank, launch.size, timeout=PATIENCE))
        # torchrun's agent keeps its store when it begins all again: in it lie the addresses of those that died (torch 2.14).
        store = dist.PrefixStore(f"striate-{launch.restarts}", store)
        dist.init_process_group(
            backend, store=store, rank=launch.rank, world_size=launch.size, timeout=PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            f"process {launch.rank} of {launch.size} did not find the others at {launch.address}:{launch.port}: "
            f"{_line(error)}; see that all of them were begun, and that no firewall lies between them"
        ) from error
    atexit.register(_leave)
    return world


def _leave() -> None:
    if dist.is_initialized():
        with contextlib.suppress(Exception):
            dist.destroy_process_group()


@contextmanager
def reached() -> Iterator[None]:
    """Say in one sentence what it means that another process cannot be reached."""
    try:
        yield
    except (RuntimeError, ConnectionError) as error:
        if isinstance(error, StriateError):
            raise
        raise TrainingError(
            f"another process of this training stopped or cannot be reached ({_line(error)}); what it printed says why. "
            "Begin again with --resume: the last checkpoint is kept"
        ) from error


def _line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return shortened(text.splitlines()[0])


Told = tuple[type, str, str]
"""An error as it travels: its kind, its sentence, and the machine."""


def _tried(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _plain(error: Exception | None) -> Told | None:
    if error is None:
        return None
    kind = UsageError if getattr(error, "exit_status", 1) == 2 else TrainingError
    text = error.sentence if isinstance(error, StriateError) else f"{type(error).__name__}: {error}"
    return kind, text, socket.gethostname()


def _raised(told: Told, where: str) -> StriateError:
    error = told[0](f"{where}{told[1]}")
    assert isinstance(error, StriateError)
    error.everywhere = True
    return error
