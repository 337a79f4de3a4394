"""The wheel has the page in it: installed where there is neither a checkout nor Node, it is served."""

from __future__ import annotations

import http.client
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "striate" / "studio" / "page" / "studio.js"


@pytest.mark.skipif(not BUILT.is_file(), reason="the page is not built")
@pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed"
)
def test_an_installed_wheel_serves_the_page_without_node(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    quiet = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "PIP_NO_INDEX": "1"}
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), str(ROOT)],
        check=True, env=os.environ | {"PIP_NO_INDEX": "1", "STRIATE_PAGE": "no"},
    )  # fmt: skip
    (wheel,) = tmp_path.glob("striate-*.whl")
    place = tmp_path / "fresh"
    venv.create(place, with_pip=False)
    python = str(place / "bin" / "python")
    target = next((place / "lib").glob("python*")) / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", str(target), str(wheel)],
        check=True, env=os.environ | {"PIP_NO_INDEX": "1", "STRIATE_PAGE": "no"},
    )  # fmt: skip
    # The packages that it needs lie beside it, seen from the new place after its own.
    shared = [p for p in sys.path if p.endswith("site-packages")]
    (target / "shared.pth").write_text("\n".join(shared))
    server = subprocess.Popen(
        [python, "-m", "striate", "studio", "--no-browser", "efficientnet-lite0"], cwd=tmp_path, env=quiet,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        host, _, query = server.stdout.readline().split()[-1].removeprefix("http://").partition("/")
        one = http.client.HTTPConnection(host)
        one.request("GET", f"/{query}")
        cookie = str(one.getresponse().getheader("set-cookie")).split(";")[0]
        for name, file in (
            ("", "index.html"),
            ("studio.js", "studio.js"),
            ("studio.css", "studio.css"),
        ):
            one.close()
            one.request("GET", f"/{name}", headers={"Cookie": cookie})
            assert one.getresponse().read() == (BUILT.parent / file).read_bytes()
        one.close()
    finally:
        server.terminate()
        server.communicate()
    where = subprocess.run(
        [python, "-c", "import striate; print(striate.__file__)"], env=quiet, cwd=tmp_path, check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(place))
