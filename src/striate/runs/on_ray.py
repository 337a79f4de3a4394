"""On Ray: predictions and tiles by actors of a cluster, with the shards of `striate predict --shard` as what is kept.

Ray's actors alone are used and not its datasets: a block is the unit of both and lies in a file when it is done, so that
nothing has to be remembered of a driver or an actor that dies, and rows come out in their order without being sorted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from striate.data.files import Found, Paths, find_files
from striate.errors import StriateError, TrainingError, UsageError
from striate.findings import Finding
from striate.paths import given_folder
from striate.ranges import check_ranges
from striate.runs.factories import find_factory
from striate.runs.predicting import on_engine, opened
from striate.runs.run import load
from striate.runs.shards import Merged, Shard, begun, images_of, make_blocks, merged
from striate.runs.shared_tiles import merge_tiles, tile_shard
from striate.tasks.trained import Trained
from striate.training.machine import choose_device

AHEAD = (
    2  # blocks that an actor has been given and has not ended, so that none waits for the driver
)
ALL = Shard(number=1, of=1)


def predict_on_ray(
    run: str | Path | Trained, images: Paths | Found, parts: str | Path, *, model: str | None = None,
    workers: int | None = None, top: int = 5, out: str | Path | None = None, force: bool = False, device: str = "auto",
    engine: str = "torch",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Merged:  # fmt: skip
    """Predict images by actors of a Ray cluster, or of this machine where none is running; all predictions, in order.

    parts: a folder that all machines reach, as they do the images and the run; what is done lies there, so that a driver
    or an actor that dies costs the blocks of 64 images that were under way. workers: how many actors, one a processor or
    GPU if not given. model: what makes the network, FILE.py:FUNCTION. Raises UsageError without Ray, and as
    `predict_shard`.
    """
    check_ranges(top=top, workers=workers)
    folder = given_folder(parts, "--parts")
    written = None if out is None else given_folder(out, "-o")
    engine = "torch" if engine == "auto" else engine
    trained, found = _opened(run, model), find_files(images)
    device = choose_device(device).type
    with connected() as ray, begun(
        trained, found, ALL, folder, top=top, out=written, engine=engine
    ) as (left, again):  # fmt: skip
        total = len(found.files)
        done = total - sum(images_of(found, b) for b in left)
        progress(done, total)
        if left:
            count = min(workers or _workers(ray, device), len(left))
            what = {"top": top, "device": device, "out": written, "force": force or again}
            # A run goes by its path: an actor may not have the modules that its network is made of.
            whose = (
                str(Path(run).absolute())
                if isinstance(run, str | Path) and Path(run).is_dir()
                else run
            )
            given = (ray.put(whose), ray.put(found))
            kind = ray.remote(
                max_restarts=-1, max_task_retries=-1, num_cpus=1, num_gpus=int(device == "cuda")
            )(Blocks)
            own = str(ALL.folder(folder).absolute())
            actors = [kind.remote(Path.cwd(), model, own, engine, what) for _ in range(count)]
            for block in _dealt(ray, actors, given, left):
                done += images_of(found, block)
                progress(done, total)
    return merged(folder)


def tile_on_ray(
    run: str | Path | Trained, image: str | Path, out: str | Path | None = None, *, parts: str | Path,
    model: str | None = None, workers: int | None = None, force: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None, **options: Any,
) -> Finding:  # fmt: skip
    """Tile one image by tasks of a Ray cluster, each a shard; see `tile_shard` for the options and `merge` for the result.

    Other arguments as in `predict_on_ray`.
    """
    check_ranges(workers=workers)
    folder = given_folder(parts, "--parts")
    trained = _opened(run, model)
    with connected() as ray:
        count = workers or _workers(ray, "cpu")
        task = ray.remote(max_retries=-1, num_cpus=1)(_shard)
        whose = (
            str(Path(run).absolute()) if isinstance(run, str | Path) and Path(run).is_dir() else run
        )
        place = None if out is None else str(Path(out).absolute())
        given = (whose, model, str(Path(image).absolute()), place, str(folder.absolute()), options)
        left = [task.remote(*given, f"{k}/{count}") for k in range(1, count + 1)]
        progress(0, count)
        with _said(ray):
            while left:
                ready, left = ray.wait(left)
                ray.get(ready)
                progress(count - len(left), count)
    return merge_tiles(folder, run=trained, force=force)


class Blocks:
    """An actor: it opens the network once and makes blocks as it is told.

    It is begun with what is small, since Ray cannot begin it again once what lay in its memory for that is gone.
    """

    def __init__(
        self, place: Path, model: str | None, own: str, engine: str, what: dict[str, Any]
    ) -> None:
        if place.is_dir():  # names of images may be relative to it
            os.chdir(place)
        self.model, self.own, self.engine, self.what = model, Path(own), engine, what
        self.trained: Trained | None = None

    def make(self, run: Any, found: Found, block: int) -> int:
        """Make one block; returns its number."""
        try:
            if self.trained is None:
                self.trained = on_engine(_opened(run, self.model), self.engine, self.what["device"])
            for _ in make_blocks(self.trained, found, self.own, [block], **self.what):
                pass
        except StriateError as error:
            raise Refused(type(error), error.sentence) from None
        return block


class Refused(Exception):  # noqa: N818 - it carries an error through Ray, and is none itself
    """An error of ours on its way through Ray, which gives back what it cannot make again as text."""

    def __init__(self, kind: type[StriateError], sentence: str) -> None:
        super().__init__(kind, sentence)
        self.kind, self.sentence = kind, sentence


def _shard(
    run: Any,
    model: str | None,
    image: str,
    out: str | None,
    parts: str,
    options: dict[str, Any],
    shard: str,
) -> str:
    try:
        tile_shard(_opened(run, model), image, out, shard=shard, parts=parts, **options)
    except StriateError as error:
        raise Refused(type(error), error.sentence) from None
    return shard


def _dealt(
    ray: Any, actors: Sequence[Any], given: tuple[Any, Any], blocks: Sequence[int]
) -> Iterator[int]:
    """The blocks as they are done, each dealt to the first actor that has room. Ray gives what a dead one had to it anew."""
    waiting = deque(blocks)
    under_way: dict[Any, Any] = {}
    for actor in [a for _ in range(AHEAD) for a in actors]:
        if waiting:
            under_way[actor.make.remote(*given, waiting.popleft())] = actor
    with _said(ray):
        while under_way:
            ready, _ = ray.wait(list(under_way))
            actor = under_way.pop(ready[0])
            block = ray.get(ready[0])
            if waiting:
                under_way[actor.make.remote(*given, waiting.popleft())] = actor
            yield block


@contextmanager
def _said(ray: Any) -> Iterator[None]:
    """Raise what an actor refused as the error that it was."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, Refused):
            raise cause.kind(cause.sentence) from error
        raise
    except ray.exceptions.RayError as error:
        raise TrainingError(
            f"Ray lost its workers ({str(error).strip().splitlines()[0]}); run the same again: it goes on where it stopped"
        ) from error


@contextmanager
def connected() -> Iterator[Any]:
    """Ray, joined to the cluster that RAY_ADDRESS names, or begun here for as long; one that is joined already stays."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--on ray needs the package ray; pip install 'striate[ray]', or take --shard K/N, which needs nothing"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        quiet["include_dashboard"] = False
    try:
        ray.init(**quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"cannot join the Ray cluster at {os.environ.get('RAY_ADDRESS', 'this machine')}: {str(error).splitlines()[0]}; "
            "see `ray status`, or unset RAY_ADDRESS to begin one here"
        ) from error
    # Ray prints what it has to say of a worker that died, until it is gone, and standard output is for what a command gives.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield ray
        finally:
            ray.shutdown()


def _workers(ray: Any, device: str) -> int:
    return max(int(ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 1)), 1)


def _opened(run: Any, model: str | None) -> Trained:
    return opened(run if model is None else load(run, model=find_factory(model)))
