"""Faults: commands that write are killed, interrupted, out of room or two at once; what lies on the disk then is whole.

    python tests/faults/faults.py TRIALS SEED [COMMAND...]

One process imports everything and forks a child a trial, which makes a trial cheap. Prints counts, and what broke the rule.
A disk is filled by a limit on the size of a file, and where the system lets us mount one by a small file system (`room`).
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import importlib
import json
import os
import pkgutil
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

import striate
from striate.cli import main
from striate.runs.run import Run

TRAIN = [
    "train", "digits", "--out", "run", "--model", "[conv2-relu-pool]-fc", "--epochs", "2", "--set", "limit=80",
    "--precision", "fp32", "--device", "cpu",
]  # fmt: skip
COMMANDS = {
    "train": TRAIN,
    "resume": ["train", "digits", "--out", "run", "--resume"],
    "report": ["report", "done"],
    "explain": ["explain", "done", "image.png", "--out", "maps"],
    "summary": ["summary", "done", "--figure", "field.png", "--format", "json"],
    "tile": ["tile", "done", "image.png", "--out", "answer.json"],
    "diagnose": ["diagnose", "done", "filters"],
    "masks": ["predict", "segmenter", "large.png", "image.png", "--out", "masks"],
    "tif": ["tile", "segmenter", "large.png", "--out", "map.tif", "--tile", "32"],
    "npy": ["tile", "segmenter", "large.png", "--out", "map.npy", "--tile", "32"],
    "map": ["explain", "done", "image.png", "-m", "saliency", "--no-trust", "--out", "new/map.png"],
    "probe": ["probe", "done", "flip", "--limit", "10"],
    "units": ["units", "done", "--layer", "conv1", "--limit", "10", "--out", "units.html"],
    "dissect": ["dissect", "done", "--layer", "conv1", "--concepts", "concepts", "--limit", "4"],
    "compare": ["compare", "image.png", "other.png", "--network", "done", "--out", "compared.png"],
}  # fmt: skip
ANSWERS = ("map.tif", "map.npy", "answer.json")  # of which each holds what it holds without a fault
FORCED = ("tile", "summary", "masks", "tif", "npy", "map", "units", "compare")
FAULTS = ("kill", "kill", "interrupt", "full", "room", "twice")
ROOMS = (0, 4_096, 16_384, 65_536, 262_144)  # bytes that are free on the small file system


OTHERS = tuple(name for name in COMMANDS if name not in ("train", "resume"))


@dataclass(frozen=True)
class Known:
    """What the commands do without a fault. longest: seconds, by command. weights: digest of the trained network. answers:
    digests of outputs."""

    longest: dict[str, float]
    weights: str
    answers: dict[str, str]


def import_everything() -> None:
    """What commands import when they begin, so that a child has it from the fork on: most of a small command's time."""
    for module in pkgutil.walk_packages(striate.__path__, "striate."):
        if not module.name.endswith("__main__") and ".lectures" not in module.name:
            importlib.import_module(module.name)
    for name in (
        "matplotlib.pyplot",
        "matplotlib.backends.backend_svg",
        "safetensors.torch",
        "sklearn.datasets",
    ):
        importlib.import_module(name)


