"""`striate dissect` on a small run: its findings, where they show, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import striate
from striate.cli.app import app
from striate.data import Preprocessing
from striate.errors import AssumedWarning, DataError, StriateError, UsageError
from striate.runs import Run, train
from striate.tasks.concepts import generated, open_concepts
from striate.tasks.table import task_of
from striate.tasks.trained import Trained
from striate.units.concept_silencing import predict_without
from striate.units.network import Network

SEEN = Preprocessing(channels=1, height=16, width=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("dissect") / "digits"
    return train("digits", out=out, model="[conv4k3-relu]*2-pool-fc", epochs=1, precision="fp32")


def write_concepts(root: Path, *, side: int = 16, masks: bool = True, value: int = 255) -> None:
    """Folders "bright" and "dark": squares on grey, with their masks."""
    rng = np.random.default_rng(0)
    for name, level in (("bright", 250), ("dark", 5)):
        for kind in ("images", "masks") if masks else ("images",):
            (root / name / kind).mkdir(parents=True)
        for i in range(6):
            top, left = rng.integers(0, 8, 2)
            page = rng.integers(110, 140, (16, 16)).astype(np.uint8)
            page[top : top + 6, left : left + 6] = level
            Image.fromarray(page).save(root / name / "images" / f"{i}.png")
            if masks:
                mask = np.zeros((side, side), dtype=np.uint8)
                mask[top : top + 6, left : left + 6] = value
                Image.fromarray(mask).save(root / name / "masks" / f"{i}.png")


def test_concepts_of_a_person_are_known_in_their_own_images_alone(tmp_path: Path) -> None:
    write_concepts(tmp_path)
    concepts = open_concepts(tmp_path, SEEN, limit=100)
    assert concepts.names == ("bright", "dark")
    assert concepts.count == 12
    one = concepts.regions(0)
    assert one.known[:, 0].all()
    assert not one.known[:, 1].any()
    inside = one.members[:, 0][one.number]
    assert (concepts.image(0)[0][inside] == 250).all()
    assert inside.sum() == 36


def test_masks_lie_over_their_images_when_the_network_sees_them_smaller(tmp_path: Path) -> None:
    write_concepts(tmp_path)
    for fit in ("squash", "pad", "crop"):
        seen = Preprocessing(channels=1, height=8, width=16, fit=fit)
        concepts = open_concepts(tmp_path, seen, limit=100)
        for i in range(concepts.count):
            regions, pixels = concepts.regions(i), concepts.image(i)[0].astype(float)
            group = concepts.groups[int(regions.known[regions.known.any(1)][0].argmax())]
            inside = regions.members[:, group][regions.number]
            known = regions.known[:, group][regions.number]
            if fit == "pad":
                assert not known[:, 0].any()  # what preprocessing adds is no annotation
            away = np.abs(pixels - 125)
            assert away[inside].mean() > 2 * away[known & ~inside].mean() + 10


def test_a_segmentation_data_set_gives_a_concept_a_class() -> None:
    concepts = open_concepts("scenes", Preprocessing(channels=3, height=32, width=32), limit=5)
    assert concepts.names == ("background", *map(str, range(10)))
    assert set(concepts.groups) == {0}
    assert concepts.count == 5


def test_generated_scenes_are_those_of_their_seed_with_exact_masks() -> None:
    seen = Preprocessing(channels=3, height=112, width=112)
    first, again, other = (generated(seen, count=4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.image(2), again.image(2))
    assert not np.array_equal(first.image(2), other.image(2))
    for i in range(4):
        regions, image = first.regions(i), first.image(i).astype(float)
        red = regions.members[:, first.names.index("red")][regions.number]
        if red.any():
            r, g, b = image[:, red].mean(1)
            assert r > 200
            assert max(g, b) < 60
        digits = [k for k, kind in enumerate(first.kinds) if kind == "digit"]
        assert not (regions.members[:, digits].sum(1) > 1).any()  # a pixel shows one digit
    assert {"colour", "stripes", "texture", "shape", "digit"} <= set(first.kinds)


def test_a_run_keeps_what_its_units_find(run: Run, tmp_path: Path) -> None:
    write_concepts(tmp_path)
    found = run.dissect(tmp_path, quantile=0.1)
    assert found[0].name == "dissection"
    layers = found[0].data["layers"]
    assert [len(x["units"]) for x in layers.values()] == [4, 4]
    named = [(n, u) for n, x in layers.items() for u in x["units"] if u["named"]]
    assert named, "a filter of digits finds what is bright"
    assert len(found[0].figures) == 2
    assert Image.open(io.BytesIO(found[0].figures[1].content)).size[0] > 600
    page = (run.path / "report.html").read_text()
    assert "What units find" in page
    layer, unit = named[0]
    (dossier,) = run.units(layer=layer, unit=unit["unit"])
    assert dossier.data["finds"].startswith(unit["concept"])
    (grid,) = run.units(layer=layer)
    assert unit["concept"] in [str(row[10]).partition(" (")[0] for row in grid.tables[0].rows]


def test_silencing_several_units_equals_zero_responses(run: Run) -> None:
    trained: Trained = run.trained
    network = Network(trained.model, trained.shape)
    images = torch.rand(20, *trained.shape[1:], generator=torch.Generator().manual_seed(0))
    layer = network.layers[0]
    got = predict_without(network, network.layers, {layer.name: [0, 2]}, images)
    module = trained.model.get_submodule(layer.members[-1])
    keep = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(1, 4, 1, 1)
    handle = module.register_forward_hook(lambda m, i, o: o * keep)
    with torch.inference_mode():
        want = trained.model(images).argmax(1).numpy()
    handle.remove()
    assert (got == want).all()
    assert (got != predict_without(network, network.layers, {}, images)).any()


def test_the_command_prints_and_writes(run: Run, tmp_path: Path) -> None:
    write_concepts(tmp_path / "mine")
    arguments = ["dissect", str(run.path), "--concepts", str(tmp_path / "mine"), "--layer", "conv1"]
    done = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    (finding,) = json.loads(done.stdout)[:1]
    assert [c["name"] for c in finding["data"]["concepts"]] == ["bright", "dark"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 0, done.output
    assert "What units find" in (tmp_path / "page.html").read_text()


def test_concepts_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path) -> None:
    cases: dict[str, tuple[type[StriateError], str]] = {
        "nothing-there": (UsageError, "there is no folder or source"),
        "empty": (DataError, "is empty; put concepts into it"),
        "no-masks": (DataError, "has no masks; a concept is a folder"),
        "one-without": (DataError, "dark in .* has no images with masks"),
        "sizes": (DataError, "size"),
        "never": (DataError, "the concept bright cannot be used: the masks hold one value"),
    }
    (tmp_path / "empty").mkdir()
    write_concepts(tmp_path / "no-masks", masks=False)
    write_concepts(tmp_path / "one-without")
    shutil.rmtree(tmp_path / "one-without" / "dark" / "masks")
    write_concepts(tmp_path / "sizes", side=20)
    write_concepts(tmp_path / "never", value=0)
    for name, (kind, why) in cases.items():
        with pytest.raises(kind, match=why) as error:
            open_concepts(tmp_path / name, SEEN, limit=10)
        assert "\n" not in str(error.value), name


def test_a_share_outside_its_range_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="quantile"):
        striate.dissect(run, quantile=0)


def test_what_is_left_out_of_concepts_is_said(tmp_path: Path) -> None:
    """As people bring them: a mask that is missing, an image that is none, folders that a Mac left."""
    write_concepts(tmp_path)
    (tmp_path / "bright" / "images" / "1.png").write_bytes(b"nope")
    (tmp_path / "dark" / "masks" / "2.png").unlink()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "readme.txt").write_text("squares")
    concepts = open_concepts(tmp_path, SEEN, limit=100)
    assert concepts.count == 10
    said = " ".join(concepts.remarks)
    assert "unreadable: 1 file, first images/1.png" in said
    assert "without a mask or an image: 1 file" in said


def test_masks_that_jpeg_smeared_are_two_values_again(tmp_path: Path) -> None:
    write_concepts(tmp_path)
    exact = open_concepts(tmp_path, SEEN, limit=100)
    kept = [exact.regions(i) for i in range(12)]
    for file in sorted((tmp_path / "bright" / "masks").iterdir()):
        Image.open(file).save(file.with_suffix(".jpg"), quality=70)
        file.unlink()
    smeared = open_concepts(tmp_path, SEEN, limit=100)
    assert any("smeared the masks of bright" in remark for remark in smeared.remarks)
    for i, one in enumerate(kept):
        assert np.array_equal(
            smeared.regions(i).members[:, 0][smeared.regions(i).number],
            one.members[:, 0][one.number],
        )


def test_a_folder_gets_a_page_of_the_dissections_name(run: Run, tmp_path: Path) -> None:
    write_concepts(tmp_path / "concepts")
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app,
        ["dissect", str(run.path), "--concepts", str(tmp_path / "concepts"), "--layer", "conv1", "-o", str(out)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (out / "dissection.html").is_file() and not (out / "units.html").exists()


def test_a_concept_that_never_occurs_is_left_out_and_named(tmp_path: Path) -> None:
    write_concepts(tmp_path)
    for mask in (tmp_path / "dark" / "masks").iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    concepts = open_concepts(tmp_path, SEEN, limit=100)
    assert concepts.names == ("bright",)
    assert any("left out: the concept dark cannot be used" in r for r in concepts.remarks)


def test_a_folder_with_the_name_of_a_source_is_not_taken_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`concepts` are the generated ones, `./concepts` the folder; so with `digits`."""
    write_concepts(tmp_path / "concepts")
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(AssumedWarning, match="write ./concepts for the folder"):
        assert len(open_concepts("concepts", SEEN, limit=10).names) > 2
    assert open_concepts("./concepts", SEEN, limit=10).names == ("bright", "dark")
    with pytest.warns(AssumedWarning, match="write ./digits for the folder"):
        assert task_of("digits").name == "classify"


def test_an_empty_name_of_concepts_is_no_folder() -> None:
    with pytest.raises(UsageError, match="concepts is empty"):
        open_concepts("", SEEN, limit=10)
