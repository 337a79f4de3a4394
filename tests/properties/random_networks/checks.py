"""Checks: a network's plain forward pass against everything that Striate computes from its geometry.

Each check is a function of a `Case`. It returns True where the results are equal, False where the check does not apply,
and raises Wrong where they differ; an error of the StriateError family is a refusal. Nothing here shares arithmetic with
what it checks: the references are loops of forward passes.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from random_networks.program import Built, image_of
from striate.attribution import METHODS, attribute
from striate.errors import ExactnessError, StriateError
from striate.geometry import Geometry, replay, trace
from striate.geometry.exact_field import receptive_field
from striate.geometry.layout import BATCH
from striate.geometry.plan import cut
from striate.inference.dense import Dense
from striate.inference.incremental import Incremental, occlusion
from striate.inference.tiled import Tiled

CLOSE = 1e-9  # of the largest number, in float64
COARSE = 1e-4  # where a network computes some of it in float32
HALF = 0.05  # and in bfloat16


class Wrong(AssertionError):  # noqa: N818 - it says what the verdict is
    """Two results that must be equal are not."""

    def __init__(self, text: str, size: float = float("inf")) -> None:
        super().__init__(text)
        self.size = size


@dataclass
class Case:
    """A network, an image that it is run on, and chance of its own."""

    built: Built

    def __post_init__(self) -> None:
        traces.known.clear()

    @cached_property
    def rng(self) -> random.Random:
        return random.Random(self.built.program.seed + 1)

    @property
    def module(self) -> nn.Module:
        return self.built.module

    @cached_property
    def image(self) -> Tensor:
        return image_of(self.built.program)

    @cached_property
    def geometry(self) -> Geometry:
        return traces(self.module, self.image)

    @cached_property
    def want(self) -> Any:
        return plain(self.module, self.image)

    @cached_property
    def by_image(self) -> bool:
        """Whether the network gives every image of a batch what it gives it alone."""
        one = self.image[:1]
        two = torch.cat([one, one.flip(-1) * 0.5])
        try:
            alone = [plain(self.module, part) for part in (two[:1], two[1:])]
            both = plain(self.module, two)
        except Exception:
            return False
        leaves = [tensors(v) for v in (*alone, both)]
        return len({len(one) for one in leaves}) == 1 and all(
            c.dim() > 0 and c.shape[:1] == (2,) and a.shape[:1] == (1,)
            and torch.cat([a, b]).shape == c.shape and close(c, torch.cat([a, b]), self.tolerance)
            for a, b, c in zip(*leaves, strict=True)
        )  # fmt: skip

    @property
    def tolerance(self) -> float:
        if self.built.program.form == "autocast":
            return HALF
        return CLOSE if self.built.exact else COARSE


class Traces:
    """Traces of one network, by the shape of the image: each is made once, however many checks need it."""

    def __init__(self) -> None:
        self.known: dict[tuple[Any, ...], tuple[nn.Module, Geometry | StriateError]] = {}

    def __call__(self, module: nn.Module, inputs: Any) -> Geometry:
        first = next(module.parameters(), None)
        kind = (
            (inputs.dtype, tuple(inputs.shape))
            if isinstance(inputs, Tensor)
            else (None, tuple(inputs))
        )
        key = (id(module), module.training, first is not None and first.dtype, *kind)
        if key not in self.known:
            try:
                self.known[key] = module, trace(module, inputs)
            except StriateError as error:
                self.known[key] = module, error
        found = self.known[key][1]
        if isinstance(found, StriateError):
            raise found
        return found


traces = Traces()
TRACING = ("attribution.layers", "attribution.names", "inference.dense.dense", "inference.incremental.incremental",
           "inference.tiled.tiled", "inference.tiled.verify.smaller")  # fmt: skip


@contextmanager
def traced_once() -> Iterator[None]:
    """One trace of a network serves all its checks; other tests of the process keep the library's own."""
    rooms = [vars(import_module(f"striate.{place}")) for place in TRACING]
    before = [room["trace"] for room in rooms]
    for room in rooms:
        room["trace"] = traces
    try:
        yield
    finally:
        for room, own in zip(rooms, before, strict=True):
            room["trace"] = own
        traces.known.clear()


