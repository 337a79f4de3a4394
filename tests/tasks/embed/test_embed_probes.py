"""Probes of embeddings: changes are what they say, accepts are counted right, attacks stay within their bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.errors import DataError
from striate.robustness import Context, probes_of
from striate.robustness.probes import run_probe
from striate.statistics.clusters import difference_of_clusters
from striate.tasks.embed.probes.changes import blurred, changes, covered, lit, noisy
from striate.tasks.embed.probes.similarities import Gallery, embeddings_of
from striate.tasks.embed.probes.stranger import ascended, drawn, masks
from striate.tasks.table import find_task


class Directions(nn.Module):
    """A fixed linear map of the pixels, centred: similarities follow what is shown."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(24, 144, generator=torch.Generator().manual_seed(1))
        self.register_buffer("weight", weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(F.linear(images.flatten(1) - 0.5, self.weight) / 3)


@pytest.fixture(scope="module")
def context() -> Context:
    """16 identities of 4 images of 12 x 12 pixels."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(16, 1, 1, 12, 12, generator=generator)
    images = (0.8 * kinds + 0.2 * torch.rand(16, 4, 1, 12, 12, generator=generator)).reshape(64, 1, 12, 12)  # fmt: skip
    labels = torch.arange(16).repeat_interleave(4)
    return Context(Directions().eval(), images, labels, [f"e{i}" for i in range(24)], task=find_task("embed"))  # fmt: skip


@pytest.mark.parametrize("change", changes(12, 0), ids=lambda c: c.name)
def test_changes_keep_shape_and_range_and_change_something(change, context: Context) -> None:  # type: ignore[no-untyped-def]
    made = change.apply(context.images)
    assert made.shape == context.images.shape
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    assert not torch.equal(made, context.images)
    assert torch.equal(made, change.apply(context.images))  # the same each time


def test_each_change_is_what_it_says() -> None:
    from scipy.ndimage import gaussian_filter

    images = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(2))
    peer = gaussian_filter(images.numpy(), (0, 0, 1.0, 1.0), mode="nearest", truncate=3.0)
    assert blurred(1.0)(images).numpy() == pytest.approx(peer, abs=1e-5)
    assert torch.allclose(lit(0.5)(images), images / 2)
    hidden = covered(0.25, 0)(images) != images
    assert (hidden.sum((1, 2, 3)) == 2 * 8 * 8).all()
    assert float((noisy(0.1, 0)(images.mul(0) + 0.5) - 0.5).std()) == pytest.approx(0.1, rel=0.1)


def test_accepts_of_changed_images_are_by_a_loop(context: Context) -> None:
    gallery = Gallery.of(context)
    changed = embeddings_of(context, lit(0.6)(context.images))
    seen = gallery.seen(changed)
    e, y = gallery.embeddings, gallery.labels
    accepted, false, hits = [], [], []
    for i in range(len(y)):
        others = [j for j in range(len(y)) if j != i]
        s = {j: float(changed[i] @ e[j]) for j in others}
        accepted += [s[j] >= gallery.threshold for j in others if y[j] == y[i]]
        false += [s[j] >= gallery.threshold for j in others if y[j] != y[i]]
        hits.append(y[max(s, key=lambda j: s[j])] == y[i])
    assert seen.tar.value == pytest.approx(np.mean(accepted))
    assert (seen.tar.hits, seen.tar.of) == (sum(accepted), len(accepted))
    assert seen.far.value == pytest.approx(np.mean(false))
    assert seen.far.of == len(false)
    assert seen.recall.value == pytest.approx(np.mean(hits))
    clean = gallery.seen(e)
    assert clean.far.value <= gallery.rate
    value, low, high = seen.lost(clean)
    assert value == pytest.approx(seen.tar.value - clean.tar.value)
    assert low <= value <= high


def test_difference_of_clusters_is_students_interval_of_equal_clusters() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 11, 30).astype(float), rng.integers(0, 8, 30).astype(float)
    value, low, high = difference_of_clusters(before, after, np.full(30, 10.0))
    peer = stats.ttest_rel(after / 10, before / 10).confidence_interval()
    assert value == pytest.approx((after - before).mean() / 10)
    assert (low, high) == pytest.approx((peer.low, peer.high))
    assert difference_of_clusters(before[:1], after[:1], np.array([10.0]))[1:] == (-1.0, 1.0)


def test_attack_stays_within_its_levels_and_brings_the_stranger_nearer(context: Context) -> None:
    gallery = Gallery.of(context)
    mine, theirs = drawn(gallery, 0)
    assert (gallery.labels[mine] != gallery.labels[theirs]).all()
    images, wanted = context.images[mine], torch.from_numpy(gallery.embeddings[theirs])
    before = (gallery.embeddings[mine] * gallery.embeddings[theirs]).sum(1)
    assert (before < gallery.threshold).all()
    last = before
    for level in (1, 4, 16):
        made = ascended(context.model, images, wanted, bound=level / 255)
        assert float((made - images).abs().max()) <= level / 255 + 1e-6
        assert float(made.min()) >= 0 and float(made.max()) <= 1
        after = (embeddings_of(context, made) * gallery.embeddings[theirs]).sum(1)
        assert (after >= last - 1e-3).all()
        last = after
    assert (last > before + 0.1).all()
    # Better than noise of the same size, and than a single step.
    noise = images + 16 / 255 * torch.randn(images.shape, generator=context.generator(9)).sign()
    random = (embeddings_of(context, noise.clamp(0, 1)) * gallery.embeddings[theirs]).sum(1)
    assert last.mean() > random.mean() + 0.2


def test_sticker_changes_its_square_alone(context: Context) -> None:
    gallery = Gallery.of(context)
    mine, theirs = drawn(gallery, 0)
    images, wanted = context.images[mine], torch.from_numpy(gallery.embeddings[theirs])
    mask = masks(context.model, images, wanted, 0.3)
    assert (mask.sum((1, 2, 3)) == 16).all()
    rows, columns = mask.any(3)[:, 0].sum(1), mask.any(2)[:, 0].sum(1)
    assert (rows == 4).all() and (columns == 4).all()
    made = ascended(context.model, images, wanted, mask=mask)
    assert torch.equal(made[~mask.expand_as(made)], images[~mask.expand_as(made)])
    assert float(made.min()) >= 0 and float(made.max()) <= 1
    grey = torch.where(mask, torch.full_like(images, 0.5), images)
    s = [(embeddings_of(context, x) * gallery.embeddings[theirs]).sum(1) for x in (grey, made)]
    assert (s[1] >= s[0] - 1e-6).all() and s[1].mean() > s[0].mean() + 0.05


def test_gradients_and_modes_of_the_network_are_as_they_were(context: Context) -> None:
    before = context.model.weight.clone()
    run_probe(context, "stranger")
    assert torch.equal(context.model.weight, before)
    assert context.model.weight.grad is None and not context.model.training


def test_findings_of_both(context: Context) -> None:
    found = run_probe(context, "similarity")
    assert found.name == "probe-similarity"
    rows = found.tables[0].rows
    assert rows[0][0] == "as they are" and len(rows) == len(changes(12, 0)) + 1
    assert found.data["false_accepts"][0] <= found.data["rate"]
    found = run_probe(context, "stranger")
    let_in = dict(zip(found.data["attempts"], found.data["let_in"], strict=True))
    assert let_in["as they are"] == 0
    assert let_in["within 8 grey levels"] >= let_in["within 1 grey level"]
    spans = zip(found.data["let_in"], found.data["interval"], strict=True)
    assert all(low <= v <= high for v, (low, high) in spans)
    assert {str(r[0]) for r in found.tables[1].rows} >= {"black", "white", "noise"}


def test_every_probe_of_an_embedding_runs_on_identities(context: Context) -> None:
    names = set(probes_of(context.task))
    assert {"similarity", "stranger", "shift", "rotation", "scale", "flip", "corruption"} <= names
    assert not {"attack", "calibration", "shortcuts", "deformation"} & names  # of classes
    finding = run_probe(context, "shift")
    assert "recall at 1" in finding.tables[0].columns


def test_identities_with_one_image_each_have_nothing_to_recognise(context: Context) -> None:
    alone = Context(context.model, context.images[::4], torch.arange(16), context.classes, task=context.task)  # fmt: skip
    with pytest.raises(DataError, match="second image"):
        run_probe(alone, "similarity")
