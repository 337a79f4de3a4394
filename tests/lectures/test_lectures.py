"""The pages: their code runs, what it prints is what the documentation shows, and each figure is made."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from striate import ops
from striate.errors import UsageError
from striate.lectures import LECTURES, Block, Page, draw, make, read_page, run

DOCS = Path(__file__).parents[2] / "docs" / "lectures"
LARGEST = 150 * 1024  # bytes: what a figure may weigh


@pytest.fixture(scope="module", params=LECTURES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """One lecture, made once: its page, the paths that `make` returned, what progress was told."""
    number = request.param
    told: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp(number) / "new" / "folder"
    paths = make(number, folder, lambda done, total: told.append((done, total)))
    return read_page(number), paths, told, folder


def test_every_block_runs_and_is_reported(made) -> None:
    page, _, told, _ = made
    assert len(page.blocks) > 15
    assert told == [(i + 1, len(page.blocks)) for i in range(len(page.blocks))]


def test_the_figures_are_those_that_the_page_shows(made) -> None:
    page, paths, _, folder = made
    assert [path.name for path in paths] == list(page.pictures)
    assert len(set(paths)) == len(paths) >= 10
    assert all(path.parent == folder and path.name.startswith(page.number) for path in paths)


def test_figures_are_small_pngs_wide_enough_to_project(made) -> None:
    for path in made[1]:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", content[16:24])
        assert len(content) < LARGEST, path.name
        assert 240 <= width <= 1500, path.name
        assert height <= 1600, path.name


def test_documentation_shows_what_the_code_prints(made) -> None:
    """`python -m striate.lectures docs/lectures` brings docs/lectures up to date."""
    page, _, _, folder = made
    name = f"{page.number}.md"
    assert (DOCS / name).read_text(encoding="utf-8") == (folder / name).read_text(encoding="utf-8")


def test_documentation_has_each_figure(made) -> None:
    for path in made[1]:
        assert (DOCS / path.name).is_file(), f"docs/lectures lacks {path.name}"


@pytest.mark.parametrize("number", LECTURES)
def test_no_dead_reference(number: str) -> None:
    text = read_page(number).text
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.endswith(".png"):
            continue
        assert (DOCS / target).is_file(), target
    for name in re.findall(r"\bops\.(\w+)", text):
        assert hasattr(ops, name), f"ops.{name}"
    for name in re.findall(r"\bdraw\.(\w+)", text):
        assert hasattr(draw, name), f"draw.{name}"


def test_documentation_has_no_figure_that_no_page_shows() -> None:
    shown = {name for number in LECTURES for name in read_page(number).pictures}
    assert {path.name for path in DOCS.glob("*.png")} == shown
    assert sum(path.stat().st_size for path in DOCS.glob("*.png")) < 3_000_000


def test_a_page_is_its_parts() -> None:
    page = Page("x", "x.md", "a\n```python\nx = 1\ny = 2\n```\nb\n\n```python\nx\n```\n")
    assert page.parts == ("a\n", Block("x = 1\ny = 2\n", 3), "b\n\n", Block("x\n", 9), "")


def test_blocks_share_one_namespace_and_their_output_stands_under_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = Page("x", "x.md", "```python\nx = 1\n```\nthen\n```python\nprint(x + 1)\n```\nend\n")
    assert run(page) == (
        "```python\nx = 1\n```\nthen\n```python\nprint(x + 1)\n```\n\n```text\n2\n```\nend\n"
    )
    assert capsys.readouterr().out == "", "what a page prints goes into the page"


def test_a_fault_names_the_line_of_the_page() -> None:
    page = Page("x", "x.md", "one\n\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run(page)
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == ("x.md", 5)


def test_a_page_leaves_the_random_numbers_alone() -> None:
    import torch

    page = Page("x", "x.md", "```python\nimport torch\nprint(torch.rand(1).item())\n```\n")
    torch.manual_seed(5)
    first = run(page)
    after = torch.rand(1)
    torch.manual_seed(6)
    assert run(page) == first, "a page draws the same numbers whatever was drawn before"
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("number", ["5", "005", "abc", ""])
def test_unknown_lecture(number: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no lecture .*; there are 000 \(The world"):
        make(number, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", ["3", "03", "003", " 003 "])
def test_short_numbers(number: str) -> None:
    assert read_page(number).number == "003"


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot be written to .*taken.*name a folder"):
        make("000", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_picture_saves_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw.bars({"a": 1.0, "b": 2.0})
    monkeypatch.chdir(tmp_path)
    assert picture.save("here.png").resolve() == tmp_path / "here.png"
    (tmp_path / "there").mkdir()
    with draw.saving_to(tmp_path / "there") as saved:
        picture.save("a.png")
    assert saved == [tmp_path / "there" / "a.png"]
    picture.save("again.png")
    assert (tmp_path / "again.png").is_file(), "after the `with` it is the current folder again"
