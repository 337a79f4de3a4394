"""Shards of predictions, put together, are to the byte what one process prints; whatever stops between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate import api
from striate.cli import main
from striate.data import Preprocessing
from striate.errors import RunError, UsageError, WriteError
from striate.models import build
from striate.runs import shards
from striate.runs.merging import merge
from striate.runs.shards import Shard, predict_shard
from striate.writing import held

MODELS = {"classify": "[conv4-relu-pool]-fc", "segment": "unet"}
MORE = {"classify": {"size": (8, 8)}, "segment": {"width": 4}}
NETWORKS = f"""from striate.models import build
def classify(): return build({MODELS["classify"]!r}, in_channels=3, num_classes=3, size=(8, 8))
def segment(): return build("unet", in_channels=3, num_classes=3, width=4)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of tiny images' classes, one of masks, and a folder of 200 images, one of which is none."""
    root = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)
    for i in range(200):
        pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        path = root / "images" / f"{i % 3}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (root / "images" / "1" / "070.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (root / "nets.py").write_text(NETWORKS)
    torch.manual_seed(0)
    for task in MODELS:
        network = build(MODELS[task], in_channels=3, num_classes=3, **MORE[task])
        how = Preprocessing(channels=3, height=8, width=8)
        trained = striate.wrap(network, classes=["a", "b", "c"], preprocessing=how, task=task)
        striate.save(trained, root / task)
    return root


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def commands(place: Path, task: str, *more: object) -> list[object]:
    return [
        "predict",
        place / task,
        place / "images",
        "--model",
        f"{place / 'nets.py'}:{task}",
        *more,
    ]


@pytest.mark.parametrize(
    ("text", "number", "of"), [("1/1", 1, 1), ("3/8", 3, 8), (" 2 / 2 ", 2, 2)]
)
def test_a_shard_is_named_by_its_number(text: str, number: int, of: int) -> None:
    assert Shard.parse(text) == Shard(number=number, of=of)


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="K/N with K from 1 to N"):
        Shard.parse(text)


def test_blocks_are_dealt_out_once() -> None:
    for count in (0, 1, 64, 65, 1000):
        for of in (1, 3, 40):
            blocks = [b for k in range(of) for b in Shard(number=k + 1, of=of).blocks(count)]
            assert sorted(blocks) == list(range(-(-count // shards.BLOCK)))


def test_merged_shards_are_what_one_process_prints(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = place / "parts"
    status, path, said = printed(
        capsys, *commands(place, "classify", "--shard", "2/3", "--parts", parts)
    )
    assert status == 0 and path.strip() == str(parts / "shard-2-of-3")
    status, out, said = printed(capsys, "merge", parts)
    assert status == 1 and "2 shards of 3" in said and "1/3, 3/3" in said and not out
    for k in (1, 3):
        assert (
            printed(capsys, *commands(place, "classify", "--shard", f"{k}/3", "--parts", parts))[0]
            == 0
        )
    for form in ("json", "csv", "table"):
        right = printed(capsys, *commands(place, "classify", "--format", form, "--engine", "torch"))
        assert printed(capsys, "merge", parts, "--format", form) == right
        assert right[0] == 1 and "070.png" in right[1]


def test_masks_of_shards_are_those_of_one_process(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, parts = place / "one", place / "two", place / "mask-parts"
    right = printed(capsys, *commands(place, "segment", "-o", one, "--format", "json"))
    for k in (1, 2):
        assert (
            printed(
                capsys,
                *commands(place, "segment", "-o", two, "--shard", f"{k}/2", "--parts", parts),
            )[0]
            == 0
        )
    merged = printed(capsys, "merge", parts, "--format", "json")
    assert merged[1].replace(str(two), str(one)) == right[1] and merged[0] == right[0]
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {
        p.name: p.read_bytes() for p in two.iterdir()
    }


def test_a_shard_that_was_stopped_goes_on_after_its_blocks(place: Path) -> None:
    network = build(MODELS["classify"], in_channels=3, num_classes=3, **MORE["classify"])
    trained = api.load(place / "classify", model=lambda: network).trained
    folder, seen = place / "stopped", []

    def stop(done: int, of: int) -> None:
        seen.append(done)
        if done == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_shard(trained, place / "images", folder, shard="1/1", progress=stop)
    first = folder / "shard-1-of-1" / "block-00000000.json"
    before = first.stat().st_mtime_ns
    assert len(list(first.parent.glob("block-*"))) == 1
    seen.clear()
    predict_shard(
        trained, place / "images", folder, shard="1/1", progress=lambda done, of: seen.append(done)
    )
    assert seen[0] == 64 and seen[-1] == 200 and first.stat().st_mtime_ns == before
    assert [p.path for p in merge(folder)] == list(api.find_files(str(place / "images")).files)

    # A second one at the same time, other options, and what is damaged.
    with (
        held(folder / "shard-1-of-1"),
        pytest.raises(WriteError, match="written by another process"),
    ):
        predict_shard(trained, place / "images", folder, shard="1/1")
    with pytest.raises(UsageError, match="not of one job: --top differs"):
        predict_shard(trained, place / "images", folder, shard="1/1", top=1)
    with pytest.raises(UsageError, match="not of one job: the list of images differs"):
        predict_shard(trained, place / "images" / "0", folder, shard="1/1")
    text = first.read_text()
    for broken in (text[:-40], text.replace('"a"', '"b"', 1), ""):
        first.write_text(broken)
        with pytest.raises(RunError, match=r"block-00000000\.json is damaged or cut off"):
            merge(folder)
    predict_shard(trained, place / "images", folder, shard="1/1")
    assert first.read_text() == text


def test_what_belongs_together_is_given_together(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, said = printed(capsys, *commands(place, "classify", "--shard", "1/2"))
    assert status == 2 and "--shard K/N and --parts DIR belong together" in said
    status, _, said = printed(capsys, "merge", place / "images")
    assert status == 1 and "no shards in" in said
