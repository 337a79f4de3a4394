"""What people report of other tools that cut an image or a job into parts, each made small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate import api
from striate.data import Preprocessing
from striate.models import build


# BloodAxe/pytorch-toolbelt#24: a merged mask of 6,400 rows for an image of 5,632, where tiles do not divide the image.
# Restor-Foundation/tcd#29: nothing was predicted for a strip at the border of one image.
@pytest.mark.parametrize("size", [(131, 97), (64, 65), (70, 1)])
def test_parts_of_an_image_that_tiles_do_not_divide_cover_it_once(
    size: tuple[int, int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = build("unet", in_channels=3, num_classes=3, width=2).eval()
    how = Preprocessing(channels=3, height=32, width=32)
    trained = striate.wrap(network, classes=["a", "b", "c"], preprocessing=how, task="segment")
    image = np.random.default_rng(0).integers(0, 255, (3, *size)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    for k in (1, 2, 3):
        api.tile_shard(
            trained,
            tmp_path / "image.npy",
            tmp_path / "mask.npy",
            shard=f"{k}/3",
            parts=tmp_path / "parts",
            tile=64,
        )
    api.merge(tmp_path / "parts", run=trained)
    made = np.load(tmp_path / "mask.npy").reshape(size)
    with torch.no_grad():
        logits = network(how.normalise(torch.from_numpy(image)[None]))[0]
    best = logits.topk(2, 0).values
    clear = (
        best[0] - best[1] > 1e-5 * logits.abs().max()
    ).numpy()  # where rounding decides, either is right
    assert clear.mean() > 0.7 and (made == logits.argmax(0).numpy())[clear].all()


# TIO-IKIM/CellViT#7, dcjones/proseg#141: objects that lie over a seam are found twice, or cut in two.
def test_an_object_on_a_seam_is_one_object(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("centernet", in_channels=3, num_classes=2, width=4).eval()
    how = Preprocessing(channels=3, height=64, width=64)
    trained = striate.wrap(network, classes=["a", "b"], preprocessing=how, task="detect")
    image = (
        np.random.default_rng(0).integers(0, 255, (3, 128, 128)).astype(np.uint8)
    )  # objects anywhere
    np.save(tmp_path / "image.npy", image)
    found = {}
    for of, tile in ((1, 128), (3, 32), (2, 64)):
        parts = tmp_path / f"{of}"
        for k in range(1, of + 1):
            api.tile_shard(
                trained, tmp_path / "image.npy", shard=f"{k}/{of}", parts=parts, tile=tile
            )
        finding = api.merge(parts, run=trained)
        found[of] = finding.data["document"]["objects"]  # type: ignore[union-attr]
    assert len(found[1])
    for of in (2, 3):
        assert len(found[of]) == len(found[1])
        boxes = [np.array(sorted(o["bbox"] for o in found[n])) for n in (1, of)]
        assert np.allclose(*boxes, atol=1e-2)


# huggingface/accelerate and Slurm arrays alike: more workers than there is work for hang, or write empty files.
def test_more_shards_than_images_are_merged(tmp_path: Path) -> None:
    from PIL import Image

    torch.manual_seed(0)
    network = build("[conv2-relu-pool]-gap-fc", in_channels=3, num_classes=2, size=(8, 8))
    trained = striate.wrap(
        network, classes=["a", "b"], preprocessing=Preprocessing(channels=3, height=8, width=8)
    )
    for i in range(2):
        Image.new("RGB", (8, 8), (90 * i, 0, 0)).save(tmp_path / f"{i}.png")
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for k in (1, 2, 3):
        api.predict_shard(trained, files, tmp_path / "parts", shard=f"{k}/3")
    merged = api.merge(tmp_path / "parts")
    assert [p.path for p in merged] == files  # type: ignore[union-attr]
