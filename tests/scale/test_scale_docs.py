"""What docs/scale.md and its files say can be typed: every command has the options that it is given."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from striate.cli.app import command

DOCS = Path(__file__).parents[2] / "docs"
FILES = [DOCS / "scale.md", *sorted((DOCS / "scale").iterdir())]


def commands(text: str) -> list[list[str]]:
    """The words after `striate` of each command, without what follows a pipe or a semicolon."""
    found = []
    for line in text.splitlines():
        line = re.sub(r"\s+#\s.*$", "", line)
        for words in re.findall(
            r"(?:^|[`\s])striate ((?:train|predict|tile|merge|sweep)\b(?:'[^']*'|[^|;`>&'])*)", line
        ):
            found.append(shlex.split(words))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_commands_have_their_options(file: Path) -> None:
    found = commands(file.read_text())
    assert found
    for name, *words in found:
        known = {o for p in command().commands[name].params for o in p.opts}
        given = {w.split("=")[0] for w in words if w.startswith("-")}
        assert given <= known, f"striate {name} has no {', '.join(sorted(given - known))}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", ["predict.sbatch", "tile.sbatch", "train.sbatch"])
def test_batch_scripts_call_what_they_say(name: str, tmp_path: Path) -> None:
    for program in ("striate", "srun"):
        (tmp_path / program).write_text('#!/bin/bash\nprintf "%s\\n" "$0" "$@" >> "$TOLD"\n')
        (tmp_path / program).chmod(0o755)
    told = tmp_path / "told"
    environment = {
        **os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TOLD": str(told), "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_TASK_MAX": "16", "SLURM_CPUS_PER_TASK": "2",
    }  # fmt: skip
    given = ["a run", "an image", "parts", "p"]
    subprocess.run(["bash", str(DOCS / "scale" / name), *given], env=environment, check=True)
    words = told.read_text().splitlines()[1:]
    if name == "train.sbatch":
        assert words == ["striate", "train", "a run", "--out", "an image"]
        (tmp_path / "run" / "checkpoint").mkdir(parents=True)
        (tmp_path / "run" / "checkpoint" / "last.pt").touch()
        subprocess.run(
            ["bash", str(DOCS / "scale" / name), "data", str(tmp_path / "run")],
            env=environment,
            check=True,
        )
        assert told.read_text().splitlines()[-1] == "--resume"
    else:
        assert words[:3] == [name.partition(".")[0], "a run", "an image"]
        assert words[words.index("--shard") + 1] == "3/16"


def test_the_indexed_job_counts_its_shards_from_one() -> None:
    job = yaml.safe_load((DOCS / "scale" / "predict-job.yaml").read_text())
    assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["completions"] == 10
    (said,) = job["spec"]["template"]["spec"]["containers"][0]["args"]
    ran = [
        subprocess.run(
            ["bash", "-c", said.replace("striate", "echo")], env={**os.environ, "JOB_COMPLETION_INDEX": str(i)},
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for i in range(10)
    ]  # fmt: skip
    assert [words[4] for words in ran] == [f"{k}/10" for k in range(1, 11)]
