from __future__ import annotations

import pytest
import torch

from striate.statistics.temperature import fit_temperature


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 3
    labels = torch.multinomial(torch.softmax(logits / true, 1), 1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_a_few_images_that_are_all_right_do_not_ask_for_certainty() -> None:
    logits = torch.eye(4).repeat(10, 1) * 3
    temperature = fit_temperature(logits, torch.arange(4).repeat(10))
    confidence = float(torch.softmax(logits / temperature, 1).max())
    assert confidence == pytest.approx(1 - 1 / 42, abs=1e-3)


def test_the_loss_has_no_lower_neighbour() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 3, generator=generator) * 4
    labels = torch.multinomial(torch.softmax(logits / 2, 1), 1, generator=generator)[:, 0]
    best = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / temperature, labels))

    assert loss(best) < min(loss(best / 1.5), loss(best * 1.5))
