"""Embeddings of any network: unit length, the same in any batch, and never a number that is none."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from identities import face, network
from torch import nn

import striate
from striate.errors import DataError, UsageError
from striate.runs.opening import open_trained
from striate.tasks.embedding import BLANK, NOT_FINITE, ZERO, Embedder
from striate.tasks.segment.task import Segment

PIXELS = (16, (0.4,) * 3, (0.25,) * 3)


def images(count: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.stack([face(i, 0).transpose(2, 0, 1) for i in range(count)]))


def test_a_classifier_s_embedding_is_the_input_of_its_last_linear_layer(
    trained: striate.Trained,
) -> None:
    x = images()
    vectors, faults = Embedder(trained)(x)
    plain = trained.model[:-1](trained.normalise(x)).detach().numpy()  # type: ignore[index]
    plain /= np.sqrt((plain**2).sum(1, keepdims=True))
    np.testing.assert_allclose(vectors, plain, atol=1e-6)
    assert not faults and vectors.dtype == np.float32 and vectors.shape == (5, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_packaged_network_and_a_head_of_convolutions_embed() -> None:
    packaged = open_trained("efficientnet-lite0")
    x = torch.randint(0, 255, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.manual_seed(0))
    vectors, _ = Embedder(packaged)(x)
    plain = packaged.model.forward_features(packaged.normalise(x)).mean((2, 3)).detach()
    plain = torch.nn.functional.normalize(plain).numpy()
    np.testing.assert_allclose(vectors, plain, atol=1e-5)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    own = striate.wrap(module, classes=("a", "b"), preprocessing=PIXELS)
    vectors, _ = Embedder(own)(images())
    maps = module[:2](own.normalise(images())).mean((2, 3)).detach()
    np.testing.assert_allclose(vectors, nn.functional.normalize(maps).numpy(), atol=1e-6)


class Functional(nn.Module):
    """A head whose weights a function reads, of which no module knows."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 16)
        self.head = nn.Parameter(torch.randn(2, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.body(x).flatten(1).tanh(), self.head)


def test_a_head_that_a_function_reads_is_found_too() -> None:
    module = Functional()
    own = striate.wrap(module, classes=("a", "b"), preprocessing=PIXELS)
    vectors, _ = Embedder(own)(images())
    plain = module.body(own.normalise(images())).flatten(1).tanh().detach()
    np.testing.assert_allclose(vectors, nn.functional.normalize(plain).numpy(), atol=1e-6)


def test_a_task_that_offers_embeddings_gives_its_own_output(trained: striate.Trained) -> None:
    class Own(type(trained.task)):  # type: ignore[misc]
        name = "own-embedding"
        offers = MappingProxyType({"embeddings": "images"})

    own = replace(trained, task=Own())
    vectors, _ = Embedder(own)(images())
    plain = nn.functional.normalize(trained.model(trained.normalise(images()))).detach().numpy()
    np.testing.assert_allclose(vectors, plain, atol=1e-6)
    assert vectors.shape[1] == 2


def test_blank_images_zeros_and_numbers_that_are_none_are_named(trained: striate.Trained) -> None:
    x = images()
    x[1] = 77
    vectors, faults = Embedder(trained)(x)
    assert faults == {1: BLANK} and not vectors[1].any()
    with torch.no_grad():
        trained.model[3].weight.zero_(), trained.model[3].bias.zero_()  # type: ignore[index]
    assert set(Embedder(trained)(images())[1].values()) == {ZERO}
    with torch.no_grad():
        trained.model[3].bias[0] = float("nan")  # type: ignore[index]
    with pytest.raises(UsageError, match="not finite"):
        Embedder(trained)  # weights that are no numbers at all


def test_an_output_that_overflows_is_named_and_not_stored(trained: striate.Trained) -> None:
    with torch.no_grad():
        trained.model[3].bias.fill_(3e38)  # type: ignore[index]
        trained.model[3].weight.fill_(3e38)  # type: ignore[index]
    module = nn.Sequential(*list(trained.model)[:4], nn.Identity(), trained.model[5])  # type: ignore[arg-type,index]
    own = replace(trained, model=module)
    vectors, faults = Embedder(own)(images())
    assert set(faults.values()) == {NOT_FINITE} and np.isfinite(vectors).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_tiny_and_huge_embeddings_have_length_one(scale: float) -> None:
    own = network()
    with torch.no_grad():
        own.model[3].weight.mul_(scale), own.model[3].bias.mul_(scale)  # type: ignore[index]
    own.model[4] = nn.Identity()  # type: ignore[index]
    vectors, faults = Embedder(own)(images())
    assert not faults
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_network_comes_back_as_it_was_and_batches_do_not_matter(
    trained: striate.Trained,
) -> None:
    trained.model.train()
    embedder = Embedder(trained)
    whole, _ = embedder(images(70))
    one = np.concatenate([embedder(x[None])[0] for x in images(70)])
    np.testing.assert_allclose(whole, one, atol=1e-6)
    assert trained.model.training and not trained.model[0]._forward_pre_hooks  # type: ignore[index]


def test_mirrored_embeddings_do_not_tell_an_image_from_its_mirror_image(
    trained: striate.Trained,
) -> None:
    plain, mirrored = Embedder(trained), Embedder(trained, mirrored=True)
    x = images()
    np.testing.assert_allclose(mirrored(x)[0], mirrored(x.flip(-1))[0], atol=1e-6)
    assert np.abs(plain(x)[0] - plain(x.flip(-1))[0]).max() > 0.01
    assert plain.model_digest != mirrored.model_digest


def test_digests_are_of_weights_and_of_preprocessing() -> None:
    first, again, other = (Embedder(network(s)) for s in (0, 0, 1))
    assert first.model_digest == again.model_digest != other.model_digest
    moved = replace(first.trained, preprocessing=replace(first.trained.preprocessing, fit="pad"))
    assert Embedder(moved).preprocessing_digest != first.preprocessing_digest
    assert Embedder(moved).model_digest == first.model_digest


def test_what_gives_no_vector_an_image_is_refused(trained: striate.Trained) -> None:
    with pytest.raises(UsageError, match="not one vector an image"):
        Embedder(replace(trained, task=Segment()))
    with pytest.raises(DataError, match=r"uint8 images \(N, 3, 16, 16\)"):
        Embedder(trained)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_streams_leave_no_mode_behind_in_whatever_order_they_end(trained: striate.Trained) -> None:
    trained.model.train()
    embedder = Embedder(trained)
    pixels = images(1)[0].numpy()
    one, other = (
        embedder.stream([str(i) for i in range(70)], lambda name: pixels) for _ in range(2)
    )
    next(one)
    next(other)
    assert not torch.is_inference_mode_enabled() and trained.model.training
    one.close()
    assert len(list(other)) == 69
    assert not torch.is_inference_mode_enabled() and trained.model.training
