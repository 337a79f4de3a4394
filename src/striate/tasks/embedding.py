"""Embedding: what a trained network gives of an image as one unit vector, whose product with another's is their similarity.

A task whose network gives embeddings says so by `offers["embeddings"]`. Of any other network that gives one answer an image
it is what its last layer with weights reads: the input of a classifier's linear layer, in whose terms the classes differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.data.files import Found
from striate.data.pool import ordered
from striate.data.records import digest
from striate.errors import DataError, GeometryError, UsageError
from striate.geometry import Crop
from striate.tasks.trained import Trained
from striate.training.machine import choose_device, choose_precision, micro_batch
from striate.units import Network
from striate.units.neighbours import hidden

OFFER = "embeddings"  # of a task whose network's own output is an embedding
AT_ONCE = 64  # images decoded while the network works
WITH_KERNELS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
BLANK = "it is of a single colour throughout, so that there is nothing in it to recognise"
ZERO = "the network gives zeros alone for it, which have no direction"
NOT_FINITE = "the network gives numbers for it that are not finite"
Read = Callable[[str], np.ndarray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """One image's embedding.

    path: the file, or the number of an array. vector: (d,) float32 of length 1; None where `error` says why there is none.
    content: 16 bytes, equal for images that the network sees as the same pixels; empty for a file that cannot be read.
    """

    path: str
    vector: np.ndarray | None = None
    content: bytes = b""
    error: str | None = None


def weights_digest(trained: Trained, start: str = "") -> str:
    """SHA-256 of a network's weights by name. start: what else makes it another one."""
    state = hashlib.sha256(start.encode())
    for name, tensor in sorted(trained.model.state_dict().items()):
        if isinstance(tensor, Tensor):
            plain = tensor.detach().cpu().contiguous()
            state.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
            state.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def preprocessing_digest(trained: Trained) -> str:
    """SHA-256 of everything that decides how an image enters a network."""
    known = {k: v for k, v in trained.preprocessing.to_dict().items() if k != "why"}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Embedder:
    """A trained network as a map from images to unit vectors (N, d).

    trained: for a task that gives embeddings, or one that gives one answer an image. device: auto, cpu or cuda. precision:
    fp32, which gives the same vectors on any processor to a few 1e-6, bf16, or auto. mirrored: the mean of the embeddings of
    an image and of its mirror image, which makes both one. Raises UsageError for a network that gives no vector an image.
    """

    def __init__(
        self, trained: Trained, *, device: str = "auto", precision: str = "fp32", mirrored: bool = False
    ) -> None:  # fmt: skip
        if OFFER not in trained.task.offers and (trained.task.axes != 2 or trained.task.objects):
            raise UsageError(
                f"{trained.name} gives {trained.task.about}, not one vector an image; take a network that gives embeddings, "
                "a classifier, or the packaged efficientnet-lite0"
            )
        self.trained = trained
        self.mirrored = mirrored
        self.device = choose_device(device)
        self.dtype = choose_precision(precision, self.device)
        self.layer = ""
        self._head: nn.Module | None = None
        self._network: Network | None = None
        if OFFER not in trained.task.offers:
            self._find_head()

    def __repr__(self) -> str:
        return f"Embedder({self.trained.name!r}, layer={self.layer!r})"

    def _find_head(self) -> None:
        """Where a classifier's embedding is read: what the module of its last layer with weights is given."""
        try:
            network = Network(self.trained.model, self.trained.shape)
            at = network.head.weighted
            hidden(network)  # refuses a network of one layer
        except GeometryError as error:
            raise UsageError(
                f"which layer of {self.trained.name} gives embeddings is not known, since it cannot be traced: {error}"
            ) from error
        assert at is not None
        self.layer = network.head.name
        visit = network.geometry.visits[network.geometry.records[at].visit]
        module = self.trained.model.get_submodule(visit.path)
        if isinstance(module, WITH_KERNELS):
            self._head = module
        else:  # weights that a function reads, of which no hook knows
            self._network = network

    @cached_property
    def size(self) -> int:
        """d, the numbers of one embedding."""
        blank = torch.zeros(self.trained.shape, dtype=torch.uint8)
        with self._ready():
            return int(self._raw(blank).shape[1])

    @cached_property
    def model_digest(self) -> str:
        """SHA-256 of the weights by name, and of the layer that is read: equal for equal networks on every machine."""
        return weights_digest(self.trained, f"{self.layer}|{self.mirrored}")

    @cached_property
    def preprocessing_digest(self) -> str:
        """SHA-256 of everything that decides how an image enters."""
        return preprocessing_digest(self.trained)

    def __call__(self, images: Tensor) -> tuple[np.ndarray, dict[int, str]]:
        """Unit vectors (N, d) float32 of images (N, C, H, W) uint8 as the network's preprocessing makes them.

        Also, by number, why an image has none: a single colour, an embedding of zeros, numbers that are not finite. Its row
        is zeros.
        """
        if (
            images.ndim != 4
            or tuple(images.shape[1:]) != self.trained.shape[1:]
            or images.dtype != torch.uint8
        ):
            raise DataError(
                f"the network takes uint8 images (N, {', '.join(map(str, self.trained.shape[1:]))}), got {images.dtype} "
                f"{tuple(images.shape)}; preprocess them as in training"
            )  # fmt: skip
        with self._ready():
            return self._unit(images)

    def stream(self, names: Iterable[str], read: Read) -> Iterator[Embedding]:
        """Embeddings of images, in order, as they are ready; an image that cannot be used has its error instead.

        read: a name to (C, H, W) uint8, on threads. Only a few images are held at a time.
        """

        def seen(name: str) -> tuple[str, np.ndarray | str]:
            try:
                return name, read(name)
            except DataError as error:
                return name, str(error)

        images = ordered(seen, names)
        try:
            while part := list(islice(images, AT_ONCE)):
                good = [image for _, image in part if not isinstance(image, str)]
                vectors, faults = np.empty((0, 0), np.float32), dict[int, str]()
                if good:
                    # Not around the loop: whoever takes an embedding would go on in inference mode, with the network as
                    # it is here, and for good where two streams end in another order than they began.
                    with self._ready(keep=True):
                        vectors, faults = self._unit(torch.from_numpy(np.stack(good)))
                at = 0
                for name, image in part:
                    if isinstance(image, str):
                        yield Embedding(path=name, error=image)
                        continue
                    error = faults.get(at)
                    yield Embedding(
                        path=name, vector=None if error else vectors[at], content=digest(np.ascontiguousarray(image)),
                        error=error and f"{name} cannot be used: {error}",
                    )  # fmt: skip
                    at += 1
        finally:
            self.trained.model.cpu()

    def files(self, found: Found) -> Iterator[Embedding]:
        """As `stream`, of files, or of images given themselves, as the network's task reads them."""
        return self.stream(found.files, lambda name: self.trained.read(found.image(name)))

    @contextmanager
    def _ready(self, *, keep: bool = False) -> Iterator[None]:
        """The network in evaluation form on the device, for the duration of a `with`; afterwards on the CPU again. keep: it
        stays on the device."""
        model = self.trained.model
        modes = [(part, part.training) for part in model.modules()]
        model.eval().to(self.device)
        try:
            with torch.inference_mode():
                yield
        finally:
            if not keep:
                model.cpu()
            for part, mode in modes:
                part.training = mode

    def _unit(self, images: Tensor) -> tuple[np.ndarray, dict[int, str]]:
        size = micro_batch(len(images), images.shape[-2], images.shape[-1], self.device)
        raw = torch.cat([self._raw(part) for part in images.split(size)])
        flat = images.flatten(2)
        blank = (flat == flat[..., :1]).all(-1).all(-1).cpu()
        finite = torch.isfinite(raw).all(1)
        raw = torch.where(finite[:, None], raw, 0.0)
        # Scaled by the largest first: squares of very large or small numbers are none that float32 holds.
        largest = raw.abs().amax(1, keepdim=True)
        scaled = raw / torch.where(largest > 0, largest, 1.0)
        unit = scaled / torch.linalg.vector_norm(scaled, dim=1, keepdim=True).clamp_min(1e-30)
        faults = {}
        for i in range(len(images)):
            if blank[i]:
                faults[i] = BLANK
            elif not finite[i]:
                faults[i] = NOT_FINITE
            elif not largest[i]:
                faults[i] = ZERO
        if faults:
            unit[list(faults)] = 0
        return unit.numpy(), faults

    def _raw(self, images: Tensor) -> Tensor:
        """Embeddings (N, d) float32 on the CPU before they are scaled, of images (N, C, H, W) uint8."""
        x = self.trained.normalise(images.to(self.device))
        found = self._forward(x.contiguous(memory_format=torch.channels_last))
        if self.mirrored:
            other = self._forward(x.flip(-1).contiguous(memory_format=torch.channels_last))
            found = _unit_rows(found) + _unit_rows(other)
        return found.cpu()

    def _forward(self, x: Tensor) -> Tensor:
        model = self.trained.model
        if self._network is not None:
            at = hidden(self._network)
            source = self._network.geometry.inputs[0]
            whole = Crop(x, self._network.value(source).full)
            value = self._network.run([at], {source: whole}, batch=len(x))[at]
            if self._network.value(at).spatial:
                value = self._network.maps(at, value, len(x))
            return _flat(value, len(x))
        given: list[Tensor] = []
        hook = (
            self._head.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
            if self._head is not None
            else None
        )
        try:
            with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
                output: Any = forward(model, x)
        finally:
            if hook is not None:
                hook.remove()
        return _flat(given[-1] if self._head is not None else answer_of(output), len(x), self._head)


def _unit_rows(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(1e-30)


def _flat(value: Tensor, count: int, head: nn.Module | None = None) -> Tensor:
    """(N, d) float32 of what a layer reads: the mean over the positions, or over the tokens, where there are any."""
    value = value.float()
    if value.ndim > 2 and isinstance(head, nn.Linear):
        return value.reshape(count, -1, value.shape[-1]).mean(1)
    return value.flatten(2).mean(2) if value.ndim > 2 else value.reshape(count, -1)
