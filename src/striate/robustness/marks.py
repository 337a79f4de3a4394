"""Marks: places of an image whose content predicts a class too well, found in the images themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

BINS = 12  # of a value, 0.5 standard deviations each
SCALES = (1, 2, 4, 8)  # sides of the patches, in pixels of the searched image
SEARCHED = 48  # pixels of the longer side of the searched image
MATCHED = 24  # classes up to which each has its own matched filter
FIND = 0.35  # least separation of a mark: share of the class that has it, less that of the others
SURE = 0.9  # from here on chance is out of the question; below, it is asked with shuffled labels
STANDS_OUT = 0.2  # by which a mark separates better than the rest of the image
LARGEST = 0.2  # share of the image that a mark covers at most; more is an object or a background
OBJECT = 0.05  # share of the image from which on something in the middle may be the object
HIDES = 0.06  # variation up to which a mark hides what is below it
BANDS = {0: (1, 2, 3, 4), 5: (1, 2), 6: (3, 4)}  # frames of several edges, of `frame_masks`
DEPTH = 5  # a frame is at most this part of the shorter side wide


@dataclass(frozen=True, eq=False)
class Mark:
    """A place that predicts a class. mask: (H, W) bool, the pixels. separation: share of the class's images that have it,
    less the share of others, on images that did not decide it. elsewhere: the same of the best places away from it.
    bearers, others: images (N, C, H, W) of the class, and of the other classes.
    """

    label: int
    mask: Tensor
    separation: float
    elsewhere: float
    bearers: Tensor
    others: Tensor

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """First row, first column, height, width in pixels."""
        rows, columns = (torch.nonzero(self.mask.any(d)).flatten() for d in (1, 0))
        return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1  # fmt: skip

    @cached_property
    def varies(self) -> float:
        """Standard deviation of its pixels from bearer to bearer, in [0, 1]: 0 for a mark that hides what is below."""
        return float(self.bearers[:, :, self.mask].std(0).mean())

    @cached_property
    def odd(self) -> float:
        """How much what stands there differs from what is around it, in the class's images: colour and contrast."""
        from scipy import ndimage  # takes a moment

        near = (
            torch.from_numpy(ndimage.binary_dilation(self.mask.numpy(), iterations=3)) & ~self.mask
        )
        contrast = (self.bearers - blurred(self.bearers, 3)).abs()
        parts = [
            x[:, :, self.mask].mean(2) - x[:, :, near].mean(2) for x in (self.bearers, contrast)
        ]
        return float(sum(part.abs().mean() for part in parts))

    @property
    def an_object(self) -> bool:
        """Whether it may be what the class is: large, in the middle, and not the same in every image."""
        top, left, height, width = self.box
        h, w = self.mask.shape
        middle = all(0.25 <= at <= 0.75 for at in ((top + height / 2) / h, (left + width / 2) / w))
        whole = height >= 0.8 * h or width >= 0.8 * w  # a frame or a line across the image
        return middle and not whole and height * width > OBJECT * h * w and self.varies >= HIDES


def find_marks(images: Tensor, labels: Tensor, classes: int, *, seed: int = 0) -> list[Mark]:
    """Marks in images (N, C, H, W) float in [0, 1] with labels (N,), at most one a class, the clearest first.

    At every place of a pyramid of patches it is measured how well its colours, its contrast and its likeness to the mean
    of the class separate that class from the others: a rule over histograms learnt on one half of the images and counted
    on the other (its hits less its false alarms, as shares). A mark is a small place that does so, and far better
    than places away from it: a colour of the whole image, or an object in the middle, does not.
    """
    present = [c for c in range(classes) if int((labels == c).sum()) >= 8]
    if len(present) < 2:
        return []
    factor = max(1, -(-max(images.shape[-2:]) // SEARCHED))
    small = avg_pool2d(images, factor) if factor > 1 else images
    half = halves(labels, seed)
    maps = _pyramid(
        small, labels, half, present
    )  # (classes present, H, W): the best over features and scales
    fine = _finest(small, labels, half, present)
    frames = frame_scores(images, labels, half, present)
    marks = []
    for i, c in enumerate(present):
        region = _region(maps[i], fine[i])
        framed = _frame(frames[:, :, i], maps[i], (images.shape[2], images.shape[3]))
        if framed is not None and (region is None or framed[1] > region[1] + 0.05):
            mask, score, elsewhere = framed
        elif region is not None:
            mask, score, elsewhere = region
            if factor > 1:
                mask = _refined(images, labels, half, c, mask, factor)
        else:
            continue
        own, rest = images[labels == c], images[labels != c]
        mark = Mark(c, mask, score, elsewhere, bearing(own, rest, mask, score), rest)
        if not mark.an_object:
            marks.append(mark)
    if any(mark.separation < SURE for mark in marks):
        mixed = labels[
            torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed + 1))
        ]
        chance = float(_pyramid(small, mixed, halves(mixed, seed), present).max())
        marks = [mark for mark in marks if mark.separation >= min(SURE, chance + 0.05)]
    return _each_once(sorted(marks, key=lambda m: -m.separation))


