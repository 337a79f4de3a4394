"""Job: a network and an image of any size, planned, then run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.borrow import refuse_numberless
from striate.errors import ExactnessError, GeometryError, StriateError, UsageError
from striate.geometry import Box, Geometry, leaves_of, refuse_chance, trace
from striate.geometry.layout import BATCH, axis_atom
from striate.geometry.rules.convolution import Convolve, ConvolveTransposed
from striate.geometry.rules.normalisation import BatchNorm
from striate.inference.kinds import in_its_own_words, refuse_lost, takes
from striate.inference.repeating import refuse_memory
from striate.inference.tiled.plan.choose import check_request, make_plan
from striate.inference.tiled.plan.limits import parse_bytes
from striate.inference.tiled.plan.network import Network, sort
from striate.inference.tiled.plan.plan import Plan, Walk
from striate.inference.tiled.read.files import to_unit
from striate.inference.tiled.read.images import Image, Preprocess
from striate.inference.tiled.read.journal import Journal, State, digest_of
from striate.inference.tiled.read.open import open_image
from striate.inference.tiled.read.outputs import (
    Output,
    check_output,
    complete,
    open_output,
    remove,
    unfinished,
)
from striate.inference.tiled.run.batches import places
from striate.inference.tiled.run.convolutions import COPIES
from striate.inference.tiled.run.crops import Crops, Elsewhere, refuse_global, side_within
from striate.inference.tiled.run.finishing import Finish, Finishing
from striate.inference.tiled.run.running import Running
from striate.inference.tiled.run.walking import Sink
from striate.inference.tiled.verify.certificate import Certificate
from striate.inference.tiled.verify.checking import Check, Evidence, Leaves
from striate.inference.tiled.verify.measuring import PeakMemory
from striate.inference.tiled.verify.reporting import report_of
from striate.inference.tiled.verify.smaller import Smaller
from striate.memory import keep_large_buffers
from striate.writing import held

Progress = Callable[[int, int, float], None]
Take = Callable[[int, Box, Tensor], None]
READING = {
    True: 1.5,
    False: 3.0,
}  # tensors that live while a crop is read: by our own steps, by a caller's
PART = 256  # pixels along each axis on which the plain module is run to see what it makes of images
CHECK = 500_000_000  # bytes that a check may take where no limit was given


class Tiled:
    """A network and an image, run tile by tile with the numbers of the whole image.

    module: any `nn.Module` that takes one image; nothing of it changes.
    image: a tensor or an array (N, C, H, W) or (C, H, W), read region by region, or the path of a TIFF, PNG, JPEG, .npy or
        Zarr image.
    tile: pixels of the image under one tile, or one number an axis; chosen by predicted cost if not given.
    memory: what may be used above the module and the image, in bytes or as "1GB"; the result counts unless a file takes it.
    strategy: "halo", "carry" or "auto"; see `Plan`.
    preprocess: turns pixels as they are read, (1, C, rows, columns), into what the module reads, position by position. If
        not given, integers of files become numbers from 0 to 1; tensors and arrays are taken as they are.
    finish: turns the network's map, crop by crop (1, K, rows, columns), into what is kept or written, position by position:
        a tensor or array (C, rows, columns) or (rows, columns) of any kind of number, a class map of bytes for instance.
    out: a file (.tif, .npy or .zarr) that takes the result as it is made, instead of memory.
    take: takes the result as it is made, instead of memory: called with (place, box, piece) for each piece (1, K, rows,
        columns) of each map that the network returns. place: of the map among the tensors and other things that it
        returns, in their order; box: its rows and columns. Every position comes once.
    fuse: write batch norms into the convolutions before them and lay weights out for the processor; False keeps every
        operation as it is.
    finite: refuse values that are not finite, with the name of the layer that makes them.
    axes: of positions; 3 for volumes (N, C, D, H, W) or (C, D, H, W), 1 for signals.
    elsewhere: what computes the module's result for a crop (1, C, rows, columns), such as an engine; see `Crops`. share: of
        the largest value by which its results may differ from the module's.

    plan: what will be done, in integers. certificate: what was done, after `run(certificate=True)`.

    >>> job = Tiled(nn.Conv2d(1, 4, 3, padding=1), torch.rand(1, 64, 64), tile=16)
    >>> job.plan.cells
    16
    >>> job.run().shape
    torch.Size([4, 64, 64])

    Raises UsageError for arguments that are wrong, GeometryError for a network that cannot be cut into tiles, an image that
    cannot be read, and too little memory.
    """

    def __init__(
        self,
        module: nn.Module,
        image: Any,
        *,
        tile: int | Sequence[int] | None = None,
        memory: int | float | str | None = None,
        strategy: str | Sequence[bool] = "auto",
        preprocess: Preprocess | None = None,
        finish: Finish | None = None,
        out: str | Path | None = None,
        take: Take | None = None,
        fuse: bool = True,
        finite: bool = True,
        axes: int = 2,
        elsewhere: Elsewhere | None = None,
        share: float = 0.0,
        bands: bool = False,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UsageError(f"tiled takes a torch.nn.Module, got {type(module).__name__}")
        refuse_numberless(module)
        self.crops, self.share = elsewhere, share
        self._arithmetic = 0.0  # of crops, by their pixels
        if elsewhere is not None:
            strategy = "halo"  # nothing is kept from crop to crop
        request = replace(check_request(tile, parse_bytes(memory), strategy, axes), bands=bands)
        self.out = None if out is None else Path(out)
        if self.out is not None:
            check_output(self.out)
        if take is not None and (self.out is not None or finish is not None):
            raise UsageError("take= gets the network's own maps; leave out= and finish= away")
        self.module, self.fuse, self.finite, self.take = module, fuse, finite, take
        self.image: Image = open_image(image, axes)
        from_file = isinstance(image, (str, Path))
        self.preprocess = to_unit if preprocess is None and from_file else preprocess
        first = next(module.parameters(), None)
        self.device = first.device if first is not None else torch.device("cpu")
        self.dtype = first.dtype if first is not None and first.is_floating_point() else None
        self._keep_kind(axes)
        self.home = image.device if isinstance(image, Tensor) else torch.device("cpu")
        pixel = self._read(0, tuple([(0, 1)] * axes))
        shape = (1, pixel.shape[1], *self.image.shape[1:])
        self.geometry: Geometry = trace(
            module, torch.empty(shape, dtype=pixel.dtype, device="meta")
        )
        _refuse_chance(self.geometry, module)
        if self.geometry.kept:
            refuse_memory(self.geometry, module, self._middle(), GeometryError)
        self.network: Network = sort(self.geometry)
        self._places = places(module, self.geometry, self.image.count)
        if elsewhere is not None:
            refuse_global(self.network)
            if tile is None and request.memory is not None:
                request = replace(
                    request, tile=side_within(self.network, request.memory), memory=None
                )
        kept = [self.geometry.values[i] for i in self.network.outputs]
        if finish is not None or self.out is not None:
            self._one_map("finish=" if self.out is None else "out=")
        self.finish = None if finish is None else Finishing(finish, kept[0], self.device)
        if self.finish is not None:
            kept = [self.finish.value]
        self._elsewhere = self.out is not None or take is not None  # the result is not kept here
        held = 0 if self._elsewhere else sum(v.bytes for v in kept)
        reading = 1.0 if self.preprocess is None else READING[self.preprocess is to_unit]
        request = replace(request, reading=reading)
        result, fixed = held * self.image.count, _laid_out(self.network, fuse) + self.image.held
        self._held = result + fixed
        self.plan: Plan = make_plan(self.network, request, result=result, fixed=fixed)
        self.certificate: Certificate | None = None

    def _keep_kind(self, axes: int) -> None:
        """Leave the image's own kind of number where the module takes it; it is cast to the weights' where not."""
        if self.dtype is None:
            return
        dtype, self.dtype = self.dtype, None
        pixel = self._read(0, tuple([(0, 1)] * axes))
        if pixel.dtype == dtype:
            return
        shape = (1, pixel.shape[1], *self.image.shape[1:])
        try:
            trace(self.module, torch.empty(shape, dtype=pixel.dtype, device="meta"))
            part = self._middle()
            taken = takes(self.module, part) or not takes(self.module, part.to(dtype))
        except StriateError:
            taken = False
        if not taken:
            refuse_lost(pixel, dtype)
            self.dtype = dtype

    def _middle(self) -> Tensor:
        """A part of the first image that is small enough to run the module on."""
        sides = self.image.shape[1:]
        return self._read(
            0, tuple([((n - min(n, PART)) // 2, (n + min(n, PART)) // 2) for n in sides])
        )

    def _one_map(self, who: str) -> None:
        """Raise UsageError unless the result is one map (1, C, H, W), and of one image where it goes to a file."""
        outputs = [i for i in self.geometry.outputs if i is not None]
        values = self.geometry.values
        axes = self.geometry.axes
        layout = tuple([(axis_atom(k),) for k in range(axes)])
        good = len(outputs) == 1 and (self.out is None or self.image.count == 1)
        if good:
            the_layout = values[outputs[0]].layout
            good = (
                the_layout[0] == (BATCH,)
                and the_layout[2:] == layout
                and all(a > 0 for a in the_layout[1])
            )
        if not good:
            shapes = ", ".join("x".join(map(str, values[i].shape)) for i in outputs)
            raise UsageError(
                f"{who} takes one map (1, C, H, W) of one image; the network returns {shapes} for each of "
                f"{self.image.count}; leave {who} away"
            )

    def _read(self, number: int, box: Box) -> Tensor:
        """A box of an image as the module reads it."""
        part = self.image.read(number, box)
        if self.preprocess is not None:
            part = self.preprocess(part)
        return part.to(self.device, self.dtype or part.dtype)

    def run(
        self,
        *,
        force: bool = False,
        resume: str | Path | None = None,
        progress: Progress | None = None,
        certificate: bool = False,
        check: bool = True,
    ) -> Any:
        """Run the plan: what the module returns for the whole image, or the path of `out`.

        force: write over an output that exists.
        resume: a file that remembers what is finished, so that an interrupted run resumes where it stopped; beside `out`
            if not given, and nowhere for results in memory.
        progress: hears how many tiles are finished, of how many, and after how many seconds.
        check: compare with the untouched module where that takes little of the run's time and memory; a result that
            differs is withheld. certificate: measure memory, and set `certificate`.

        Raises ExactnessError, with a report, if the result differs from the module's.
        """
        keep_large_buffers()
        total = self.plan.cells * self.image.count
        done = 0
        began = time.perf_counter()

        def count(cells: int) -> None:
            nonlocal done
            done += cells
            if progress is not None and cells:
                progress(done, total, time.perf_counter() - began)

        self._refuse_taken(force)
        if self.take is not None and resume is not None:
            raise UsageError("what take= got is gone when a run is resumed; leave resume= away")
        final = self._final
        full = tuple([(0, n) for n in self.network.geometry.image])
        with torch.no_grad(), ExitStack() as stack:
            if self.out is not None:
                stack.enter_context(held(self.out))
            journal, state = self._journal(resume, force)
            checking = self._checking(final) if check else None
            output = None if self.out is None else self._open(state is not None, final)
            if output is not None:
                stack.callback(output.close)
            began = time.perf_counter()
            memory = stack.enter_context(PeakMemory(self.device)) if certificate else None
            results: list[list[Tensor | None]] = []
            for number in range(self.image.count):
                extra: dict[int, list[Sink]] = {}
                if output is not None:
                    take = _written(output, self.out)
                    take = take if self.finish is None else self.finish.sink(take)
                    extra[final.work.outputs[0]] = [take]
                if self.take is not None:
                    for place, v in enumerate(self.geometry.outputs):
                        if v is not None:
                            extra.setdefault(v, []).append(partial(self.take, place))
                if checking is not None and number == 0:
                    for v in checking.probe.targets:
                        extra.setdefault(v, []).append(partial(checking.probe.sink, v))
                with in_its_own_words(
                    self.module,
                    partial(self._read, number, full),
                    numbers=math.prod(self.image.shape),
                ):
                    given: dict[str, Any] = {
                        "device": self.device, "fuse": self.fuse, "finite": self.finite, "finish": self.finish,
                        "extra": extra, "to_file": self._elsewhere, "count": count, "journal": journal, "state": state,
                        "number": number,
                    }  # fmt: skip
                    read = partial(self._read, number)
                    if self.crops is None:
                        running = Running(self.network, self.module, self.plan, read, **given)
                    else:
                        running = Crops(
                            self.network,
                            self.module,
                            self.plan,
                            read,
                            elsewhere=self.crops,
                            **given,
                        )
                    results.append(running.run())
                    if isinstance(running, Crops):
                        self._arithmetic = running.pixels / math.prod(self.image.shape[1:])
            seconds = time.perf_counter() - began
            evidence = Evidence("the check was switched off")
            if checking is not None:
                evidence = checking.conclude(self._unfinished(results[0]))
            if memory is not None:
                memory.__exit__(None, None, None)
            if certificate:
                self.certificate = self._certify(evidence, memory, seconds)
            if evidence.exact is False:
                if journal is not None:
                    journal.remove()
                self._withhold(evidence)
            if output is not None:
                output.close()
            if self.out is not None:
                complete(self.out)
            if journal is not None:
                journal.remove()
        return self.out if self.out is not None else self._returned(results)

    def _room(self) -> int:
        """Bytes that the check may take."""
        if self.plan.limit is None:
            return max(self.plan.bytes, CHECK)
        return self.plan.limit - self._held

    def _returned(self, results: list[list[Tensor | None]]) -> Any:
        """The results of all images in the form of the module's own result."""
        leaves: list[Tensor | None] = []
        for place, leaf in enumerate(self.geometry.outputs):
            parts = [p for r in results if (p := r[place]) is not None]
            if leaf is None or not parts:
                leaves.append(None)
                continue
            at = self._places[place]
            joined = parts[0] if len(parts) == 1 or at is None else torch.cat(parts, at)
            if not self.image.batched and at is not None and joined.shape[at] == 1:
                joined = joined.squeeze(at)
            leaves.append(joined.to(self.home))
        return self.geometry.unflatten(leaves)

    def _journal(
        self, resume: str | Path | None, force: bool
    ) -> tuple[Journal | None, State | None]:
        """Where finished work is remembered, and what an interrupted run left."""
        if resume is None and self.out is None:
            return None, None
        if resume is not None:
            path = Path(resume)
        else:
            assert self.out is not None
            path = self.out.with_name(self.out.name + ".partial")
        grids = [[dict(a.cuts) for a in w.axes] for w in self.plan.walks]
        carried = [[a.carried for a in w.axes] for w in self.plan.walks]
        digest = digest_of(
            self.module,
            self.image.identity(),
            grids,
            carried,
            self.fuse,
            str(self.out),
            self._shown(),
        )
        journal = Journal(path, digest)
        if self.out is None:
            return journal, journal.load(self.device)
        self._refuse_taken(force)  # again: another process may have completed it
        part = unfinished(self.out)
        state = journal.load(self.device) if part.exists() else None
        if state is not None and not force:
            return journal, state
        if part.exists() and path.exists() and not force:
            raise UsageError(
                f"{part} exists (unfinished work that belongs to another network, image or tile); give another path, or "
                "force=True to write over it"
            )
        remove(part)
        path.unlink(missing_ok=True)
        return journal, None

    def _refuse_taken(self, force: bool) -> None:
        if self.out is not None and self.out.exists() and not force:
            raise UsageError(
                f"{self.out} exists; give another path, or force=True to write over it"
            )

    def _shown(self) -> list[str]:
        """What `preprocess` and `finish` do to a few numbers: functions have no identity, what they do has."""
        shown = [self._read(0, tuple([(0, min(n, 8)) for n in self.image.shape[1:]]))]
        if self.finish is not None:
            value = self.geometry.values[self.network.outputs[0]]
            generator = torch.Generator().manual_seed(0)
            numbers = torch.randn(1, value.shape[1], *[8] * self.geometry.axes, generator=generator)
            shown.append(self.finish(numbers.to(self.device, value.dtype)))
        return [f"{t.dtype} {t.tolist()}" for t in shown]

    def _open(self, again: bool, final: Walk) -> Output:
        value = self.geometry.values[final.work.outputs[0]]
        if self.finish is not None:
            value = self.finish.value
        assert self.out is not None
        return open_output(
            unfinished(self.out), value.shape[1:], value.dtype, final.step, again=again
        )

    def _checking(self, final: Walk) -> Check:
        read = partial(self._read, 0)
        return Check(
            self.network, self.module, self.plan, final, read, self._room(), self.device, self._tiled_smaller,
            kept=self.finish is None and not self._elsewhere, allowed=self.share,
        )  # fmt: skip

    def _tiled_smaller(self, x: Tensor, small: Smaller) -> Leaves:
        """The leaves of a smaller image, walked as this job walks its own."""
        final = self._final
        job = Tiled(
            self.module, x, tile=small.tile, strategy=final.carried, fuse=self.fuse, finite=False,
            axes=self.geometry.axes, elsewhere=self.crops,
        )  # fmt: skip
        result = job.run(check=False)
        return [t if isinstance(t, Tensor) else None for t in leaves_of(result)]

    @property
    def _final(self) -> Walk:
        """The walk that hands out the results."""
        return [w for w in self.plan.walks if w.work.outputs or w is self.plan.walks[-1]][-1]

    def _unfinished(self, leaves: list[Tensor | None]) -> Leaves:
        """Results as the network gives them; None for those that `finish` has changed."""
        maps = set(self.network.outputs) if self.finish is not None else set()
        return [
            None if v in maps else t for v, t in zip(self.geometry.outputs, leaves, strict=True)
        ]

    def _withhold(self, evidence: Evidence) -> None:
        """Take back what was written, and raise ExactnessError."""
        if self.out is not None:
            remove(unfinished(self.out))
        assert evidence.difference is not None
        raise ExactnessError(
            f"the tiles differ from {evidence.reference} by {evidence.difference.relative:.1e} of the largest value, so "
            "the result is withheld: this is a fault of striate or a network that depends on its image's size; send in "
            "the report, run a smaller image whole, or take the result unchecked with check=False (--no-check)",
            report_of(self.network, self.plan, evidence),
        )

    def _certify(
        self, evidence: Evidence, memory: PeakMemory | None, seconds: float
    ) -> Certificate:
        plan, difference = self.plan, evidence.difference
        return Certificate(
            strategy=plan.strategy,
            image=plan.image,
            tile=plan.tile,
            halo=plan.halo,
            tiles=plan.cells * self.image.count,
            passes=len(plan.walks),
            arithmetic=self._arithmetic or plan.overlap,
            predicted_bytes=plan.bytes,
            measured_bytes=None if memory is None else memory.peak,
            limit_bytes=plan.limit,
            samples=evidence.samples,
            difference=None if difference is None else difference.relative,
            reference=evidence.reference,
            seconds=seconds,
            tolerance=evidence.tolerance,
            flips=0.0 if difference is None else difference.flips,
        )


