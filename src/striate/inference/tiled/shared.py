"""Shared: a network and an image of any size whose tiles several processes compute, on as many machines as there are."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.inference.kinds import in_its_own_words
from striate.inference.tiled.read.journal import digest_of
from striate.inference.tiled.read.outputs import complete, remove, unfinished
from striate.inference.tiled.run.banded import Banded
from striate.inference.tiled.run.bands import Bands, band_count
from striate.inference.tiled.run.walking import Sink
from striate.inference.tiled.tiled import Tiled, _written
from striate.inference.tiled.verify.checking import Check, Evidence
from striate.memory import keep_large_buffers


class Shared(Tiled):
    """As Tiled, with a plan whose rows of tiles stand for themselves, so that anybody can do them, in any order.

    Each process calls `work` with its number, one calls `join` when all have ended. What comes out is to the bit the same
    for any number of processes, where their processors, threads and libraries are alike. Nothing is kept from pass to pass.
    The arguments are those of Tiled; the image is one, and `elsewhere` is not there.
    """

    def __init__(self, module: nn.Module, image: Any, **given: Any) -> None:
        super().__init__(module, image, bands=True, **given)
        if self.image.count != 1:
            raise UsageError(
                f"several processes share one image, got {self.image.count}; give them one at a time"
            )

    @property
    def count(self) -> int:
        """How many bands the last pass has, which is how many processes have something to do at its end."""
        return band_count([w for w in self.plan.walks if w.targets][-1])

    def missing(self, bands: Bands) -> list[int]:
        """The bands that nobody has done: their numbers in the pass that they are of, once each."""
        return sorted({b for w in self.plan.walks for b in bands.missing(w)})

    def digest(self, *facts: object) -> str:
        """Of what decides every number: network, plan and what is done to pixels; facts: what else, such as the image."""
        grids = [[dict(a.cuts) for a in w.axes] for w in self.plan.walks]
        carried = [[a.carried for a in w.axes] for w in self.plan.walks]
        versions = torch.__version__.partition("+")[0]
        return digest_of(
            self.module, self.image.shape, grids, carried, self.fuse, self._shown(), versions, facts
        )

    def work(self, bands: Bands, *, check: bool = True) -> None:
        """Do the bands of a shard. check: write what `join` compares. Raises WriteError, and as Tiled for the network."""
        keep_large_buffers()
        with torch.no_grad():
            checking = self._checking(self._final) if check else None
            self._run(self._banded(bands, checking, {}, lambda cells: None))

    def join(
        self, bands: Bands, *, force: bool = False, progress: Any = None, check: bool = True
    ) -> Any:  # fmt: skip
        """What all bands together give, as `Tiled.run` gives it, and the certificate in `certificate`.

        Raises RunError for a band that is missing or damaged, ExactnessError if the result differs from the module's.
        """
        keep_large_buffers()
        total, done, began = self.plan.cells, 0, time.perf_counter()

        def count(cells: int) -> None:
            nonlocal done
            done += cells
            if progress is not None and cells:
                progress(done, total, time.perf_counter() - began)

        self._refuse_taken(force)
        final = self._final
        with torch.no_grad(), ExitStack() as stack:
            checking = self._checking(final) if check else None
            extra: dict[int, list[Sink]] = {}
            if self.out is not None:
                remove(unfinished(self.out))
                stack.callback(remove, unfinished(self.out))  # nothing half-written stays
                output = self._open(False, final)
                stack.callback(output.close)
                extra[final.work.outputs[0]] = [_written(output, self.out)]
            if self.take is not None:
                for place, v in enumerate(self.geometry.outputs):
                    if v is not None:
                        extra.setdefault(v, []).append(partial(self.take, place))
            running = self._banded(bands, checking, extra, count)
            leaves = self._run(running)
            evidence = Evidence("the check was switched off")
            if checking is not None:
                evidence = checking.conclude(self._unfinished(leaves))
            self.certificate = self._certify(evidence, None, running.seconds)
            if evidence.exact is False:
                self._withhold(evidence)
            if self.out is not None:
                output.close()
                complete(self.out)
        return self.out if self.out is not None else self._returned([leaves])

    def _banded(
        self, bands: Bands, checking: Check | None, extra: dict[int, list[Sink]], count: Any
    ) -> Banded:
        return Banded(
            self.network, self.module, self.plan, partial(self._read, 0), bands=bands,
            probe=None if checking is None else checking.probe, device=self.device, fuse=self.fuse, finite=self.finite,
            finish=self.finish, extra=extra, to_file=self._elsewhere, count=count, journal=None, state=None, number=0,
        )  # fmt: skip

    def _run(self, running: Banded) -> list[Tensor | None]:
        full = tuple([(0, n) for n in self.network.geometry.image])
        with in_its_own_words(
            self.module, partial(self._read, 0, full), numbers=math.prod(self.image.shape)
        ):
            return running.run()