def plain(module: nn.Module, images: Tensor) -> Any:
    """The forward pass itself."""
    with torch.no_grad():
        return module(images.clone())


def opened(value: Any) -> Any:
    """A result with dataclasses and dicts of any class as plain tuples and dicts, by what Python itself says of them."""
    if is_dataclass(value) and not isinstance(value, type):
        return (
            type(value).__name__,
            {f.name: opened(getattr(value, f.name)) for f in fields(value)},
        )
    if isinstance(value, dict):
        return {key: opened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [opened(one) for one in value]
    if isinstance(value, tuple):
        parts = [opened(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(opened(value)) if isinstance(leaf, Tensor)]


@contextmanager
def kept(image: Tensor) -> Iterator[Tensor]:
    """An image to be given away, which must be the same afterwards."""
    given = image.clone()
    yield given
    if not torch.equal(given, image):
        raise Wrong("the image is written into")


def apart(got: Tensor, want: Tensor) -> float:
    """The largest difference, of the largest number."""
    a, b = got.double(), want.double()
    if not a.numel():
        return 0.0
    difference = (a - b).abs().max().item() / max(b.abs().max().item(), 1e-3)
    return difference if difference == difference else float("inf")


def close(got: Tensor, want: Tensor, tolerance: float) -> bool:
    return got.shape == want.shape and apart(got, want) <= tolerance


def same(got: Any, want: Any, case: Case, what: str) -> bool:
    """Raise Wrong unless two results have the same form and numbers."""
    a, b = pytree.tree_flatten(opened(got)), pytree.tree_flatten(opened(want))
    if a[1] != b[1] or type(got) is not type(want):
        raise Wrong(f"{what} returns {type(got).__name__}, the module {type(want).__name__}")
    for one, other in zip(a[0], b[0], strict=True):
        if not isinstance(other, Tensor):
            if one != other:
                raise Wrong(f"{what} returns {one!r}, the module {other!r}")
            continue
        if tuple(one.shape) != tuple(other.shape) or one.dtype != other.dtype:
            raise Wrong(
                f"{what} returns {one.dtype} {tuple(one.shape)}, the module {other.dtype} {tuple(other.shape)}"
            )
        if not close(one, other, case.tolerance):
            raise Wrong(
                f"{what} differs by {apart(one, other):.1e} of the largest number",
                apart(one, other),
            )
    return True


def replayed(case: Case) -> bool:
    with torch.no_grad():
        return same(
            replay(case.geometry, case.module, case.image.clone()), case.want, case, "replay"
        )


def replayed_for_another_batch(case: Case) -> bool:
    """A geometry says how it holds images: traced with one, run with three."""
    if not case.by_image or case.rng.random() < 0.5:
        return False
    image = image_of(case.built.program, (3, *case.image.shape[1:]), seed=1)
    with torch.no_grad():
        return same(
            replay(case.geometry, case.module, image.clone()),
            plain(case.module, image),
            case,
            "replay of 3 images",
        )


def as_picture(case: Case, refused: Callable[[], Any]) -> Case | None:
    """Occlusion reads a signal (1, C, L) as a picture (C, H, W) of one channel; None of several signals.


    Raises Wrong where it is not refused.
    """
    if len(case.image) > 1:
        return None
    found = Case(case.built)
    found.__dict__["image"] = case.image[None]
    try:
        plain(case.module, found.image)
    except Exception:
        refused()
        raise Wrong("a signal that the network does not take as a picture is not refused") from None
    return found


def tiles(case: Case) -> bool:
    rng = case.rng
    image, want = case.image, case.want
    done = False
    for strategy in ("halo", "carry", "auto"):
        if strategy == "auto" and rng.random() < 0.6:
            continue
        axes = image.dim() - 2
        tile = tuple([rng.randint(1, 9) for _ in range(axes)])
        given = image.clone()
        job = Tiled(
            case.module, given, tile=tile, strategy=strategy, fuse=rng.random() < 0.7, axes=axes
        )
        certified = rng.random() < 0.4
        what = f"tiled ({strategy}, {tile})"
        try:
            got = job.run(certificate=certified, check=certified)
            if not torch.equal(given, image):
                raise Wrong("the image is written into")
        except ExactnessError as error:  # no refusal: wrong tiles, or a false alarm
            same(job.run(check=False), want, case, what)
            raise Wrong(f"tiled is equal and withheld: {error}") from error
        try:
            done = same(got, want, case, what)
        except Wrong as wrong:
            if job.certificate is not None and job.certificate.exact and wrong.size > 1e-4:
                raise Wrong(f"{wrong}, and the certificate says Equal", wrong.size) from wrong
            raise
        if job.certificate is not None and job.certificate.exact is False and case.built.exact:
            raise Wrong(f"tiled is equal and the certificate says {job.certificate.verdict}")
    return done


def score(output: Any) -> Tensor:
    """One number an image, of every number that a network returns."""
    total: Any = 0.0
    for leaf in tensors(output):
        flat = leaf.double().flatten(1) if leaf.dim() > 1 else leaf.double()[:, None]
        total = total + (flat * torch.linspace(1, 2, flat.shape[1], dtype=torch.float64).cos()).sum(
            1
        )
    return total


def one_result_an_image(case: Case) -> bool:
    """Whether a score of one image can be read from the results: their first dimension is the image's."""
    try:
        leaves = tensors(plain(case.module, case.image[:1]))
    except Exception:  # it takes its own number of images only
        return False
    return bool(leaves) and all(leaf.dim() > 0 and leaf.shape[0] == 1 for leaf in leaves)


def occluded(case: Case) -> bool:
    if case.image.dim() == 3:
        read = as_picture(case, lambda: Incremental(case.module, case.image))
        return read is not None and occluded(read)
    if not one_result_an_image(case):
        return False
    if case.image.dim() != 4:
        return perturbed(case)
    rng, image = case.rng, case.image[0]
    h, w = image.shape[1:]
    patch = (rng.randint(1, h), rng.randint(1, w))
    stride = tuple(max((n - p) // 4, 1) for n, p in zip((h, w), patch, strict=True))
    baseline = rng.choice([0.0, 0.5])
    with kept(image) as given:
        got = occlusion(case.module, given, score, patch=patch, stride=stride, baseline=baseline)
    rows, columns = got.shape
    corners = [(r * stride[0], c * stride[1]) for r in range(rows) for c in range(columns)]
    boxes = [[(a, a + p) for a, p in zip(at, patch, strict=True)] for at in corners]
    clean, scores = hidden_scores(case, boxes, baseline)
    want = (clean - scores).reshape(got.shape)
    scale = max(want.abs().max().item(), abs(clean), 1.0)
    size = (got.double() - want).abs().max().item() / scale
    if not size <= case.tolerance:
        raise Wrong(f"occlusion (patch {patch}, stride {stride}) differs by {size:.1e}", size)
    return True


def perturbed(case: Case) -> bool:
    """The same of volumes, by boxes."""
    rng, image = case.rng, case.image[:1]
    boxes = []
    for _ in range(rng.randint(2, 12)):
        starts = [rng.randrange(n) for n in image.shape[2:]]
        boxes.append(
            [(a, rng.randint(a + 1, n)) for a, n in zip(starts, image.shape[2:], strict=True)]
        )
    baseline = rng.choice([0.0, 0.5])
    with kept(image) as given:
        got = Incremental(case.module, given).scores(boxes, baseline, score)
    clean, want = hidden_scores(case, boxes, baseline)
    scale = max(want.abs().max().item(), abs(clean), 1.0)
    size = (got.double() - want).abs().max().item() / scale
    if not size <= case.tolerance:
        raise Wrong(f"{len(boxes)} boxes differ by {size:.1e}", size)
    return True


def hidden_scores(case: Case, boxes: list[Any], baseline: float) -> tuple[float, Tensor]:
    """The score of the image, and with each box of it hidden, one plain pass after the other."""
    found = []
    for box in boxes:
        hidden = case.image[:1].clone()
        hidden[(..., *[slice(a, b) for a, b in box])] = baseline
        found.append(score(plain(case.module, hidden))[0])
    return float(score(plain(case.module, case.image[:1]))[0]), torch.stack(found)


def slid(case: Case) -> bool:
    """Dense against patch by patch."""
    leaves = tensors(case.want)
    if (
        len(leaves) != 1
        or not isinstance(case.want, Tensor)
        or leaves[0].dim() != 2
        or case.image.dim() != 4
        or not case.by_image
    ):
        return False
    rng = case.rng
    h, w = case.image.shape[2:]
    stride = (rng.randint(1, 3), rng.randint(1, 3))
    larger = (h + rng.randint(0, 4), w + rng.randint(0, 4))
    image = image_of(case.built.program, (1, case.image.shape[1], *larger), seed=2)
    with kept(image) as given:
        got = Dense(case.module, window=(h, w), stride=stride, channels=image.shape[1])(given)
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(larger, (h, w), stride, strict=True))
    want = torch.zeros(1, leaves[0].shape[1], rows, columns, dtype=torch.float64)
    for r in range(rows):
        for c in range(columns):
            part = image[..., r * stride[0] : r * stride[0] + h, c * stride[1] : c * stride[1] + w]
            want[0, :, r, c] = plain(case.module, part)[0]
    # a network without parameters computes in float32 here, an argmax comes as a number like all scores
    tolerance = case.tolerance if next(case.module.parameters(), None) is not None else COARSE
    if got.shape != want.shape or not close(got, want, tolerance):
        raise Wrong(f"dense (stride {stride}) differs by {apart(got, want):.1e}", apart(got, want))
    return True


def seen(case: Case) -> bool:
    """A position changes with nothing outside of its receptive field."""
    geometry, rng = case.geometry, case.rng
    done = False
    leaves = [i for i in geometry.outputs if i is not None]
    for number, (leaf, want) in enumerate(zip(leaves, tensors(case.want), strict=True)):
        value = geometry.values[leaf]
        if value.producer is None or not value.varies:
            continue
        name = geometry.records[value.producer].name
        place = tuple(rng.randrange(n) for n in value.extents if n is not None)
        field = receptive_field(geometry, name, place)
        steps = iter(place)
        box = tuple(None if n is None else ((p := next(steps)), p + 1) for n in value.extents)
        mask = torch.from_numpy(field.mask)
        other = torch.where(mask, case.image, image_of(case.built.program, seed=3))
        after = tensors(plain(case.module, other))[number]
        a, b = (cut(t, value.layout, value.full, box, len(case.image)) for t in (want, after))
        if not close(b, a, case.tolerance):
            size = apart(b, a)
            raise Wrong(
                f"{name} at {place} changes by {size:.1e} with pixels outside its field", size
            )
        done = True
    return done


def pushed(case: Case) -> bool:
    """A changed box of the image changes nothing outside of what push names."""
    geometry, rng = case.geometry, case.rng
    spans = tuple([((a := rng.randrange(n)), rng.randint(a + 1, n)) for n in case.image.shape[2:]])
    other = case.image.clone()
    other[(..., *[slice(a, b) for a, b in spans])] += 1
    boxes = geometry.push(spans)
    leaves = [i for i in geometry.outputs if i is not None]
    results = tensors(case.want), tensors(plain(case.module, other))
    for leaf, *pair in zip(leaves, *results, strict=True):
        a, b = (t.clone() for t in pair)
        value = geometry.values[leaf]
        box = boxes.get(leaf)
        if box is not None:
            if not value.spatial or any(
                len(dim) > 1 and any(atom < BATCH for atom in dim) for dim in value.layout
            ):
                continue
            for t in (a, b):
                cut(t, value.layout, value.full, box, len(case.image)).zero_()
        if not close(b, a, case.tolerance):
            raise Wrong(f"a change in {spans} reaches outside of {box}", apart(b, a))
    return True


def explained(case: Case) -> bool:
    """Maps: gradients and occlusion against their definitions, the others to run or refuse."""
    output = case.want
    if (
        not isinstance(output, Tensor)
        or output.dim() != 2
        or case.image.dim() != 4
        or len(case.image) > 1
        or output.shape[0] != 1
    ):
        return False
    if not output.is_floating_point():
        return False
    rng = random.Random(
        case.built.program.seed
    )  # its own: the check is asked alone when a network is made small
    image, target = case.image, rng.randrange(output.shape[1])
    name = rng.choice([n for n, method in METHODS.items() if not method.needs])
    with kept(image) as given:
        found = attribute(case.module, given, target, name).values
    if not bool(torch.isfinite(found).all()):
        raise Wrong(f"{name} gives values that are not finite")
    if name in ("gradient", "gradient-x-input"):
        x = image.clone().requires_grad_()
        total = case.module(x.clone())[0, target]
        (want,) = torch.autograd.grad(total, x)
        want = want if name == "gradient" else want * image
        return same(found, want[0], case, name)
    if name == "occlusion":
        return _same_map(case, found, target)
    return True


def _same_map(case: Case, found: Tensor, target: int) -> bool:
    """The fall of the score over the patches that hide a pixel, by the plain loop."""
    image = case.image
    sides = [max(min(2, n), round(n / 7)) for n in image.shape[2:]]
    clean = plain(case.module, image)[0, target]
    total, count = torch.zeros(2, *image.shape[2:], dtype=torch.float64)
    starts = [
        sorted({*range(0, n - p + 1, max(1, p // 2)), n - p})
        for n, p in zip(image.shape[2:], sides, strict=True)
    ]
    for top in starts[0]:
        for left in starts[1]:
            at = (slice(top, top + sides[0]), slice(left, left + sides[1]))
            hidden = image.clone()
            hidden[(..., *at)] = 0
            total[at] += clean - plain(case.module, hidden)[0, target]
            count[at] += 1
    want = total / count.clamp(min=1)
    size = (found - want).abs().max().item() / max(
        clean.abs().item(), want.abs().max().item(), 1e-2
    )
    if not size <= case.tolerance * 10:
        raise Wrong(f"the occlusion map differs by {size:.1e}", size)
    return True


CHECKS: dict[str, Callable[[Case], bool]] = {
    "replay": replayed,
    "replay of 3": replayed_for_another_batch,
    "fields": seen,
    "push": pushed,
    "tiled": tiles,
    "occlusion": occluded,
    "dense": slid,
    "explain": explained,
}


def state_of(module: nn.Module) -> list[Any]:
    """What must be the same afterwards: tensors bit by bit, modes, hooks, names of attributes, random state."""
    found: list[Any] = [torch.random.get_rng_state().tolist()[:64]]
    for path, part in module.named_modules():
        found += [
            path,
            part.training,
            len(part._forward_hooks),
            len(part._forward_pre_hooks),
            sorted(part.__dict__),
        ]
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found += [
            name,
            tensor.dtype,
            tensor.requires_grad,
            tensor.grad is None,
            tensor.detach().numpy().tobytes(),
        ]
    return found


def quiet() -> None:
    warnings.simplefilter("ignore")


__all__ = ["CHECKS", "Case", "Wrong", "quiet", "state_of"]
