"""The machine that a proof was made on, in words."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path


def machine() -> dict[str, str]:
    """Processor, system and the instructions for short floating-point numbers that it has."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="ignore").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
                break
    except OSError:  # no Linux
        pass
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return {
        "processor": model,
        "instructions": " ".join(known),
        "system": f"{platform.system()} {platform.machine()}",
    }


def now() -> str:
    """The local time with its offset, to the second (ISO 8601)."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
