"""dense: a patch classifier at every position of a large image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from striate.borrow import refuse_numberless
from striate.errors import GeometryError, StriateError, UsageError
from striate.geometry import Crop, Geometry, Weights, apply, refuse_chance, replay, trace
from striate.geometry.box import volume
from striate.inference.apart import Together, plainly, records_apart, refuse_batch_statistics
from striate.inference.dense.check import all_double, refuse_unequal, scores_of
from striate.inference.dense.maps import Pair
from striate.inference.dense.running import Running
from striate.inference.dense.sharing import Sharing
from striate.inference.kinds import in_its_own_words, refuse_no_numbers, refuse_other_meaning
from striate.inference.repeating import refuse_memory
from striate.inference.tiled.plan.limits import parse_bytes, show_bytes
from striate.inference.witness import unit
from striate.ranges import RANGES, shown

# Paddings whose values come from the patch itself.
MIRRORED = frozenset(
    {"reflection_pad2d", "replication_pad2d", "slice_scatter"}
)  # the last: circular
PADDINGS = ("patch", "image")
DEFAULT = 10**9  # bytes, where no limit is given
CACHE = (
    32 * 2**20
)  # bytes of activations of the patches that run through the module itself, at once
TOGETHER = (
    2**29
)  # bytes of what patches compute for themselves beside the maps: in small batches its many steps are slow
WORTH = 0.9  # maps are made where they take less than this share of the patches' multiply-adds
COPIES = 3  # tensors of a map's size that an operation may hold while it runs


class Dense:
    """A patch classifier made ready for images of any size (lecture 003: from the class of one patch to a map of classes).

    module: any `nn.Module` from patches (N, C, window, window) to scores (N, classes), in evaluation mode; not changed.
    window: the patch in pixels, an integer or (rows, columns). stride: pixels from one patch to the next, likewise.
    padding: "patch" gives each position what the module gives for that patch alone. "image" lets every layer read what
        lies around the patch, so that padding enters only at the image's border (fully convolutional).
    channels: C, for the trace. dtype: compute in another kind of number, `torch.bfloat16` for instance. channels_last: how
        maps lie in memory; where not said, channels last, which is convolved faster, if each layer takes it.
    check: hold a few patches of each result against the module, which runs on them alone.

    way: "map" where values are shared between patches, "patches" where running them one by one takes fewer multiply-adds
    or nothing can be shared. pads: the layers that pad inside the patch, for which the two kinds of padding differ. alone:
    the layers from which on each patch has values of its own. note: the same in a sentence.

    >>> job = Dense(nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(4 * 4 * 4, 2)), window=8, channels=1)
    >>> job(torch.rand(1, 1, 40, 50)).shape
    torch.Size([1, 2, 33, 43])

    Raises UsageError for arguments that are wrong, GeometryError for a module that refuses the window; a call raises
    ExactnessError, and gives nothing, where a patch has other scores than the module gives it.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        window: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: str = "patch",
        channels: int = 3,
        dtype: torch.dtype | None = None,
        channels_last: bool | None = None,
        check: bool = True,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UsageError(f"dense takes a torch.nn.Module, got {type(module).__name__}")
        refuse_numberless(module)
        if padding not in PADDINGS:
            raise UsageError(f"padding is 'patch' or 'image', got {padding!r}")
        self.module, self.padding, self.channels = module, padding, channels
        self.window, self.stride = _pair(window, "window"), _pair(stride, "stride")
        self.channels_last, self.check = channels_last, check
        first = next(module.parameters(), None)
        self.device = first.device if first is not None else torch.device("cpu")
        own = first.dtype if first is not None and first.is_floating_point() else torch.float32
        self.dtype = dtype or own
        self._own_dtype = own
        self.geometry: Geometry = trace(module, (1, channels, *self.window))
        self._refuse()
        refuse_chance(self.geometry, module)
        generator = torch.Generator().manual_seed(0)
        patch = torch.rand((1, channels, *self.window), generator=generator)
        refuse_memory(self.geometry, module, patch.to(self.device, own))
        self.sharing = Sharing(self.geometry, self.stride, image=padding == "image")
        stuck = next(
            (r for r in self.sharing.single if getattr(r.plan, "mixes_batch", False)), None
        )
        self.way = "map"
        if padding == "image":
            self._refuse_fixed()
        elif stuck is not None or not self.sharing.shared or self._bare or self._mixes():
            self.way = "patches"
        self._forced = self.way == "patches"
        weights = Weights(self.geometry, module)
        self._constants: dict[int, Tensor] = {}
        for record in self.geometry.records:
            if record.live and (self.way == "map"):
                for i in record.inputs:
                    if self.geometry.values[i].source not in ("record", "input"):
                        weight = weights[i].detach()
                        self._constants[i] = (
                            weight.to(self.dtype) if weight.is_floating_point() else weight
                        )
        with in_its_own_words(module, lambda: patch.to(self.device, own)), torch.no_grad():
            for record in self.sharing.constants if self.way == "map" else ():
                crops = [
                    Crop(self._constants[i], self.geometry.values[i].full) for i in record.inputs
                ]
                full = self.geometry.values[record.output].full
                self._constants[record.output] = apply(self.geometry, record, crops, full, batch=1)

    @property
    def pads(self) -> tuple[str, ...]:
        """Names of the layers that look beyond the border of the patch."""
        pads = Sharing(self.geometry, self.stride, image=True).pads
        mirrored = [r.name for r in self.geometry.records if r.live and r.op in MIRRORED]
        return tuple(dict.fromkeys([*pads, *mirrored]))

    @property
    def alone(self) -> tuple[str, ...]:
        """Names of the layers from which on each patch has values of its own."""
        return tuple(self.sharing.stops)

    @property
    def note(self) -> str:
        """One sentence: what padding does to the result."""
        if not self.pads:
            return (
                "no layer pads, so the patch-exact and the fully convolutional answer are the same"
            )
        names = ", ".join(self.pads[:3]) + (
            f" and {len(self.pads) - 3} more" if len(self.pads) > 3 else ""
        )
        if self.padding == "patch":
            return (
                f"{names} pad inside each patch; the scores are those of every patch by itself, and "
                "padding='image' (fully convolutional) would give others"
            )
        return (
            f"{names} pad at the border of the image only; the scores differ from those of the patches by themselves, "
            "which padding='patch' gives"
        )

    def _refuse(self) -> None:
        values = self.geometry.values
        leaves = [i for i in self.geometry.outputs if i is not None]
        shape = values[leaves[0]].shape if leaves else ()
        entries = 1
        for n in shape:
            entries *= n
        self.classes = entries
        # A module that drops the dimension of a batch of one, by `squeeze()`.
        self._bare = len(shape) < 2
        fits = self._bare or (shape[0] == 1 and shape[1] == entries)
        if len(leaves) != 1 or not fits:
            got = ", ".join("x".join(map(str, values[i].shape)) for i in leaves) or "no tensor"
            if len(leaves) > 1:
                remedy = "a module around it returns one of them: def forward(self, x): return self.network(x)[0]"
            else:
                remedy = (
                    "a module around it makes one number a class, such as by flatten(1) or the mean over positions, or "
                    "tiled runs a network that gives maps"
                )
            raise UsageError(
                f"dense takes a classifier that gives (N, classes) for N patches; for one patch this one gives {got}; "
                f"{remedy}"
            )
        refuse_batch_statistics(self.geometry, self.module)

    def _mixes(self) -> bool:
        """Whether what runs for each patch by itself mixes patches that run together."""
        values = self.geometry.values
        doubtful = [
            r for r in self.sharing.single
            if not plainly(r, [values[i] for i in r.inputs], values[r.output])
        ]  # fmt: skip
        if not doubtful:
            return False
        kind = values[self.geometry.inputs[0]].dtype
        drawn = torch.Generator().manual_seed(0)  # the user's own random state stays
        patch = torch.rand((1, self.channels, *self.window), generator=drawn).to(self.device, kind)
        with torch.no_grad():
            try:
                known = replay(self.geometry, self.module, patch, keep=True)
            except (RuntimeError, IndexError):
                # An index that no trace reads is out of range: patch by patch the module says so itself, if it does.
                return True
            return not all(records_apart(self.geometry, r, known) for r in doubtful)

    def _refuse_fixed(self) -> None:
        """Raise GeometryError where padding inside the patch could not be moved to the border of the image."""
        values = self.geometry.values
        for record in self.sharing.single:
            out = values[record.output]
            reaches = getattr(record.plan, "padding", ()) or ()
            if out.spatial and ("pad" in record.op or any(reaches)):
                raise GeometryError(
                    f"{record.name} ({record.op}) pads values that each patch has by itself, so there is no fully "
                    "convolutional form; use padding='patch'"
                )

    def multiply_adds(self, image: Sequence[int]) -> tuple[float, float]:
        """Predicted multiply-adds for an image of (rows, columns): by maps, and patch by patch."""
        rows, columns = self._count(image)
        patches = rows * columns
        values = self.geometry.values
        total = 0.0
        for s in self.sharing.shared:
            if s.map is None:
                total += s.macs * patches
                continue
            lattice = s.map.lattice
            size = [(n + g - 1) // g for n, g in zip(image, lattice, strict=True)]
            total += s.macs * size[0] * size[1]
            out = values[s.record.output]
            if s.map.inner != out.full:
                total += s.macs * patches * (volume(out.full) - volume(s.map.inner))
        total += patches * sum(r.macs or 0 for r in self.sharing.single)
        return total, float(patches * self.geometry.known_macs)

    def _count(self, image: Sequence[int]) -> Pair:
        counts = [(n - w) // t + 1 for n, w, t in zip(image, self.window, self.stride, strict=True)]
        return counts[0], counts[1]

    @torch.no_grad()
    def __call__(
        self, image: Tensor, *, memory: int | float | str | None = None, finite: bool = True
    ) -> Tensor:
        """Scores (N, classes, rows, columns) of every patch that fits into an image (N, C, H, W), without N for (C, H, W).

        Score (r, c) belongs to the patch whose first pixel is (r * stride, c * stride); see `centres`. memory: bytes, or
        such as "1GB", that may be used above the image and the result; the image is then walked in bands of rows.
        finite: refuse values that are not finite, with the name of the layer that makes them.
        """
        if not isinstance(image, Tensor) or image.dim() not in (3, 4):
            got = f"{tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise UsageError(
                f"dense takes an image as a tensor (N, C, H, W) or (C, H, W), got {got}"
            )
        refuse_no_numbers(image)
        batched = image if image.dim() == 4 else image[None]
        if not len(batched):
            raise UsageError(
                f"there is no image in a batch of shape {tuple(image.shape)}; give one"
            )
        if batched.shape[1] != self.channels:
            raise UsageError(
                f"the module was traced for {self.channels} channels, got {batched.shape[1]}"
            )
        size = (batched.shape[2], batched.shape[3])
        if any(n < w for n, w in zip(size, self.window, strict=True)):
            raise UsageError(
                f"the image ({size[0]}x{size[1]}) is smaller than the window ({self.window[0]}x{self.window[1]}); "
                "pad the image, or use a smaller window"
            )
        first = batched[:1, :, : self.window[0], : self.window[1]].to(self.device)
        refuse_other_meaning(self.module, first, self._own_dtype)
        limit = parse_bytes(memory) or DEFAULT
        by_map, by_patch = self.multiply_adds(size)
        single = self._forced or (self.padding == "patch" and by_map > WORTH * by_patch)
        self.way = "patches" if single else "map"
        results = [
            (self._single if single else self._bands)(one[None], limit, finite) for one in batched
        ]
        if self.check:
            for one, scores in zip(batched, results, strict=True):
                self._compare(one, scores, limit, finite)
        out = torch.stack(results).to(image.device)
        return out if image.dim() == 4 else out[0]

    def _compare(self, image: Tensor, scores: Tensor, limit: int, finite: bool) -> None:
        """Raise ExactnessError where the scores of some patches are not what the module alone gives them."""
        own = self.geometry.values[self.geometry.inputs[0]].dtype
        image = image.to(self.device, own)
        if (
            self.padding == "image" and self.pads
        ):  # the module says what is right on an image of one window alone
            image = image[:, : self.window[0], : self.window[1]]
            scores = self._bands(image[None], limit, finite)

        def double(module: nn.Module, part: Tensor) -> Tensor:
            job = Dense(
                module, window=self.window, stride=self.stride, padding=self.padding, channels=self.channels, check=False
            )  # fmt: skip
            all_double(job.geometry)
            return (job._bands if self.way == "map" else job._single)(part, DEFAULT, finite)

        refuse_unequal(
            self.module, self.geometry, image, scores, self.window, self.stride,
            unit(self.geometry, self.device, self.dtype), double,
        )  # fmt: skip

    def _ready(self, part: Tensor, last: bool) -> Tensor:
        form = torch.channels_last if last else torch.contiguous_format
        return part.to(self.device, self.dtype).contiguous(memory_format=form)

    def _new(self, count: Pair) -> Tensor:
        leaf = self.geometry.outputs[0]
        assert leaf is not None
        value = self.geometry.values[leaf]
        own = (
            self.dtype == self._own_dtype
        )  # else the network is computed in another kind of number
        dtype = value.dtype if own else self.dtype
        return torch.empty(self.classes, *count, dtype=dtype, device=self.device)

    def _single(self, image: Tensor, limit: int, finite: bool) -> Tensor:
        """Every patch through the module itself, in batches."""
        count = self._count(image.shape[2:])
        out = self._new(count)
        each = sum(v.bytes for v in self.geometry.values if v.varies)
        chunk = max(1, min(CACHE, limit // 2) // max(each, 1))
        (h, w), (sy, sx) = self.window, self.stride
        owned = next(self.module.parameters(), None)
        if owned is not None and owned.dtype != self.dtype:
            raise UsageError(
                f"this network runs patch by patch, through the module itself; give a module in {self.dtype}"
            )
        windows = image.unfold(2, h, sy).unfold(3, w, sx)[0]
        run = Together(partial(scores_of, self.module, writes=self.geometry.writes_input))
        for row in range(count[0]):
            for left in range(0, count[1], chunk):
                part = windows[:, row, left : left + chunk].movedim(1, 0)
                scores = self._scored(run, self._ready(part, bool(self.channels_last)))
                if finite and not bool(torch.isfinite(scores).all()):
                    raise GeometryError(
                        "the scores are not finite; look for NaN or infinity in the image and the weights, or pass "
                        "finite=False to let them through"
                    )
                out[:, row, left : left + chunk] = scores.t()
        return out

    def _scored(self, run: Callable[[Tensor], Tensor], patches: Tensor) -> Tensor:
        """Scores (n, classes) of patches by the module itself. Raises GeometryError where it refuses them."""
        try:
            return run(patches)
        except StriateError:
            raise
        # The module is anybody's, and so is what it raises; a trace reads no index that is out of range.
        except Exception as error:
            text = " ".join(str(error).split())[:200] or type(error).__name__
            size = "x".join(map(str, self.window))
            raise GeometryError(
                f"the network refuses patches of {size} pixels: {text}; use the window that it was made for"
            ) from error

    def _bands(self, image: Tensor, limit: int, finite: bool) -> Tensor:
        count = self._count(image.shape[2:])
        out = self._new(count)
        step, height = self.stride[0], image.shape[2]
        extra = -(
            -self.sharing.margin[0] // step
        )  # rows of patches that a band lends its neighbours
        rows, free = self._rows(count, image.shape[3], extra, limit, self._own)
        chunk = max(1, min(TOGETHER, free) // max(self._own, 1))
        for top in range(0, count[0], rows):
            bottom = min(top + rows, count[0])
            first = min(extra, top)
            start = (top - first) * step
            stop = min(height, (bottom - 1) * step + self.window[0] + self.sharing.margin[0])
            # A view of other dimensions may not be had of channels that come last.
            last = self.sharing.plain if self.channels_last is None else self.channels_last
            band = self._ready(image[:, :, start:stop], last)
            running = Running(
                self.sharing, self._constants, band, first, (bottom - top, count[1]), finite
            )
            running.run(out[:, top:bottom], chunk)
        return out

    @property
    def _own(self) -> int:
        """Bytes that one patch needs for what it computes by itself."""
        sharing = self.sharing
        own = [r.output for r in sharing.single] + [i for i in sharing.maps if sharing.ringed(i)]
        return 2 * sum(self.geometry.values[i].bytes for i in own)

    def _rows(self, count: Pair, width: int, extra: int, limit: int, own: int) -> Pair:
        """Rows of patches of one band, and bytes that are then left for what patches compute by themselves.

        own: bytes that one patch needs for that. Raises GeometryError where one row does not fit.
        """

        def peak(rows: int) -> int:
            height = (rows + 2 * extra - 1) * self.stride[0] + self.window[0]
            return self._peak((height, width)) + rows * count[1] * 8

        least = peak(1) + own
        if least > limit:
            raise GeometryError(
                f"one row of patches needs {show_bytes(least)}, and memory={show_bytes(limit)} was allowed; allow that "
                "much, or cut the image into strips of columns"
            )
        room = max(limit - min(TOGETHER, limit // 2, own * count[0] * count[1]), peak(1))
        low, high = 1, count[0]
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if peak(middle) <= room else (low, middle - 1)
        return low, limit - peak(low)

    def _peak(self, size: Pair) -> int:
        """Bytes of the maps that live at once for a band of (rows, columns)."""
        values, sharing = self.geometry.values, self.sharing
        last: dict[int, int] = {}
        for at, s in enumerate(sharing.shared):
            for i in s.inputs:
                last[i] = at
        for r in sharing.single:
            last.update(dict.fromkeys(r.inputs, len(sharing.shared)))

        def held(i: int) -> int:
            shared = sharing.maps.get(i)
            value = values[i]
            if shared is None:
                places = -(-size[0] // self.stride[0]) * -(-size[1] // self.stride[1])
                return value.bytes * places if value.varies else 0
            places = -(-size[0] // shared.lattice[0]) * -(-size[1] // shared.lattice[1])
            return value.bytes // max(volume(value.full), 1) * places

        alive = {self.geometry.inputs[0]: held(self.geometry.inputs[0])}
        most = sum(alive.values())
        for at, s in enumerate(sharing.shared):
            made = held(s.record.output)
            most = max(most, sum(alive.values()) + COPIES * made)
            alive[s.record.output] = made
            keep = sharing.ringed(s.record.output)
            if not keep:
                alive = {
                    i: n for i, n in alive.items() if last.get(i, at) > at or i == s.record.output
                }
        return most


def dense(
    module: nn.Module,
    image: Tensor,
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: str = "patch",
    memory: int | float | str | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool | None = None,
    finite: bool = True,
    check: bool = True,
) -> Tensor:
    """Scores (N, classes, rows, columns) of a patch classifier for every window of an image (N, C, H, W).

    Equal to running each patch through the module, without doing so. The arguments are those of `Dense`, which keeps its
    preprocessing for several images, and of its call. `centres` says which pixel each score belongs to.

    >>> dense(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()), torch.rand(1, 1, 20, 30), window=8, stride=2).shape
    torch.Size([1, 3, 7, 12])
    """
    channels = image.shape[-3] if isinstance(image, Tensor) and image.dim() in (3, 4) else 3
    job = Dense(
        module, window=window, stride=stride, padding=padding, channels=channels, dtype=dtype,
        channels_last=channels_last, check=check,
    )  # fmt: skip
    return job(image, memory=memory, finite=finite)


def centres(
    size: Sequence[int], *, window: int | Sequence[int], stride: int | Sequence[int] = 1
) -> tuple[Tensor, Tensor]:
    """The pixel rows and columns at the middle of each patch of an image of `size` (rows, columns).

    An even window has its middle between two pixels: 31.5 for the first of 64.

    >>> centres((66, 70), window=64, stride=3)
    (tensor([31.5000]), tensor([31.5000, 34.5000, 37.5000]))
    """
    windows, strides = _pair(window, "window"), _pair(stride, "stride")
    axes = []
    for n, w, t in zip(size, windows, strides, strict=True):
        if n < w:
            raise UsageError(f"the image ({n} pixels) is smaller than the window ({w})")
        axes.append(torch.arange(0, n - w + 1, t) + (w - 1) / 2)
    return axes[0], axes[1]


def _pair(value: Any, name: str) -> Pair:
    pair = (value, value) if isinstance(value, int) and not isinstance(value, bool) else value
    good = isinstance(pair, (tuple, list)) and len(pair) == 2
    if not good or not all(isinstance(n, int) and n in RANGES[name] for n in pair):
        raise UsageError(
            f"{name} is a number of pixels, {RANGES[name]}, or (rows, columns), got {shown(value)}"
        )
    return pair[0], pair[1]


__all__ = ["Dense", "centres", "dense"]