def _written(output: Output, path: Path | None) -> Sink:
    """A sink that writes, and says what to do when the disk does not take it."""

    def sink(box: Box, tensor: Tensor) -> None:
        try:
            output.write(box, tensor)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StriateError(
                f"cannot write {path}: {reason}; finished tiles stay, so make room and run the same again"
            ) from error

    return sink


def _laid_out(network: Network, fuse: bool) -> int:
    """Bytes of convolution weights that are laid out anew, as often as sizes of tiles may need their own."""
    total = 0
    for node in network.nodes:
        record = node.records[0]
        if isinstance(record.plan, (Convolve, ConvolveTransposed)) and len(record.inputs) > 1:
            weight = network.geometry.values[record.inputs[1]]
            total += weight.bytes * (COPIES if isinstance(record.plan, Convolve) else 1)
    return total if fuse else 0


def _refuse_chance(geometry: Geometry, module: nn.Module) -> None:
    """Raise GeometryError where training mode makes the result depend on chance or on the batch."""
    for record in geometry.records:
        if not record.live:
            continue
        path = geometry.visits[record.visit].path
        if isinstance(record.plan, BatchNorm) and record.plan.training:
            owner = module.get_submodule(path) if path else module
            if isinstance(owner, nn.modules.batchnorm._BatchNorm) and owner.training:
                raise GeometryError(
                    f"{record.name} is in training mode and normalises by its batch; call module.eval() first"
                )
    refuse_chance(geometry, module, GeometryError)