def bearing(own: Tensor, rest: Tensor, mask: Tensor, share: float) -> Tensor:
    """Those of a class's images (N, C, H, W) that bear a mark, where a part of them has it: the likest to its mean."""
    if share >= SURE:
        return own
    usual = rest[:, :, mask].mean(0)
    likeness = ((own[:, :, mask] - usual) * (own[:, :, mask].mean(0) - usual)).sum((1, 2))
    return own[likeness.argsort(descending=True)[: max(1, round(share * len(own)))]]


def _each_once(marks: list[Mark]) -> list[Mark]:
    """One mark a place: that of the class that bears it, not of a class that alone lacks it."""
    kept: list[Mark] = []
    for mark in marks:
        same = next((i for i, k in enumerate(kept) if bool((k.mask & mark.mask).any())), None)
        if same is None:
            kept.append(mark)
        elif mark.separation > kept[same].separation - 0.1 and mark.odd > kept[same].odd:
            kept[same] = mark
    return kept


def halves(labels: Tensor, seed: int) -> Tensor:
    """(N,) 0 or 1: half of each class, drawn by the seed."""
    draw = torch.rand(len(labels), generator=torch.Generator().manual_seed(seed))
    half = torch.zeros(len(labels), dtype=torch.long)
    for c in labels.unique():
        at = torch.nonzero(labels == c).flatten()
        half[at[draw[at].argsort()[::2]]] = 1
    return half


def separation(values: Tensor, labels: Tensor, half: Tensor, classes: list[int]) -> Tensor:
    """How well each column of values (N, P) separates each class from the others: (K, P) in [-1, 1], 0 by chance.

    The best rule "these of the value's bins are the class" is chosen on one half of the images, and its share among the
    class less its share among the others counted on the other half: unbiased, so that noise gives 0.
    """
    # No bin is finer than a grey level: below it, quantisation alone would separate classes.
    mean, std = values.mean(0), values.std(0).clamp(min=1 / 255)
    place = ((values - mean) / std * 2 + BINS / 2).clamp(0, BINS - 1).to(torch.int8)
    of = torch.stack([(labels == c) & (half == h) for h in (0, 1) for c in classes]).float()
    every = torch.stack([half == h for h in (0, 1)]).float()
    k = len(classes)
    counts = torch.empty(BINS, 2, k, values.shape[1])
    totals = torch.empty(BINS, 2, 1, values.shape[1])
    for b in range(BINS):
        inside = (place == b).float()
        counts[b] = (of @ inside).view(2, k, -1)
        totals[b] = (every @ inside).view(2, 1, -1)
    own = of.sum(1).view(2, k, 1)
    rest = every.sum(1).view(2, 1, 1) - own
    difference = counts / own - (totals - counts) / rest  # (bins, half, K, P)
    score = torch.zeros(k, values.shape[1])
    for h in (0, 1):
        score += torch.where(difference[:, h] > 0, difference[:, 1 - h], 0.0).sum(0) / 2
    return score


def _features(x: Tensor) -> Tensor:
    """Images (N, C, H, W) with a map more: the contrast to the neighbours."""
    grey = x.mean(1, keepdim=True)
    return torch.cat([x, (grey - blurred(grey, 3)).abs() * 2], 1)


def blurred(x: Tensor, side: int) -> Tensor:
    """Means over squares of `side` pixels around each pixel, the edge's own inside the image alone."""
    if side == 1:
        return x
    before, after = (side - 1) // 2, side // 2
    padded = torch.nn.functional.pad(x, (before, after, before, after), mode="replicate")
    return avg_pool2d(padded, side, stride=1)


