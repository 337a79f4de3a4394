"""Plain: the weights alone, as `model.safetensors` under the names that timm or torchvision give them, and `run.toml`.

Proven by loading the file into the other library's own network, and comparing what that answers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import borrowed, forward
from striate.errors import RunError
from striate.export.cases import batch_of, cases
from striate.export.engines import first_line, versions
from striate.export.machine import machine, now
from striate.export.proof import Check, Proof
from striate.export.references import SHARE
from striate.findings import Finding
from striate.writing import write_atomically

if TYPE_CHECKING:
    from striate.tasks.trained import Trained

LITE0 = "tf_efficientnet_lite0"  # what timm calls our efficientnet-lite0
Say = Callable[[str], None]
Written = Callable[[dict[str, Any]], bytes]


@dataclass(frozen=True)
class Peer:
    """A network of another library that takes the same weights. call: what makes it, as a line of Python."""

    library: str
    name: str
    call: str
    make: Callable[[], nn.Module]


def write_plain(trained: Trained, path: Path, written: Written | None, say: Say) -> Finding:
    """Write the weights and `run.toml` beside them, whose table `checkpoint` says what opens them.

    written: makes the contents of `run.toml` of what is to stand in it, beside what a run's own has. Raises ExactnessError
    where the other library's network answers differently with these weights.
    """
    from safetensors.torch import load, save

    state = tensors_of(trained.model)
    data = save(state, metadata={"format": "pt"})
    say("the same weights in other libraries")
    peer, network = taken_by(trained, state)
    checks = [Check("tensors that changed in the file", _changed(load(data), state), 0)]
    if network is not None:
        network.load_state_dict(load(data))
        error, deviation = compared(trained, network)
        checks.append(Check("answers of the other library's network", error, SHARE["f32"] * deviation))  # fmt: skip
    said = f"{peer.library} {peer.name}" if peer is not None else "no other library"
    where = {**machine(), **versions(), "date": now()}
    proof = Proof(engine=said, precision="f32", checks=tuple(checks), where=where)
    proof.refuse(f"{path} was not written")
    how = trained.preprocessing
    checkpoint: dict[str, Any] = {
        "weights": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "library": peer.library if peer is not None else "striate",
        "architecture": peer.name if peer is not None else trained.name,
        "classes": list(trained.classes),
        "mean": list(how.mean),
        "std": list(how.std),
        "input_size": [how.channels, *how.size],
        "proven": [f"{check.name}: {check.value:.2g} of {check.limit:.2g}" for check in checks],
    }
    if peer is not None:
        checkpoint["load"] = loading(peer, path.name)
    document = (written or _toml)({"model_sha256": checkpoint["sha256"], "checkpoint": checkpoint})
    write_atomically(path, data)
    write_atomically(path.with_name("run.toml"), document)
    words = (
        f"{path} holds {len(state)} tensors. "
        + (f"{peer.library} gives the same answers with them: {loading(peer, path.name)}." if peer is not None else
           "No network of timm or torchvision has these tensors; their names are the network's own.")
    )  # fmt: skip
    finding = proof.finding("export", "Plain checkpoint", str(path))
    more = {"file": str(path), "bytes": len(data), "checkpoint": checkpoint}
    return replace(finding, verdict=words, data={**finding.data, **more})


def loading(peer: Peer, file: str) -> str:
    """A line of Python that makes the other library's network with the weights."""
    return f"model = {peer.call}; model.load_state_dict(safetensors.torch.load_file({file!r}))"


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by name, each in memory of its own."""
    with borrowed(network) as module:
        return {
            n: t.detach().cpu().contiguous().clone() for n, t in inside(module).state_dict().items()
        }


def inside(network: nn.Module) -> nn.Module:
    """The network itself, without what a task puts around it."""
    from striate.tasks.around import Around

    return inside(network.inside) if isinstance(network, Around) else network


def taken_by(trained: Trained, state: Mapping[str, Tensor]) -> tuple[Peer | None, nn.Module | None]:
    """The other library's network that has exactly these tensors, freshly made; None where there is none."""
    for peer in peers(trained):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with torch.random.fork_rng(devices=[]):
                    network = peer.make()
            except (
                Exception
            ):  # whatever a library raises for classes or channels that it does not make
                continue
        own = network.state_dict()
        if {n: t.shape for n, t in own.items()} == {n: t.shape for n, t in state.items()}:
            return peer, network.eval()
    return None, None


def peers(trained: Trained) -> list[Peer]:
    """Networks of timm and torchvision that may take the weights, by the architecture's name."""
    spec = trained.name if trained.run is None else str(trained.run.recipe.model)
    plain = spec.partition("(")[0].partition("[")[0].strip()
    classes, channels = len(trained.classes), trained.preprocessing.channels
    found: list[Peer] = []
    timm_name = plain.removeprefix("timm/") if plain.startswith("timm/") else None
    timm_name = LITE0 if plain == "efficientnet-lite0" else timm_name
    if timm_name is not None:
        options = f"num_classes={classes}" + (f", in_chans={channels}" if channels != 3 else "")
        for size in ("", f", img_size={trained.preprocessing.size}"):
            call = f"timm.create_model({timm_name!r}, {options}{size})"
            found.append(Peer("timm", timm_name, call, _timm(timm_name, classes, channels, size, trained)))  # fmt: skip
    name = plain.removesuffix("-torchvision").replace("-", "_")
    if channels == 3:
        more = ", aux_logits=False, init_weights=False" if name == "googlenet" else ""
        call = f"torchvision.models.{name}(num_classes={classes}{more})"
        found.append(Peer("torchvision", name, call, _torchvision(name, classes, bool(more))))
    return found


def compared(trained: Trained, network: nn.Module) -> tuple[float, float]:
    """By how much the answers of two networks to the proof's images differ at most, and their deviation."""
    how = trained.preprocessing
    images = [*cases(how, how.size).values(), *batch_of(how, how.size)]
    x = how.normalise(torch.from_numpy(np.stack([how.apply(image) for image in images])))
    with borrowed(trained.model) as own, torch.no_grad():
        right = answer_of(forward(own, x)).detach().double()
        try:
            found = answer_of(network(x)).double()
        except Exception as error:  # whatever it raises
            raise RunError(f"the other library's network fails: {first_line(error)}") from error
    if found.shape != right.shape:
        return float("inf"), 1.0
    return float((found - right).abs().max()), max(float(right.std()), 1e-6)


def _toml(document: dict[str, Any]) -> bytes:
    import tomli_w

    return tomli_w.dumps(document).encode()


def _timm(name: str, classes: int, channels: int, size: str, trained: Trained) -> Callable[[], nn.Module]:  # fmt: skip
    def make() -> nn.Module:
        import timm

        more: dict[str, Any] = {"img_size": trained.preprocessing.size} if size else {}
        made: nn.Module = timm.create_model(name, num_classes=classes, in_chans=channels, **more)
        return made

    return make


def _torchvision(name: str, classes: int, google: bool) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision import models

        more = {"aux_logits": False, "init_weights": False} if google else {}
        made: nn.Module = getattr(models, name)(num_classes=classes, **more)
        return made

    return make


def _changed(found: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    same = sum(n in found and torch.equal(found[n], t) for n, t in right.items())
    return float(max(len(found), len(right)) - same)