def tiled(
    module: nn.Module,
    image: Any,
    *,
    tile: int | Sequence[int] | None = None,
    memory: int | float | str | None = None,
    strategy: str = "auto",
    preprocess: Preprocess | None = None,
    finish: Finish | None = None,
    out: str | Path | None = None,
    force: bool = False,
    resume: str | Path | None = None,
    progress: Progress | None = None,
    certificate: bool = False,
    check: bool = True,
    fuse: bool = True,
    finite: bool = True,
    axes: int = 2,
) -> Any:
    """What `module(image)` returns, computed tile by tile in bounded memory, with the numbers of the whole image.

    The arguments are those of `Tiled` and `Tiled.run`. Returns the result, in the form and on the device of the image; the
    path if it went to `out`; with `certificate=True` a pair of that and the `Certificate`. Unless `check=False`, the result
    is compared with the plain module where that is cheap; ExactnessError is raised if it differs.

    >>> tiled(nn.Conv2d(3, 8, 3, padding=1), torch.rand(1, 3, 100, 80), tile=32).shape
    torch.Size([1, 8, 100, 80])
    """
    job = Tiled(
        module, image, tile=tile, memory=memory, strategy=strategy, preprocess=preprocess, finish=finish, out=out,
        fuse=fuse, finite=finite, axes=axes,
    )  # fmt: skip
    result = job.run(
        force=force, resume=resume, progress=progress, certificate=certificate, check=check
    )
    return (result, job.certificate) if certificate else result