def _pyramid(x: Tensor, labels: Tensor, half: Tensor, classes: list[int]) -> Tensor:
    """(K, H, W): the separation by the best feature of the patches around each pixel."""
    _n, _c, h, w = x.shape
    features = _features(x)
    best = torch.full((len(classes), h, w), -1.0)
    for side in (s for s in SCALES if s <= min(h, w) // 2):
        for f in range(features.shape[1]):
            values = blurred(features[:, f : f + 1], side)[:, 0].flatten(1)
            score = separation(values, labels, half, classes).view(-1, h, w)
            best = torch.maximum(best, score)
        for i, c in enumerate(classes if len(classes) <= MATCHED else []):
            likeness = _matched(x, labels, half, c)
            values = blurred(likeness[:, None], side)[:, 0].flatten(1)
            score = separation(values, labels, half, [c]).view(h, w)
            best[i] = torch.maximum(best[i], score)
    return best


def _matched(x: Tensor, labels: Tensor, half: Tensor, c: int) -> Tensor:
    """(N, H, W): each pixel times what the class's mean has more than the others', learnt on the other half."""
    likeness = torch.empty(len(x), *x.shape[-2:])
    for h in (0, 1):
        own, rest = (half != h) & (labels == c), (half != h) & (labels != c)
        template = x[own].mean(0) - x[rest].mean(0)
        likeness[half == h] = ((x[half == h] - x[half != h].mean(0)) * template).sum(1)
    # The two halves have templates of their own: bring them to one scale.
    for h in (0, 1):
        part = likeness[half == h]
        likeness[half == h] = (part - part.mean(0)) / part.std(0).clamp(min=1e-6)
    return likeness


def _finest(x: Tensor, labels: Tensor, half: Tensor, classes: list[int]) -> Tensor:
    """(K, H, W): how clearly each single pixel differs, for the outline of a mark."""
    features = _features(x)
    h, w = x.shape[-2:]
    parts = [separation(features[:, f].flatten(1), labels, half, classes) for f in range(features.shape[1] - 1)]  # fmt: skip
    if len(classes) <= MATCHED:
        rows = [separation(_matched(x, labels, half, c).flatten(1), labels, half, [c])[0] for c in classes]  # fmt: skip
        parts.append(torch.stack(rows))
    return torch.stack(parts).amax(0).view(-1, h, w)


def _region(map_: Tensor, fine: Tensor) -> tuple[Tensor, float, float] | None:
    """The mark in one class's maps (H, W): its mask, its separation and that of other places; None where there is none."""
    from scipy import ndimage  # takes a moment

    peak = float(map_.max())
    if peak < FIND:
        return None
    area = map_.numel()
    near = map_ >= peak - STANDS_OUT / 2
    if float(near.float().mean()) > 2 * LARGEST:
        return None
    around = torch.from_numpy(ndimage.binary_dilation(near.numpy(), iterations=2))
    # Pixels of the mark: within what the patches point at, half way from the ground to the clearest pixel.
    inside = fine[around]
    ground = float(fine.median())
    limit = max(ground + 0.5 * (float(inside.max()) - ground), 0.1)
    mask = around & (fine >= limit)
    if not bool(mask.any()):
        mask = near
    kept = torch.from_numpy(ndimage.binary_closing(mask.numpy())) | mask
    if float(kept.float().mean()) > LARGEST:
        return None
    away = torch.from_numpy(~ndimage.binary_dilation(kept.numpy(), iterations=max(SCALES) // 2 + 1))
    if int(away.sum()) < area // 8:
        return None
    elsewhere = float(map_[away].quantile(0.95))
    if peak - elsewhere < STANDS_OUT:
        return None
    return kept, peak, elsewhere


def frame_masks(size: tuple[int, int]) -> Tensor:
    """(7, D, H, W) bool: rings and rows of one pixel, `d` from the edge: around, top, bottom, left, right, top and bottom,
    left and right.
    """
    h, w = size
    row = torch.arange(h)[:, None].expand(h, w)
    column = torch.arange(w)[None, :].expand(h, w)
    distances = torch.stack([row, h - 1 - row, column, w - 1 - column])
    pairs = torch.stack([distances[:2].amin(0), distances[2:].amin(0)])
    sides = torch.cat([distances.amin(0, keepdim=True), distances, pairs])
    return torch.stack([sides == d for d in range(max(2, min(h, w) // DEPTH))], 1)


def frame_scores(images: Tensor, labels: Tensor, half: Tensor, classes: list[int]) -> Tensor:
    """(7, D, K): the separation by the colour of each frame together with that of the image inside.

    A see-through frame mixes one colour with the image's own, so that neither separates alone: the best linear mixture of
    both (Fisher's discriminant), learnt on the other half.
    """
    masks = frame_masks((images.shape[2], images.shape[3]))
    band = masks.shape[1]
    corners = torch.ones(images.shape[2:], dtype=torch.bool)
    corners[band:-band], corners[:, band:-band] = False, False
    masks[
        1:
    ] &= ~corners  # a bar at the top ends the columns at the left, which are no bar themselves
    inner = images[:, :, band:-band, band:-band].mean((2, 3))
    scores = torch.empty(*masks.shape[:2], len(classes))
    for side, rows in enumerate(masks):
        for d, mask in enumerate(rows):
            values = torch.cat([images[:, :, mask].mean(2), inner], 1)
            for i, c in enumerate(classes):
                mixed = _discriminant(values, labels == c, half)
                scores[side, d, i] = separation(mixed[:, None], labels, half, [c])[0, 0]
    return scores


def _discriminant(values: Tensor, own: Tensor, half: Tensor) -> Tensor:
    """(N,) of values (N, F): Fisher's discriminant between `own` and the rest, each half by what the other taught."""
    out = torch.empty(len(values))
    for h in (0, 1):
        a, b = values[(half != h) & own], values[(half != h) & ~own]
        spread = torch.cat([a - a.mean(0), b - b.mean(0)])
        covariance = spread.T @ spread / len(spread) + 1e-4 * torch.eye(values.shape[1])
        part = values[half == h] @ torch.linalg.solve(covariance, a.mean(0) - b.mean(0))
        out[half == h] = (part - part.mean()) / part.std().clamp(min=1e-6)
    return out


def _frame(scores: Tensor, map_: Tensor, size: tuple[int, int]) -> tuple[Tensor, float, float] | None:  # fmt: skip
    """A mark around the whole image or along one edge, from scores (7, D); None where there is none."""
    best = scores.amax(1)
    # All four edges alike are one frame, though chance may rank a single one first.
    alike = best >= 0.8 * float(best.max())
    whole = next((s for s, parts in BANDS.items() if all(alike[p] for p in parts)), None)
    side = int(best.argmax()) if whole is None else whole
    peak = float(scores[side].max())
    h, w = map_.shape
    # Patches within see nothing of a frame; of small images a middle is left.
    reach = max(s for s in SCALES if s <= max(1, min(h, w) // 2)) // 2
    band = max(1, min(min(h, w) // DEPTH + reach, min(h, w) // 2 - 1))
    inner = map_[band : h - band, band : w - band]
    elsewhere = max(float(inner.quantile(0.95)), float(scores[side, -1]))
    if peak < FIND or peak - elsewhere < STANDS_OUT:
        return None
    depth = 0
    while depth < scores.shape[1] and float(scores[side, depth]) >= 0.6 * peak:
        depth += 1
    if (
        not depth or depth == scores.shape[1]
    ):  # it does not begin at the edge, or does not end: a background
        return None
    return frame_masks(size)[side, :depth].any(0), peak, elsewhere


def _refined(images: Tensor, labels: Tensor, half: Tensor, c: int, mask: Tensor, factor: int) -> Tensor:  # fmt: skip
    """The mask (h, w) of the searched image at the images' own size (H, W)."""
    from scipy import ndimage  # takes a moment

    size = images.shape[-2:]
    grown = torch.from_numpy(ndimage.binary_dilation(mask.numpy()))
    full = interpolate(grown[None, None].float(), scale_factor=factor)[0, 0] > 0
    wide = torch.zeros(size, dtype=torch.bool)
    rows, columns = min(size[0], full.shape[0]), min(size[1], full.shape[1])
    wide[:rows, :columns] = full[:rows, :columns]
    pixels = images[:, :, wide]  # (N, C, P)
    fine = torch.stack([separation(pixels[:, f], labels, half, [c])[0] for f in range(pixels.shape[1])]).amax(0)  # fmt: skip
    limit = 0.5 * float(fine.max())
    out = torch.zeros(size, dtype=torch.bool)
    out[wide] = fine >= max(limit, 0.1)
    return torch.from_numpy(ndimage.binary_closing(out.numpy())) | out
