"""Faults: commands that write are killed, interrupted, out of room or two at once; what lies on the disk then is whole.

    python tests/faults/faults.py TRIALS SEED [COMMAND...]

One process imports everything and forks a child a trial, which makes a trial cheap; see children.py. A fault comes after a
time, or at the nth change of a file, of which each command makes a known number. A disk is filled by refusing a change, by a
limit on the size of a file, and where the system lets us mount one by a small file system (`room`). Prints counts, and what
broke the rule.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from children import Ended, counting, import_all, import_everything, meddling, start
from PIL import Image
from torch import nn

from striate.api import gallery_enrol, gallery_forget
from striate.gallery import Gallery
from striate.lectures.experiments.writing import experiment_folder, write_experiment
from striate.runs.run import BEGUN, Run

PLAIN = ["--device", "cpu", "--precision", "fp32"]
TRAIN = [
    "train", "few", "--out", "run", "--model", "[conv2-relu-pool]-fc", "--epochs", "3", "--set", "batch=8",
    "--set", "checkpoint_seconds=0.001", *PLAIN,
]  # fmt: skip
NETWORK = (
    "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
)


def experiment() -> None:
    """What an experiment does with its findings, without the hours before."""
    findings = list(Run.load("done").findings())
    with experiment_folder("samples", Path("experiment")) as folder:
        write_experiment(folder, "samples", findings, facts={}, generated="by a test")


def forgetting() -> None:
    """Forget a name of a gallery, or enrol it again where it was forgotten already."""
    if "a" in Gallery.open(Path("kept")).names:
        gallery_forget("kept", "a")
    else:
        gallery_enrol("kept", "done", "few")


Work = list[str] | Callable[[], None]
COMMANDS: dict[str, Work] = {
    "train": TRAIN,
    "resume": ["train", "few", "--out", "run", "--resume"],
    "report": ["report", "done"],
    "explain": ["explain", "done", "image.png", "-m", "saliency", "-m", "gradient", "--no-trust", "--out", "maps"],
    "summary": ["summary", "done", "--figure", "field.png", "--format", "json"],
    "tile": ["tile", "done", "image.png", "--out", "answer.json"],
    "diagnose": ["diagnose", "done", "filters"],
    "masks": ["predict", "segmenter", "large.png", "image.png", "--out", "masks"],
    "tif": ["tile", "segmenter", "large.png", "--out", "map.tif", "--tile", "32"],
    "npy": ["tile", "segmenter", "large.png", "--out", "map.npy", "--tile", "32"],
    "map": ["explain", "done", "image.png", "-m", "saliency", "--no-trust", "--out", "new/map.png"],
    "probe": ["probe", "done", "flip", "--limit", "4"],
    "units": ["units", "done", "--layer", "conv1", "--limit", "4", "--out", "units.html"],
    "dissect": ["dissect", "done", "--concepts", "concepts", "--limit", "4"],
    "compare": ["compare", "image.png", "other.png", "--network", "done", "--out", "compared.png"],
    "page": ["data", "few", "--page", "page.html"],
    "convert": ["convert", "boxes", "converted"],
    "wrap": [
        "wrap", "net.py:make", "--weights", "net.pt", "--classes", "classes.txt", "--out", "wrapped",
        "--preprocessing", "8/0.5/0.5",
    ],
    "experiment": experiment,
    "enrol": ["gallery", "enrol", "enrolled", "done", "few"],
    "forget": forgetting,
}  # fmt: skip
ANSWERS = ("map.tif", "map.npy", "answer.json")  # of which each holds what it holds without a fault
FORCED = ("tile", "summary", "masks", "tif", "npy", "map", "units", "compare")
# What is made once: whole where it is there, with a file of that name in a folder, and then in the way of the same command.
ONCE = {
    "convert": ("converted", "annotations.json"), "wrap": ("wrapped", "run.toml"),
    "experiment": ("experiment", "report.html"), "page": ("page.html", ""),
}  # fmt: skip
FAULTS = (
    "kill", "kill at", "kill at", "interrupt", "interrupt at", "refuse", "refuse", "full", "room", "twice"
)  # fmt: skip
ALLOWED = {
    "kill": (0, -9), "kill at": (0, -9), "interrupt": (0, 1, 130), "interrupt at": (0, 1, 130), "refuse": (0, 1),
    "full": (0, 1), "room": (0, 1), "twice": (0, 1, 2),
}  # fmt: skip
LIMITS = (0, 10, 500, 3_000, 9_000, 40_000)  # bytes of a file
ROOMS = (0, 4_096, 16_384, 65_536, 262_144)  # bytes that are free on the small file system
OTHERS = tuple(name for name in COMMANDS if name not in ("train", "resume"))


@dataclass(frozen=True)
class Known:
    """What the commands do without a fault. longest: seconds, changes: of files, both by command. weights: digest of the
    trained network. answers: digests of outputs."""

    longest: dict[str, float]
    changes: dict[str, int]
    weights: str
    answers: dict[str, str]


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
    for folder, marker in ONCE.values():
        place = home / folder
        if place.is_dir() and any(place.iterdir()) and not (place / marker).is_file():
            return f"{folder} has no {marker}"
    for path in sorted(home.rglob("*")):
        if not path.is_file() or path.name.startswith(".") or ".striate-" in str(path):
            continue
        try:
            if path.name == "gallery.json":
                assert len(Gallery.open(path.parent)) in (20, 40), "images are missing"
            elif path.suffix == ".json":
                json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)
            elif path.suffix in (".png", ".webp"):
                with Image.open(path) as picture:
                    picture.load()
            elif path.suffix in (".html", ".svg"):
                assert path.read_text().rstrip().endswith((">",)), "cut short"
            elif path.name == "run.toml":
                run = Run.load(path.parent)
                if run.wrapped:
                    data = (path.parent / "model.safetensors").read_bytes()
                    assert hashlib.sha256(data).hexdigest() == run.info["model_sha256"], (
                        "other weights"
                    )
                elif run.finished:
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


@dataclass(frozen=True)
class Trial:
    """One fault: of a command, of which kind, in what folder. first: what each child does before its work."""

    home: Path
    name: str
    fault: str
    drawn: random.Random
    known: Known
    first: Callable[[], None] | None = None

    def judged(self) -> str | None:
        """Make the fault in the folder, which is ready; what broke the rule, or None."""
        ended = self.made()
        said = "\n".join(one.said for one in ended)
        statuses = [one.status for one in ended]
        # Python itself swallows an interrupt in a destructor, and says so with a traceback.
        traced = "Traceback" in said and "Exception ignored in" not in said
        if traced or any(s not in ALLOWED[self.fault] for s in statuses):
            return f"statuses {statuses}\n{said[-3000:]}"
        if any(one.status and one.status > 0 and not one.said.strip() for one in ended):
            return f"statuses {statuses} without a word"
        return self.of_two(statuses, said) or self.on_disk() or self.next_command()

    def made(self) -> list[Ended]:
        """The commands under the fault, to their ends."""
        work, home = COMMANDS[self.name], self.home
        if self.fault == "twice":
            alone = self.drawn.random() < 0.6 or self.name in ("train", "resume")
            second = self.name if alone else self.drawn.choice(OTHERS)
            return [
                child.wait() for child in [start(COMMANDS[n], home) for n in (self.name, second)]
            ]
        if self.fault == "room":
            ended = start(work, home, first=self.first).wait()
            subprocess.run(["mount", "-o", "remount,size=256m", str(home)], check=True)
            return [ended]
        if self.fault == "full":
            return [start(work, home, limit=self.drawn.choice(LIMITS), first=self.first).wait()]
        if self.fault in ("kill at", "interrupt at", "refuse"):
            at = self.drawn.randint(1, self.known.changes[self.name])
            return [
                start(work, home, first=meddling(home, at, self.fault.removesuffix(" at"))).wait()
            ]
        child = start(work, home)
        time.sleep(self.drawn.random() * self.known.longest[self.name])
        os.kill(child.number, signal.SIGKILL if self.fault == "kill" else signal.SIGINT)
        return [child.wait()]

    def of_two(self, statuses: Sequence[int | None], said: str) -> str | None:
        """What is wrong with two at once."""
        if self.fault != "twice":
            return None
        if self.name == "train" and (
            statuses != [0, 0] or not (self.home / "run-2/report.html").is_file()
        ):
            return f"two trainings: {statuses}\n{said[-3000:]}"
        return (
            None if 0 in statuses else f"two at once, and neither works: {statuses}\n{said[-3000:]}"
        )

    def on_disk(self) -> str | None:
        """What is not whole."""
        run = self.home / "run"
        begun = (run / "run.toml").is_file() or (run / BEGUN).is_file()
        if run.is_dir() and not begun and set(os.listdir(run)) - {".lock"}:
            return f"a run that cannot be resumed: {sorted(os.listdir(run))}"
        broken = whole(self.home, self.known.answers)
        return None if broken is None else f"half-written: {broken}"

    def next_command(self) -> str | None:
        """The next command finds nothing in its way, and a training ends with the same numbers."""
        home, run, again = self.home, self.home / "run", COMMANDS[self.name]
        training = self.name in ("train", "resume")
        if training:
            finished = (run / "run.toml").is_file() and Run.load(run).finished
            begun = (run / "run.toml").is_file() or (run / BEGUN).is_file()
            again = COMMANDS["resume"] if begun else TRAIN
        else:
            finished = False
            if self.name in ONCE:
                remove(home / ONCE[self.name][0])
            if isinstance(again, list) and self.name in FORCED:
                again = [*again, "--force"]
        if not finished:
            ended = start(again, home).wait()
            if ended.status:
                return f"the next command ends with {ended.status}\n{ended.said[-3000:]}"
            if left := [str(p.relative_to(home)) for p in home.rglob("*.unfinished.*")]:
                return f"left behind: {left}"
            if left := [str(p.relative_to(home)) for p in home.rglob(".striate-*")]:
                return f"left behind: {left}"
        if training and Run.load(run).info["model_sha256"] != self.known.weights:
            return "other weights than without the fault"
        return whole(home, self.known.answers)


def trial(
    template: Path, home: Path, seed: int, known: Known, commands: Sequence[str] = (), faults: Sequence[str] = (),
    first: Callable[[], None] | None = None,
) -> tuple[str, str, str | None]:  # fmt: skip
    """One fault; (command, fault, what broke the rule or None)."""
    drawn = random.Random(seed)
    name = drawn.choice(commands or [*COMMANDS, "train", "resume"])
    fault = drawn.choice(faults or FAULTS)
    shutil.copytree(template, home)
    if name == "resume":
        shutil.copytree(home / "stopped", home / "run")
    shutil.rmtree(home / "stopped")
    with contextlib.ExitStack() as stack:
        if fault == "room" and not stack.enter_context(small_disk(home, drawn.choice(ROOMS))):
            fault = "full"
        return name, fault, Trial(home, name, fault, drawn, known, first).judged()


def remove(path: Path) -> None:
    """Delete a file or a folder, where it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_files(home: Path) -> None:
    """Images, masks, boxes, concepts, and a network with its weights."""
    noise = np.random.default_rng(0).integers(0, 255, (41, 96, 96), dtype=np.uint8)
    Image.fromarray(noise[0]).save(home / "large.png")
    Image.fromarray(noise[0][:8, :8]).save(home / "other.png")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(home / "image.png")
    for i, pixels in enumerate(noise[1:]):
        folder = home / "few" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:8, :8] // (1 + i % 2)).save(folder / f"{i}.png")
    for i, pixels in enumerate(noise[1:9]):
        for part, cut in (("images", pixels[:16, :16]), ("masks", pixels[:16, :16] // 128)):
            (home / "masked" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(cut).save(home / "masked" / part / f"{i}.png")
        concept = home / "concepts" / ("bright", "dark")[i % 2]
        concept.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:8, :8] // (1 + i % 2)).save(concept / f"{i}.png")
        (home / "boxes").mkdir(exist_ok=True)
        Image.fromarray(pixels[:16, :16]).save(home / "boxes" / f"{i}.png")
    rows = [f"{i}.png,{x},1,5,5,a" for i in range(8) for x in (1, 4)]
    (home / "boxes" / "boxes.csv").write_text("\n".join(["file,x,y,w,h,label", *rows]))
    (home / "net.py").write_text(NETWORK)
    (home / "classes.txt").write_text("a\nb\n")
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).state_dict(), home / "net.pt")


