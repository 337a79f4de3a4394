"""Run: a folder that holds a trained network and everything that is needed to use it as it was trained."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.data import Preprocessing
from striate.data.naming import normal
from striate.errors import RunError, UsageError
from striate.findings import Finding
from striate.models import OwnModel, is_own, make_network
from striate.paths import given_path
from striate.reading import read_file
from striate.runs.factories import Factory
from striate.runs.recipe_keys import from_recipe
from striate.runs.record import read_metrics
from striate.runs.stored import altered, check_recipe, read_info, to_toml
from striate.tasks.adopting import adopt
from striate.tasks.table import find_task
from striate.tasks.task import Task
from striate.tasks.trained import Trained
from striate.tasks.verbs import Verbs
from striate.training import Recipe
from striate.wording import in_quotes
from striate.writing import write_atomically

LARGEST = 1 << 40  # bytes of weights that are read
BEGUN = (
    "begun.toml"  # in place of run.toml, of a training whose data are not yet checked; see begun.py
)


class Run(Verbs):
    """A run folder: `run.toml`, `model.safetensors`, `metrics.csv`, `findings/`, `report.html`.

    path: the folder. info: the contents of `run.toml`. model: the network itself, where it is at hand; factory: what makes
    one that Striate does not know, a module or a function. Make a run with `striate.train`, `striate.load` or
    `striate.wrap(...).save`.
    """

    def __init__(
        self,
        path: Path,
        info: dict[str, Any],
        *,
        model: nn.Module | None = None,
        factory: Factory | None = None,
    ) -> None:
        self.path = path
        self.info = info
        self.factory = factory
        self.source: Any = (
            None  # data given in Python, which open again as long as they are held here
        )
        if model is not None:
            self.model = model

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, model={self.recipe.model!r}, classes={len(self.classes)})"

    @classmethod
    def load(cls, path: str | Path, *, model: Factory | None = None) -> Run:
        """Open a run folder; see `load`. Raises RunError when it is none, is damaged, or of a later format."""
        path = given_path(path, "a run's folder")
        file = path / "run.toml"
        if not path.is_dir():
            raise RunError(
                f"there is no run at {path}; give the folder that `striate train` made, such as runs/digits-1"
            )
        if not file.is_file() and (path / BEGUN).is_file():
            raise RunError(
                f"{path} has no run.toml yet: its training was stopped, or is still, before its data were checked; "
                f"`striate train DATA --out {path} --resume` begins it again"
            )
        if not file.is_file():
            raise RunError(
                f"{path} is not a run: it has no run.toml; give the folder that `striate train` made"
            )
        run = cls(path, read_info(path), factory=model)
        try:
            check_recipe(run.info["recipe"], run.task.settings)
            _ = run.recipe, run.preprocessing
        except (ValueError, KeyError, TypeError) as error:
            raise altered(file, error) from error
        return run

    @cached_property
    def recipe(self) -> Recipe:
        """How it was trained, with every open setting decided."""
        return Recipe.from_dict(self.info["recipe"], self.task.settings)

    @cached_property
    def task(self) -> Task:
        """What was learned."""
        return find_task(self.info["task"])

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""
        return Preprocessing.from_dict(self.info["preprocessing"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return tuple(self.info["classes"])

    @property
    def wrapped(self) -> bool:
        """Whether it was made by `striate.wrap`, of a network that was trained elsewhere."""
        return "wrapped" in self.info

    @property
    def finished(self) -> bool:
        """Whether training went to its end."""
        return bool(self.info.get("finished"))

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; 1 unless a calibration was stored."""
        return float(self.info.get("temperature", 1.0))

    def empty_model(self) -> nn.Module:
        """The network with fresh weights. Raises RunError where nothing is known to make it."""
        if is_own(self.recipe.model):
            self.own_model.register()
        elif self.factory is not None:
            network = make_network(self.factory, num_classes=len(self.classes))
            if self.wrapped:
                return adopt(network, self.preprocessing, self.task, len(self.classes))
            return network
        if self.wrapped:
            known = self.info["wrapped"]
            hint = f", such as --model {known['factory']}" if "factory" in known else ""
            raise RunError(
                f"{self.path} holds the weights of a network of your own, {known['made_of']}, and not its code; give "
                f"what makes it: striate.load({str(self.path)!r}, model=FUNCTION), or on the command line --model "
                f"FILE.py:FUNCTION{hint}"
            )
        with from_recipe(self.path, self.info["recipe"], "model"):
            return self.task.build(self.recipe, self.preprocessing, len(self.classes), fresh=True)

    @cached_property
    def own_model(self) -> OwnModel:
        """What makes the network of a training that a person gave it in Python. Raises RunError until it is given again."""
        spec = str(self.recipe.model)
        if self.factory is None:
            raise RunError(
                f"the network of {self.path} was given in Python as {spec.removeprefix('python:')}, and opening a run runs "
                f"no code; give it again: striate.load({str(self.path)!r}, model=...), the module or the function that "
                "makes it, or on the command line --model FILE.py:FUNCTION"
            )
        return OwnModel(self.factory, spec=spec)

    @property
    def trained(self) -> Trained:
        """The network with all that an analysis must know."""
        return Trained(
            name=self.path.name,
            model=self.model,
            preprocessing=self.preprocessing,
            classes=self.classes,
            task=self.task,
            temperature=self.temperature,
            precision=self.recipe.precision,
            flip_test=bool(self.recipe.flip_test),
            seed=self.recipe.seed,
            run=self,
            calibration=self.info.get("calibration", {}),
        )

    @cached_property
    def model(self) -> nn.Module:
        """The trained network, in evaluation form on the CPU. Raises RunError when the weights are missing or altered."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        file = self.path / "model.safetensors"
        try:
            data = read_file(file, limit=LARGEST)
        except OSError as error:
            raise RunError(
                f"cannot read the weights {file}: {error.strerror}; restore the file or train again"
            ) from error
        if hashlib.sha256(data).hexdigest() != self.info.get("model_sha256"):
            raise RunError(
                f"{file} is not the file that training wrote, by its digest in {self.path / 'run.toml'}; restore the one "
                "that was changed, or train again"
            )
        try:
            tensors = load(data)
            if self.factory is None and not self.wrapped:
                # Without memory first: what a spec names may be far larger than these weights.
                with torch.device("meta"):
                    skeleton = self.empty_model().state_dict()
                if {n: t.shape for n, t in skeleton.items()} != {
                    n: t.shape for n, t in tensors.items()
                }:
                    raise ValueError("other layers")
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise RunError(
                f"the weights {file} do not fit the model {self.recipe.model} with {len(self.classes)} classes, which "
                f"{self.path / 'run.toml'} says they are of; restore the run or train again"
            ) from error
        model = self.empty_model()
        try:
            model.load_state_dict(tensors)
        except (RuntimeError, ValueError) as error:
            what = f"model {self.recipe.model} of {self.path / 'run.toml'}; restore the run or train again"
            if self.factory is not None:
                what = "network that model= makes; give the one that was saved"
            raise RunError(f"the weights {file} do not fit the {what}") from error
        return model.eval().to(memory_format=torch.channels_last)

    def save_weights(self, state: dict[str, torch.Tensor]) -> None:
        """Write `model.safetensors` and note its digest in `info`, atomically."""
        from safetensors.torch import save

        seen: set[int] = set()
        tensors = {}
        for name, value in state.items():
            tensor = value.detach().cpu().contiguous()
            if tensor.data_ptr() in seen:  # tied weights: the file holds each by itself
                tensor = tensor.clone()
            seen.add(tensor.data_ptr())
            tensors[name] = tensor
        data = save(tensors)
        write_atomically(self.path / "model.safetensors", data)
        self.info["model_sha256"] = hashlib.sha256(data).hexdigest()

    def save_info(self) -> None:
        """Write `run.toml`, atomically, with digests of what decides an answer."""
        write_atomically(self.path / "run.toml", to_toml(self.info))

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of `metrics.csv`: one an epoch, none where there is no such file. Raises RunError for another."""
        return read_metrics(self.path / "metrics.csv")

    def findings(self) -> Iterator[Finding]:
        """What analyses have found so far, in the order of the report."""
        files = sorted((self.path / "findings").glob("*.json"), key=lambda f: report_place(f.stem))
        for file in files:
            yield Finding.load(file)

    def add(self, finding: Finding) -> Finding:
        """Store a finding in the run. Raises RunError when the folder cannot be written."""
        try:
            finding.save(self.path / "findings")
        except OSError as error:
            raise RunError(
                f"cannot write into {self.path}: {error.strerror}; free some space or its permissions"
            ) from error
        return finding


