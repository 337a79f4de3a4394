"""Pickled checkpoints opened without running anything: what is no tensor becomes an empty shell of its name."""

from __future__ import annotations

import pickle
import re
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from striate.errors import UsageError

# What trainers keep beside the weights: settings, paths, histories, callbacks. By module, or by full name.
KNOWN = (
    "argparse.Namespace", "types.SimpleNamespace", "collections.defaultdict", "functools.partial", "pathlib.",
    "datetime.", "numpy.", "omegaconf.", "hydra.", "pytorch_lightning.", "lightning.", "lightning_fabric.",
    "lightning_utilities.", "torchmetrics.", "yacs.", "easydict.", "addict.", "box.", "ml_collections.", "mmengine.",
    "mmcv.", "mmcls.", "mmpretrain.", "mmdet.", "mmseg.", "fvcore.", "iopath.", "detectron2.", "fastai.", "fastcore.",
    "timm.", "transformers.", "accelerate.", "ignite.", "composer.", "monai.", "ultralytics.", "torchvision.",
    "torch.nn.", "torch.optim.", "torch.amp.", "torch.cuda.amp.", "torch.torch_version.",
)  # fmt: skip
TYPES = {
    f"builtins.{t}" for t in ("int", "float", "str", "bool", "list", "dict", "tuple", "object")
}
DICTS = re.compile(r"(?i)(dict|cfgnode|box|hparams)$")
GLOBAL = re.compile(r"GLOBAL (\S+)")
MOST = 200  # names of a file that are not torch's


class Shell:
    """An object of a class that is not imported: its state is kept, nothing of it runs."""

    name = ""

    def __setstate__(self, state: object) -> None:
        self.state = state


def shell(name: str) -> type:
    """A class that stands for `name`; dictionaries become plain ones, whose items the unpickler may set."""
    if DICTS.search(name) and not name.startswith("torch."):
        return type("Dictionary", (), {"__new__": lambda cls, *a, **k: OrderedDict()})
    known = name.startswith(KNOWN) or name in TYPES

    def make(cls: type, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    def begin(self: Shell, *args: Any, **kwargs: Any) -> None:
        if (
            not known
        ):  # a class that is called, not only refilled: a file that wants to run something
            raise pickle.UnpicklingError(f"GLOBAL {name} is called")

    return type("Shell", (Shell,), {"name": name, "__new__": make, "__init__": begin})


def harmless(name: str) -> bool:
    """Whether an object of this class may become a shell; the rest of Python's own library may not."""
    if name.startswith(KNOWN) or name in TYPES:
        return True
    module = name.partition(".")[0]
    return module == "__main__" or module not in {*sys.stdlib_module_names, "builtins", "torch"}


def load_pickled(path: Path) -> object:
    """What `path` holds: tensors, plain containers, and shells for everything else, always with weights_only=True.

    Raises UsageError where it wants to call something, is damaged or cannot be read.
    """
    named: dict[str, type] = {}
    while True:
        try:
            # Every name of the file is looked up here first, so that no class is ever imported.
            with warnings.catch_warnings(), torch.serialization.safe_globals(
                [(stand_in, name) for name, stand_in in named.items()]
            ):  # fmt: skip
                warnings.simplefilter("ignore")  # an unusual pickle is refused or harmless
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            match = GLOBAL.search(str(error))
            name = match[1] if match else ""
            name = f"builtins.{name}" if name and "." not in name else name
            if name.startswith("torch.distributed") or "DTensor" in str(error):
                raise UsageError(
                    f"{path} holds the shards of one process; gather them where it was trained: "
                    "torch.distributed.checkpoint.state_dict.get_model_state_dict(network, options=StateDictOptions("
                    "full_state_dict=True, cpu_offload=True)), and save that"
                ) from error
            if not name or name in named or not harmless(name) or len(named) > MOST:
                raise UsageError(
                    f"{path} holds more than tensors, or is damaged, and is not opened because it could run code"
                    f"{f' ({name})' if name else ''}; where it was trained, save the weights alone: "
                    "torch.save(network.state_dict(), 'weights.pt')"
                ) from error
            named[name] = shell(name)
        except (
            RuntimeError,
            EOFError,
            ValueError,
            OSError,
            KeyError,
            TypeError,
            AttributeError,
            AssertionError,
        ) as error:
            raise UsageError(
                f"{path} cannot be read as weights ({str(error).partition(chr(10))[0]}); write it again"
            ) from error


def convert(path: Path, part: str) -> str:
    """The command that writes the weights of `path` alone; it runs the file's own code, so only its owner should."""
    saved = f"torch.load({path.name!r}, weights_only=False){part}"
    return f'python -c "import torch; torch.save({saved}, {path.stem + "-weights.pt"!r})"'
