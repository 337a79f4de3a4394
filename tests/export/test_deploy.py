"""What docs/deploy.md shows beside the file: the server, the page and Triton's folder, taken from the page and used.

They need packages that are no part of Striate: fastapi, python-multipart and httpx; playwright, Chromium and the folder
`dist` of npm's onnxruntime-web in ONNXRUNTIME_WEB; tritonclient[grpc].
"""

from __future__ import annotations

import http.server
import importlib.util
import io
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from striate import api
from striate.export import write_script
from striate.export.envelope import PROOF, Envelope, unpacked
from striate.export.references import References

from .conftest import Exported

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
KINDS = {
    **http.server.SimpleHTTPRequestHandler.extensions_map,
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
}
ORT_WEB = os.environ.get("ONNXRUNTIME_WEB", "")


def block(kind: str, having: str) -> str:
    """The one block of the page in a language that has these words."""
    (found,) = (b for b in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) if having in b)
    return found


@pytest.fixture
def folder(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the file and the script, in which Python is."""
    shutil.copy(exported.path, tmp_path / "model.onnx")
    write_script(tmp_path / "predict.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("predict", None)
    yield tmp_path
    sys.modules.pop("predict", None)


@pytest.mark.filterwarnings("default")
def test_the_server_gives_the_answers_of_predict(exported: Exported, folder: Path) -> None:
    pytest.importorskip("fastapi")
    pytest.importorskip("multipart")
    pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    source = block("python", "FastAPI")
    assert len(source.splitlines()) <= 36
    names: dict = {"__name__": "server"}
    exec(compile(source, "server.py", "exec"), names)
    client = TestClient(names["app"])
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (50, 31, 3)).astype(np.uint8))
    image.save(folder / "image.png")
    answer = client.post("/predict", files={"image": (folder / "image.png").read_bytes()})
    assert answer.status_code == 200, answer.text
    (prediction,) = api.predict(exported.trained, [folder / "image.png"], top=4)
    found = {one["class"]: one["probability"] for one in answer.json()["classes"]}
    assert found == pytest.approx(dict(prediction.top), abs=1e-6)
    assert client.post("/predict", files={"image": b"no image"}).status_code == 422
    assert client.get("/about").json()["labels"] == list(exported.trained.classes)


@pytest.fixture
def served(folder: Path) -> Iterator[str]:
    """The address of the page beside the file and onnxruntime-web."""
    if not Path(ORT_WEB, "ort.wasm.bundle.min.mjs").is_file():
        pytest.skip("ONNXRUNTIME_WEB leads to no folder of onnxruntime-web")
    for file in Path(ORT_WEB).glob("ort*wasm*"):
        shutil.copy(file, folder)
    (folder / "index.html").write_text(block("html", "ort.wasm"))
    exec(block("python", "about.json"), {})

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = KINDS

        def log_message(self, *given: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("default")
def test_the_page_repeats_the_proof_in_chromium(
    exported: Exported, folder: Path, served: str
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no Chromium, or no playwright")
    from playwright.sync_api import sync_playwright

    texts = Envelope.open(exported.path.read_bytes()).texts
    about = json.loads(texts["striate"])
    made = References.of(unpacked(texts[PROOF]), about, about["proof"])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(served)
        page.wait_for_function("window.answer !== undefined", timeout=120_000)
        for case, images in made.images.items():
            (height, width), image = images.shape[1:3], images[0]
            rgba = np.dstack([image, np.full((height, width, 1), 255, np.uint8)])
            found = page.evaluate(
                """async ([values, h, w]) => {
                    const found = await window.answer(Uint8Array.from(values), h, w);
                    return [[...found.pixels.data], [...found.logits.data]];
                }""",
                [rgba.ravel().tolist(), height, width],
            )
            expected = made.outputs[case]
            assert np.array_equal(found[0], expected["pixels"][0].ravel()), case
            assert np.abs(np.array(found[1]) - expected["logits"][0]).max() <= made.limit("f32"), (
                case
            )
        Image.fromarray(made.images["shapes"][0]).save(folder / "shapes.png")
        page.set_input_files("input", folder / "shapes.png")
        page.wait_for_function("document.querySelector('pre').textContent.includes('%')")
        first = page.text_content("pre").splitlines()[0]
        best = exported.trained.classes[int(made.outputs["shapes"]["logits"][0].argmax())]
        assert first.endswith(best)
        browser.close()


def test_tritons_folder_says_what_the_file_takes(exported: Exported) -> None:
    pytest.importorskip("tritonclient.grpc")
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse(block("text", "backend:"), model_config_pb2.ModelConfig())
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
    for stated, has in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [one.name for one in stated] == [one.name for one in has][-len(stated) :]
        for one, own in zip(stated, has[-len(stated) :], strict=True):
            kind = model_config_pb2.DataType.Name(one.data_type)
            assert kind == kinds[own.type] and len(one.dims) == len(own.shape)
    assert config.backend == "onnxruntime" and config.max_batch_size == 0


@pytest.mark.filterwarnings("default")  # its tool leaves a file open
def test_the_file_is_one_that_onnx_runtime_for_phones_loads(
    exported: Exported, tmp_path: Path
) -> None:
    """Their packages hold the operators of the official opsets, and read the form .ort, into which it is brought here."""
    from onnxruntime.tools import convert_onnx_models_to_ort as convert

    shutil.copy(exported.path, tmp_path / "model.onnx")
    convert.convert_onnx_models_to_ort(
        tmp_path / "model.onnx", output_dir=tmp_path, optimization_styles=[convert.OptimizationStyle.Fixed]
    )  # fmt: skip
    (made,) = tmp_path.glob("*.ort")
    images = np.random.default_rng(1).integers(0, 256, (2, 33, 50, 3)).astype(np.uint8)
    both = [
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(
            ["logits"], {"images": images}
        )[0]
        for file in (exported.path, made)
    ]
    assert np.abs(both[0] - both[1]).max() < 1e-6
    assert io.BytesIO(made.read_bytes()).read(8)[4:] == b"ORTM"
