"""What the machine does well: device, precision, how many images at a time."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from striate.errors import UsageError
from striate.memory import available_memory
from striate.training.launch import launched


def check_device(name: str) -> None:
    """Raise UsageError for what can be no device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise UsageError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; of several processes on a machine each has its own.

    Raises UsageError for a device that is not there.
    """
    check_device(name)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" or launched().size == 1:
            return torch.device(name)
    device = torch.device(name)
    if device.type == "cuda" and device.index is None and (launch := launched()).size > 1:
        name, device = f"cuda:{launch.local_rank}", torch.device("cuda", launch.local_rank)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            f"device {name} was asked for, but torch {torch.__version__} sees no GPU; use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name} does not exist; this machine has {torch.cuda.device_count()} GPU(s)"
        )
    return device


def fast_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: AVX512-BF16 or AMX on a CPU, Ampere or later on a GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type that layers compute in: `auto` is bfloat16 where it is fast, else float32."""
    if name == "auto":
        return torch.bfloat16 if fast_bf16(device) else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[name]


def micro_batch(batch: int, height: int, width: int, device: torch.device) -> int:
    """Images that go through the network at a time: few enough for a CPU's caches, all of them on a GPU."""
    if device.type != "cpu":
        return batch
    most = max(8, 128 * 32 * 32 // (height * width))
    parts = -(-batch // most)
    return -(-batch // parts)


@contextmanager
def side_by_side(most: int = 16) -> Iterator[ThreadPoolExecutor]:
    """Threads that together use the processors that torch may use, each with its own share of them.

    Operations that share all processors wait for the slowest part of every layer; images that are worked on side by side do
    not. torch counts threads per thread: the number that was set is in force again for all others when this begins.
    """
    before = torch.get_num_threads()
    count = max(1, min(most, before))
    started = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(max(1, before // count))
        started.wait()

    pool = ThreadPoolExecutor(count, thread_name_prefix="striate-network")
    try:
        for _ in range(count):
            pool.submit(begin)
        started.wait()
        torch.set_num_threads(before)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def require_memory(
    activations: int, pixels: str, device: torch.device, *, images: int, weights: int = 0
) -> None:
    """Raise UsageError when what a training takes is not free.

    Bytes: activations, of some images of `pixels` pixels; weights, of the network with its gradients, as far as it is known.
    """
    least = activations + weights
    have = available_memory() if device.type == "cpu" else torch.cuda.mem_get_info(device)[0]
    if least > have:
        raise UsageError(
            f"training on images of {pixels} pixels needs at least {least / 1e9:,.1f} GB and {have / 1e9:,.1f} GB are free: "
            f"{weights / 1e9:,.1f} GB for weights with their gradients, and {activations / 1e9:,.1f} GB for activations of "
            f"{images} images; choose a smaller --size or a model of fewer channels"
        )
