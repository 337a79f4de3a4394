"""Running a page: its code from top to bottom, in one namespace; what it draws and what it
prints.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from striate.errors import UsageError, WriteError
from striate.lectures.draw import saving_to
from striate.lectures.page import Block, Page, read_page
from striate.writing import write_atomically

Progress = Callable[[int, int], None]


HEADING = re.compile(r"^##+ (.*)$", re.MULTILINE)
PRINTED = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def findings(page: str) -> list[tuple[str, str]]:
    """(heading, what the code under it prints) of a page that was run, for every heading with code that prints."""
    parts = HEADING.split(page)[1:]
    found = []
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        printed = [text.rstrip() for text in PRINTED.findall(body)]
        if printed:
            found.append((heading.replace("`", ""), "\n".join(printed)))
    return found


def make(number: str, folder: Path, progress: Progress | None = None) -> list[Path]:
    """Make the figures of one lecture in `folder` by running the code of its page.

    number: "000" ... "004". The page itself goes beside them as `003.md`, with what each block of
    code prints under it. progress: called with (blocks done, blocks in all). Returns the paths of
    the figures, PNG, in the page's order.
    Raises UsageError for an unknown lecture, or a folder that cannot be written to.
    """
    page = read_page(number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with saving_to(folder) as figures:
            text = run(page, progress)
        write_atomically(folder / f"{page.number}.md", text.encode())
    except (OSError, WriteError) as error:
        reason = error if isinstance(error, WriteError) else error.strerror or error
        raise UsageError(
            f"the figures of lecture {page.number} cannot be written to {folder}: "
            f"{reason}; name a folder that you may write to"
        ) from error
    return list(figures)


def run(page: Page, progress: Progress | None = None) -> str:
    """Run every block of a page in order; returns the page with the output of each under it.

    The random numbers of torch that a page draws are the same in every run, and the caller's are
    left as they were.
    """
    namespace: dict[str, Any] = {"__name__": f"lecture_{page.number}"}
    filled: list[str] = []
    done = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for part in page.parts:
            if isinstance(part, str):
                filled.append(part)
                continue
            printed = _run_block(part, page.file, namespace)
            filled.append(f"```python\n{part.code}```\n")
            if printed:
                filled.append(f"\n```text\n{printed.rstrip()}\n```\n")
            done += 1
            if progress is not None:
                progress(done, len(page.blocks))
    return "".join(filled)


def _run_block(block: Block, file: str, namespace: dict[str, Any]) -> str:
    # The empty lines put each statement on its line of the page, so that a traceback shows the
    # page.
    code = compile("\n" * (block.line - 1) + block.code, file, "exec")
    printed = io.StringIO()
    namespace["print"] = partial(print, file=printed)  # leaves the process's own output alone
    exec(code, namespace)
    return printed.getvalue()
