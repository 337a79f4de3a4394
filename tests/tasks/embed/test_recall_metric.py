"""Recall at 1 as a metric: by a loop, of changed images among unchanged ones, and with whole identities resampled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from striate.robustness import Context
from striate.robustness.context import at_chance
from striate.statistics.clusters import tail_of
from striate.tasks.embed.metric import RecallAtOne
from striate.tasks.plain import headline_plain
from striate.tasks.table import find_task


class Pixels(nn.Module):
    """The pixels themselves as embedding."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


@pytest.fixture
def context() -> Context:
    """12 identities of 5 images each, some so blurred that they are mistaken."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(12, 1, 1, 6, 6, generator=generator)
    noise = 0.9 * torch.rand(12, 5, 1, 6, 6, generator=generator)
    images = ((0.45 * kinds + noise) / 2).reshape(60, 1, 6, 6)
    labels = torch.arange(12).repeat_interleave(5)
    return Context(Pixels().eval(), images, labels, [f"e{i}" for i in range(36)], task=find_task("embed"))  # fmt: skip


def by_loop(queries: np.ndarray, searched: np.ndarray, labels: np.ndarray) -> np.ndarray:
    hits = []
    for i, query in enumerate(queries):
        others = [j for j in range(len(labels)) if j != i]
        cosines = [
            query @ searched[j] / np.linalg.norm(query) / np.linalg.norm(searched[j])
            for j in others
        ]
        hits.append(labels[others[int(np.argmax(cosines))]] == labels[i])
    return np.array(hits)


def test_score_is_by_a_loop_and_changed_images_are_searched_among_unchanged(
    context: Context,
) -> None:
    x, y = context.images.flatten(1).numpy(), context.targets.numpy()
    hits = by_loop(x, x, y)
    assert 0.2 < hits.mean() < 1
    assert context.clean_score == pytest.approx(hits.mean())
    changed = context.images.flip(-1)
    evidence = context.evidence(changed)
    mixed = by_loop(changed.flatten(1).numpy(), x, y)
    assert context.score(evidence) == pytest.approx(mixed.mean())
    # All changed alike would find each other: that is not what is asked.
    assert mixed.mean() < hits.mean()


def test_weights_count_queries_and_search_all(context: Context) -> None:
    hits = by_loop(
        context.images.flatten(1).numpy(),
        context.images.flatten(1).numpy(),
        context.targets.numpy(),
    )
    w = np.random.default_rng(0).integers(0, 3, (4, 60)).astype(float)
    found = RecallAtOne().score(context.clean_evidence, w)["recall_at_1"]
    assert found == pytest.approx((w * hits).sum(1) / w.sum(1))


def test_identities_are_resampled_and_the_interval_is_wider_than_of_images(
    context: Context,
) -> None:
    draws = context.draws.reshape(-1, 12, 5)
    assert (draws == draws[..., :1]).all()
    assert (draws[..., 0].sum(1) == 12).all()
    low, high = context.interval([context.clean_evidence])
    per_identity = by_loop(*2 * [context.images.flatten(1).numpy()], context.targets.numpy())  # type: ignore[misc]
    means = per_identity.reshape(12, 5).mean(1)
    resampled = means[np.random.default_rng(1).integers(12, size=(20_000, 12))].mean(1)
    t = tail_of(12)
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, (t, 1 - t))), abs=0.04)
    value, below, above = context.difference(
        [context.clean_evidence], [context.evidence(context.images.flip(-1))]
    )
    assert below <= value <= above < 0


def test_what_always_is_has_no_certainty(context: Context) -> None:
    kinds = torch.eye(36).reshape(36, 1, 6, 6)[:12].repeat_interleave(5, 0)
    sure = replace(context, images=kinds + 0.0)
    assert sure.clean_score == 1
    low, high = sure.interval([sure.clean_evidence])
    assert high == 1
    assert low == pytest.approx(0.025 ** (1 / 12))


def test_headline_of_a_task_without_its_own_resamples_clusters(context: Context) -> None:
    finding = headline_plain(RecallAtOne(), context.images.flatten(1), context.targets, about="x")
    low, high = finding.data["interval"]
    assert (low, high) == pytest.approx(context.interval([context.clean_evidence]), abs=0.05)


def test_network_that_gives_the_same_for_all_finds_nobody() -> None:
    evidence = RecallAtOne().evidence(torch.ones(8, 4), torch.arange(8) // 2)
    assert RecallAtOne().score(evidence)["recall_at_1"] == 0
    assert "no better than by chance" in str(find_task("embed").guessing(evidence, []))
    zero = RecallAtOne().evidence(torch.zeros(8, 4), torch.arange(8) // 2)
    assert RecallAtOne().score(zero)["recall_at_1"] == 0


def test_embeddings_that_tell_identities_apart_are_no_guess(context: Context) -> None:
    assert context.task.guessing(context.clean_evidence, []) is None


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 0, 0, 0], "all images are of one identity"),
        ([0, 1, 2, 3], "no identity has two images"),
    ],
)
def test_images_that_can_show_nothing_are_not_blamed_on_the_network(
    labels: list[int], says: str
) -> None:
    images = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    them = Context(
        Pixels().eval(), images, torch.tensor(labels), [f"e{i}" for i in range(36)], task=find_task("embed")
    )  # fmt: skip
    found = at_chance(them)
    assert found is not None and found.verdict.startswith(f"Nothing was probed: {says}")
    assert "; add " in found.verdict and not found.advice
