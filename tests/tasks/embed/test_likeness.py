"""Which pixels make two images similar: gradients as autograd has them, occlusion as by running every patch, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import striate
from striate.data import Preprocessing
from striate.errors import UsageError
from striate.runs.explaining import explain_files
from striate.tasks.table import find_task
from striate.tasks.trained import Trained


def trained_of(task: str = "embed") -> Trained:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.Tanh(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 6),
    ).eval()  # fmt: skip
    how = Preprocessing(channels=1, height=20, width=20, mean=(0.4,), std=(0.3,))
    return Trained(
        name="tiny", model=network, preprocessing=how, classes=tuple(f"e{i}" for i in range(6)), task=find_task(task)
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 255, (20, 20)).astype(np.uint8)).save(tmp_path / f"{name}.png")  # fmt: skip
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


def cosine(trained: Trained, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(trained.pixels(x), trained.pixels(other).detach())


def test_both_directions_are_the_cosine_by_autograd_and_by_every_patch(
    files: tuple[str, str],
) -> None:
    trained = trained_of()
    methods = ["gradient", "occlusion"]
    found = list(explain_files(trained, files[0], against=files[1], methods=methods, trust=False))
    assert [one.path for one in found] == list(files)
    images = [torch.from_numpy(trained.read(f)).float()[None] / 255 for f in files]
    for one, x, other in zip(found, images, images[::-1], strict=True):
        made = one.explanation
        assert made is not None
        assert made.target.startswith("similarity to ")
        assert f"({float(cosine(trained, x, other).detach()):.3f})" in made.target
        asked = x.clone().requires_grad_()
        cosine(trained, asked, other).sum().backward()
        assert asked.grad is not None
        assert torch.allclose(made.maps["gradient"].values, asked.grad[0], atol=1e-6)
        # Occlusion: a patch of 3 pixels, 1 pixel apart, filled with the mean; all run in full, one at a time.
        total, count = torch.zeros(20, 20), torch.zeros(20, 20)
        with torch.no_grad():
            clean = cosine(trained, x, other)
            for r in range(18):
                for c in range(18):
                    hidden = x.clone()
                    hidden[..., r : r + 3, c : c + 3] = 0.4
                    total[r : r + 3, c : c + 3] += clean - cosine(trained, hidden, other)
                    count[r : r + 3, c : c + 3] += 1
        assert torch.allclose(made.maps["occlusion"].values, total / count, atol=1e-5)


def test_trust_scores_are_given_of_similarities(files: tuple[str, str]) -> None:
    first, second = explain_files(trained_of(), files[0], against=files[1], methods=["occlusion"])
    for one in (first, second):
        assert one.explanation is not None
        assert set(one.explanation.curves) == {"occlusion", "random", "edges"}
        assert one.explanation.shuffled_similarity["occlusion"]


def test_lone_image_is_explained_by_its_own_embedding(files: tuple[str, str]) -> None:
    trained = trained_of()
    [one] = striate.explain(trained, files[0], methods=["integrated-gradients"], trust=False)
    made = one.explanation
    assert made is not None
    assert made.target == "its own embedding"
    x = torch.from_numpy(trained.read(files[0])).float()[None] / 255
    with torch.no_grad():
        grey = cosine(trained, torch.full_like(x, 0.4), x)
    # Completeness: the map sums to what is lost from the image to an empty one.
    assert float(made.maps["integrated-gradients"].values.sum()) == pytest.approx(1 - float(grey), abs=0.03)  # fmt: skip
    [one] = striate.explain(trained, files[0], "e2", methods=["gradient"], trust=False)
    assert one.explanation is not None
    assert one.explanation.target == "e2"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "e1"}, "leave out --target"),
        ({"at": (slice(0, 1), slice(0, 1))}, "leave out"),
        ({"object": 1}, "for networks that find objects"),
    ],
)
def test_against_and_what_it_does_not_go_with(
    files: tuple[str, str], options: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        list(explain_files(trained_of(), files[0], against=files[1], **options))  # type: ignore[arg-type]


def test_against_is_one_image_and_of_networks_that_compare(files: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="one image, got 2"):
        list(explain_files(trained_of(), files[0], against=list(files)))
    with pytest.raises(UsageError, match="leave out --against"):
        list(explain_files(trained_of("classify"), files[0], against=files[1]))


def test_image_against_itself_is_wholly_similar(files: tuple[str, str]) -> None:
    """Its gradient is zero, since nothing is more similar; no error, and no map that claims something."""
    first, _ = explain_files(
        trained_of(), files[0], against=files[0], methods=["gradient", "occlusion"]
    )
    assert first.explanation is not None
    assert "(1.000)" in first.explanation.target
    assert float(first.explanation.maps["gradient"].values.abs().max()) < 1e-6
    assert float(first.explanation.maps["occlusion"].values.max()) > 0