def start(
    arguments: list[str], home: Path, limit: int | None = None, *, silent: bool = False
) -> int:
    """The process of a command in a child of this one. limit: bytes that a file may have. silent: without a log."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.chdir(home)
        # Where room is short a log would fill, too; what is raised shows in the status.
        name = os.devnull if limit is not None or silent else home / f"log-{os.getpid()}"
        log = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        main(arguments)
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # no room for what was printed either
            sys.stdout.flush()
        os._exit(status)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextlib.contextmanager
def small_disk(home: Path, free: int) -> Iterator[bool]:
    """`home` on a file system of its own with so many bytes free; False where none may be mounted."""
    used = sum(-(-p.lstat().st_size // 4096) * 4096 + 4096 for p in home.rglob("*"))
    aside = home.with_name(home.name + "-aside")
    home.rename(aside)
    home.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={used + 65_536}", "tmpfs", str(home)]
    mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    shutil.copytree(aside, home, dirs_exist_ok=True)
    shutil.rmtree(aside)
    try:
        if mounted:
            left = os.statvfs(home)
            spare = max(0, left.f_bavail * left.f_frsize - free)
            (home / ".filling").write_bytes(bytes(spare))
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(home)], check=True)


def whole(home: Path, answers: Mapping[str, str]) -> str | None:
    """What of the files is not whole, or None. answers: digests of what outputs must hold."""
    for name, digest in answers.items():
        if (home / name).is_file() and digest_of(home / name) != digest:
            return f"{name} does not hold what it holds without a fault"
    for path in sorted(home.rglob("*")):
        if not path.is_file() or path.name.startswith((".", "log-")):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
            elif path.suffix in (".png", ".webp"):
                with Image.open(path) as picture:
                    picture.load()
            elif path.suffix in (".html", ".svg"):
                assert path.read_text().rstrip().endswith((">",)), "cut short"
            elif path.name == "run.toml":
                run = Run.load(path.parent)
                if run.finished:
                    _ = run.model, run.metrics
                for _ in run.findings():
                    pass
        except Exception as error:
            return f"{path.relative_to(home)}: {type(error).__name__}: {error}"
    return None


def digest_of(path: Path) -> str:
    """Of an array's numbers, or of a file's bytes, in which a time may stand."""
    if path.suffix == ".npy":
        return hashlib.sha256(np.load(path).tobytes()).hexdigest()
    if path.suffix == ".tif":
        return hashlib.sha256(tifffile.imread(path).tobytes()).hexdigest()
    document = json.loads(path.read_text())
    return json.dumps({k: v for k, v in document.items() if k != "certificate"}, sort_keys=True)


def trial(
    template: Path, home: Path, seed: int, known: Known, commands: Sequence[str] = ()
) -> tuple[str, str, str | None]:
    """One fault; (command, fault, what broke the rule or None)."""
    drawn = random.Random(seed)
    name, fault = drawn.choice(commands or [*COMMANDS, "train", "resume"]), drawn.choice(FAULTS)
    shutil.copytree(template, home)
    if name == "resume":
        shutil.copytree(home / "stopped", home / "run")
    shutil.rmtree(home / "stopped")
    with contextlib.ExitStack() as stack:
        if fault == "room" and not stack.enter_context(small_disk(home, drawn.choice(ROOMS))):
            fault = "full"
        return name, fault, judged(home, name, fault, drawn, known)


def judged(home: Path, name: str, fault: str, drawn: random.Random, known: Known) -> str | None:
    """The fault itself, in a folder that is ready; what broke the rule, or None."""
    digest, answers = known.weights, known.answers
    if fault == "twice":
        second = name if drawn.random() < 0.6 or name in ("train", "resume") else drawn.choice(OTHERS)  # fmt: skip
        statuses = [wait(c) for c in [start(COMMANDS[n], home) for n in (name, second)]]
    elif fault == "room":
        statuses = [wait(start(COMMANDS[name], home, silent=True))]
        subprocess.run(["mount", "-o", "remount,size=256m", str(home)], check=True)
    elif fault == "full":
        statuses = [
            wait(start(COMMANDS[name], home, drawn.choice([0, 10, 500, 3000, 9000, 40_000])))
        ]
    else:
        child = start(COMMANDS[name], home)
        time.sleep(drawn.random() * known.longest.get(name, known.longest["train"]))
        os.kill(child, signal.SIGKILL if fault == "kill" else signal.SIGINT)
        statuses = [wait(child)]
    allowed = {
        "kill": (0, -9),
        "interrupt": (0, 1, 130),
        "full": (0, 1),
        "room": (0, 1),
        "twice": (0, 1, 2),
    }[fault]
    said = "".join(p.read_text(errors="replace") for p in home.glob("log-*"))
    # Python itself swallows an interrupt in a destructor, and says so with a traceback.
    traced = "Traceback" in said and "Exception ignored in" not in said
    if traced or any(s not in allowed for s in statuses):
        return f"statuses {statuses}\n{said[-3000:]}"
    if (
        fault == "twice"
        and name == "train"
        and (statuses != [0, 0] or not (home / "run-2/report.html").is_file())
    ):
        return f"two trainings: {statuses}\n{said[-3000:]}"
    if fault == "twice" and 0 not in statuses:
        return f"two at once, and neither works: {statuses}\n{said[-3000:]}"
    if (
        name == "train"
        and fault == "interrupt"
        and (home / "run").exists()
        and not (home / "run/run.toml").is_file()
    ):
        return f"an interrupt left a run that cannot be resumed: {sorted(os.listdir(home / 'run'))}"
    if broken := whole(home, answers):
        return f"half-written: {broken}"
    # The next command finds nothing in its way, and a training goes on to the same numbers.
    run = home / "run"
    training = name in ("train", "resume")
    again: list[str] | None = None
    if not training:
        again = [*COMMANDS[name], *(["--force"] if name in FORCED else [])]
    elif (run / "run.toml").is_file() and not Run.load(run).finished:
        again = COMMANDS["resume"]
    if again is not None and (status := wait(start(again, home))):
        said = "".join(p.read_text(errors="replace") for p in home.glob("log-*"))
        return f"the next command ends with {status}\n{said[-3000:]}"
    if training and (run / "run.toml").is_file() and Run.load(run).info["model_sha256"] != digest:
        return "other weights than without the fault"
    if left := [str(p.name) for p in home.rglob("*.unfinished.*") if again is not None]:
        return f"left behind: {left}"
    if left := [str(p.relative_to(home)) for p in home.rglob(".striate-*") if again is not None]:
        return f"left behind: {left}"
    return whole(home, answers)


def prepared(home: Path) -> Known:
    """A finished run, a stopped one, one that segments, images and concepts; and what the commands do without a fault."""
    noise = np.random.default_rng(0).integers(0, 255, (9, 96, 96), dtype=np.uint8)
    Image.fromarray(noise[0]).save(home / "large.png")
    Image.fromarray(noise[0][:8, :8]).save(home / "other.png")
    for i, pixels in enumerate(noise[1:]):
        for folder, part in (("images", pixels[:16, :16]), ("masks", pixels[:16, :16] // 128)):
            (home / "masked" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(part).save(home / "masked" / folder / f"{i}.png")
        concept = home / "concepts" / ("bright", "dark")[i % 2]
        concept.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:8, :8] // (1 + i % 2)).save(concept / f"{i}.png")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(home / "image.png")
    longest = {}
    began = time.monotonic()
    assert wait(start(TRAIN, home)) == 0
    longest["train"] = longest["resume"] = time.monotonic() - began
    (home / "run").rename(home / "done")
    child = start(TRAIN, home)
    while not (home / "run/checkpoint/last.pt").is_file():
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    wait(child)
    (home / "run").rename(home / "stopped")
    segmenter = [
        "train", "masked", "--out", "segmenter", "--model", "unet", "--set", "width=4", "--epochs", "1", "--device", "cpu",
        "--precision", "fp32",
    ]  # fmt: skip
    assert wait(start(segmenter, home)) == 0
    shutil.rmtree(home / "masked")
    aside = home.with_name("aside")
    shutil.copytree(home, aside)
    for name in OTHERS:
        began = time.monotonic()
        child = start(COMMANDS[name], aside)
        status = wait(child)
        longest[name] = time.monotonic() - began
        assert status == 0, (name, (aside / f"log-{child}").read_text()[-2000:])
    answers = {name: digest_of(aside / name) for name in ANSWERS}
    shutil.rmtree(aside)
    for log in home.glob("log-*"):
        log.unlink()
    return Known(longest, str(Run.load(home / "done").info["model_sha256"]), answers)


def run_all(
    trials: int, seed: int, commands: Sequence[str] = (), *, until: float = float("inf")
) -> int:
    """So many trials, of some commands or of all; returns the number of faults found."""
    warnings.simplefilter("ignore")
    base = Path(tempfile.mkdtemp(prefix="striate-faults-"))
    counts: collections.Counter[str] = collections.Counter()
    began, ready = time.monotonic(), 0.0
    bad = done = 0
    try:
        import_everything()
        (base / "template").mkdir()
        known = prepared(base / "template")
        ready = time.monotonic() - began
        for number in range(trials):
            if time.monotonic() > until:
                break
            home = base / str(number)
            name, fault, found = trial(base / "template", home, seed + number, known, commands)
            counts[f"{fault} {name}"] += 1
            done += 1
            if found is not None:
                bad += 1
                print(f"seed {seed + number}: {fault} {name}: {found}", flush=True)
            shutil.rmtree(home)
    finally:
        shutil.rmtree(base)
    print(f"prepared in {ready:.0f} s", file=sys.stderr)
    print(f"{done} trials, {bad} broke the rule: {json.dumps(counts, sort_keys=True)}")
    return bad


if __name__ == "__main__":
    raise SystemExit(run_all(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]) > 0)