def prepared(home: Path) -> Known:
    """A finished run, a stopped one, one that segments, and files; and what the commands do without a fault."""
    longest: dict[str, float] = {}
    changes: dict[str, int] = {}
    note = home.with_name("note")

    def counted(name: str, work: Work, place: Path) -> None:
        ended = start(work, place, first=counting(place, note)).wait()
        assert ended.status == 0, (name, ended)
        number, *modules = note.read_text().split("\n")
        import_all(modules)
        changes[name] = int(number)

    make_files(home)
    counted("train", TRAIN, home)
    (home / "run").rename(home / "done")
    at = changes["train"] // 3
    while True:  # at a change between the first checkpoint and the last
        start(TRAIN, home, first=meddling(home, at, "kill")).wait()
        if (home / "run/checkpoint/last.pt").is_file():
            break
        shutil.rmtree(home / "run")
        at += 2
    (home / "run").rename(home / "stopped")
    segmenter = [
        "train",
        "masked",
        "--out",
        "segmenter",
        "--model",
        "unet",
        "--set",
        "width=4",
        "--epochs",
        "1",
        *PLAIN,
    ]
    counted("segmenter", segmenter, home)
    shutil.rmtree(home / "masked")
    counted("enrol", ["gallery", "enrol", "kept", "done", "few"], home)
    aside = home.with_name("aside")
    shutil.copytree(home, aside)
    shutil.copytree(aside / "stopped", aside / "run")
    for name in ("resume", *OTHERS):
        counted(name, COMMANDS[name], aside)
    shutil.rmtree(aside / "run")
    for name in ("train", *OTHERS):  # again, now that all is imported
        if name in ONCE:
            remove(aside / ONCE[name][0])
        work = COMMANDS[name]
        began = time.monotonic()
        start(
            [*work, "--force"] if isinstance(work, list) and name in FORCED else work, aside
        ).wait()
        longest[name] = time.monotonic() - began
    longest["resume"] = longest["train"]
    answers = {name: digest_of(aside / name) for name in ANSWERS}
    shutil.rmtree(aside)
    return Known(longest, changes, str(Run.load(home / "done").info["model_sha256"]), answers)