REPORT_ORDER = (
    "headline", "verification", "by-group", "neighbours", "data", "data-check", "as-seen", "reach", "training-curves",
    "diagnose-updates", "confusion", "worst-pairs", "embedding-map", "per-identity", "error-kinds", "mistakes",
    "predicted-true", "intervals", "worst", "sizes", "explanations", "filters", "selective-units", "dead-units",
    "dissection", "dissection-silenced", "per-class", "per-tag", "per-target", "calibration", "probe-clean",
    "probe-comparison", "probe-similarity", "probe-stranger", "probe-shift", "probe-rotation", "probe-scale",
    "probe-flip", "probe-deformation", "probe-size", "probe-crowding", "probe-truncation", "probe-corruption",
    "probe-domain", "probe-spectrum", "probe-attack", "probe-calibration", "probe-shortcuts", "probe-samples",
    "probe-left-out", "diagnose-activations", "diagnose-filters", "diagnose-labels", "diagnose-rates",
    "diagnose-initial-loss", "diagnose-one-batch", "diagnose-gradients", "context", "summary", "recipe", "checklist",
)  # fmt: skip


def report_place(name: str) -> tuple[float, str]:
    """Where the finding `name` stands in the report, for sorting.

    One that the order does not know, of a plug-in's probe such as `probe-fog`, follows the last of its kind, `probe-`; one
    of no known kind stands before the checklist.
    """
    if name in REPORT_ORDER:
        return REPORT_ORDER.index(name), name
    kind = name.partition("-")[0] + "-"
    alike = [i for i, known in enumerate(REPORT_ORDER) if known.startswith(kind)]
    return (alike[-1] if alike else len(REPORT_ORDER) - 2) + 0.5, name


