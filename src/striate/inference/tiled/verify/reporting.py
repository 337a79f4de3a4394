"""Reporting: what a maintainer needs to know of a result that differs from the module's, as JSON types."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from striate.inference.tiled.plan.network import Network
from striate.inference.tiled.plan.plan import Plan
from striate.inference.tiled.verify.checking import Evidence


def report_of(network: Network, plan: Plan, evidence: Evidence) -> dict[str, object]:
    """Versions, the network's records, the image's size, the tiles, and the difference. No weight and no pixel is in it."""
    geometry = network.geometry
    values = geometry.values
    difference = evidence.difference
    return {
        "versions": {
            "striate": _striate(), "torch": torch.__version__, "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}", "threads": torch.get_num_threads(),
        },
        "image": list(geometry.input_shape),
        "dtype": str(values[network.image].dtype),
        "tile": list(plan.tile),
        "strategy": plan.strategy,
        "carried": [list(w.carried) for w in plan.walks],
        "compared with": evidence.reference,
        "difference": None if difference is None else difference.relative,
        "flips": None if difference is None else difference.flips,
        "tolerance": evidence.tolerance,
        "network": geometry.kind,
        "records": [
            f"{r.name}: {r.target} {[list(values[i].shape) for i in r.inputs]} -> {list(values[r.output].shape)} "
            f"by {type(r.plan).__name__}, {r.plan.kind}"
            for r in geometry.records
            if r.live
        ],
    }  # fmt: skip


def _striate() -> str:
    try:
        return version("striate")
    except PackageNotFoundError:
        return "from source"