@contextlib.contextmanager
def ready() -> Iterator[tuple[Path, Known]]:
    """A folder with all that trials need in `template`, and what is known of the commands."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # threads do not live through a fork
    base = Path(tempfile.mkdtemp(prefix="striate-faults-")).resolve()
    began, worked = time.monotonic(), os.times()
    try:
        import_everything()
        (base / "template").mkdir()
        known = prepared(base / "template")
        now = os.times()
        spent = now.user + now.system + now.children_user - worked.user - worked.system
        print(
            f"prepared in {time.monotonic() - began:.0f} s, {spent:.0f} s of work", file=sys.stderr
        )
        print(
            {n: (round(s, 2), known.changes[n]) for n, s in known.longest.items()}, file=sys.stderr
        )
        yield base, known
    finally:
        shutil.rmtree(base)


def run_all(
    base: Path, known: Known, trials: int, seed: int, commands: Sequence[str] = (), faults: Sequence[str] = (),
    *, first: Callable[[], None] | None = None, until: float = float("inf"),
) -> int:  # fmt: skip
    """So many trials, of some commands or of all; returns the number of faults found."""
    counts: collections.Counter[str] = collections.Counter()
    bad = done = 0
    for number in range(trials):
        if time.monotonic() > until:
            break
        home = base / str(number)
        name, fault, found = trial(
            base / "template", home, seed + number, known, commands, faults, first
        )
        counts[f"{fault} {name}"] += 1
        done += 1
        if found is not None:
            bad += 1
            print(f"seed {seed + number}: {fault} {name}: {found}", flush=True)
        if done % 50 == 0:
            print(f"{done} trials, {bad} broke the rule", file=sys.stderr, flush=True)
        shutil.rmtree(home)
    print(f"{done} trials, {bad} broke the rule: {json.dumps(counts, sort_keys=True)}")
    return bad


def main(arguments: Sequence[str]) -> int:
    """Trials by the command line."""
    with ready() as (base, known):
        return run_all(base, known, int(arguments[0]), int(arguments[1]), arguments[2:])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) > 0)