def load(path: str | Path, *, model: Factory | None = None) -> Run:
    """Open a run folder; nothing in it is run.

    model: for a network of your own, the module or a function that makes it; its weights come from the run. Raises RunError
    when it is no run, when something in it is missing or altered, or when `model` is needed and was not given.
    """
    run = Run.load(path, model=model)
    _ = run.model
    return run


def new_folder(folder: Path, *, numbered: bool) -> Path:
    """Make and return `folder`, or the first of `folder-1`, `folder-2`, ... that is free. Never an existing folder.

    numbered: begin with `folder-1` instead of `folder`. Raises RunError when it cannot be made.
    """
    number = 1 if numbered else 0
    while True:
        path = folder.with_name(f"{folder.name}-{number}") if number else folder
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            if path.is_dir() and not any(path.iterdir()) and not number:
                return path
            number += 1 if number else 2
        except OSError as error:
            raise RunError(
                f"cannot make the folder {path}: {error.strerror}; choose another with --out"
            ) from error


def latest_unfinished(folder: Path) -> Path:
    """The folder of the newest run called `folder` or `folder-N` that was stopped. Raises RunError."""
    candidates = [folder, *folder.parent.glob(f"{glob.escape(folder.name)}-*")]
    there = [p for p in candidates if any((p / n).is_file() for n in ("run.toml", BEGUN))]
    newest = sorted(there, key=lambda p: _touched(p), reverse=True)
    for path in newest:
        if not (path / "run.toml").is_file():
            return path
        try:
            run = Run.load(path)
        except RunError:
            if path == folder or (path / "checkpoint" / "last.pt").is_file():
                raise
            continue
        if run.finished:
            continue
        if (path / "checkpoint" / "last.pt").is_file() or "training" not in run.info:
            return path
        if path == folder:
            raise RunError(
                f"{path} was stopped, and its checkpoint is missing; put {path / 'checkpoint' / 'last.pt'} back, or train "
                "without --resume"
            )
    raise RunError(
        f"nothing to resume: no run {folder} that was stopped, with a run.toml; train without --resume"
    )


def _touched(path: Path) -> float:
    """When a run was last written to, in seconds."""
    files = (path / "run.toml", path / BEGUN, path / "checkpoint" / "last.pt")
    return max(f.stat().st_mtime for f in files if f.is_file())


def resolve_class(name: str, classes: tuple[str, ...]) -> int:
    """Index of a class given by name or number. Raises UsageError with the nearest name."""
    import difflib

    if name in classes:
        return classes.index(name)
    same = [i for i, known in enumerate(classes) if normal(known) == normal(name)]
    if len(same) == 1:
        return same[0]
    if name.isdecimal() and len(name) < 10 and int(name) < len(classes):
        return int(name)
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"classes are {', '.join(classes[:20])}"
    raise UsageError(f"there is no class {in_quotes(name)}; {hint}")
