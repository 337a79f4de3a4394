"""Matching: which of a file's tensors are a network's, whatever wrappers wrote before or into their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.errors import UsageError
from striate.models.ordering import in_order, sentence
from striate.models.reparametrised import left_by_quantisation, plain
from striate.models.stored import NESTED, Stored
from striate.models.transformer_names import is_transformer, renamed

# what torch.compile, FSDP and activation checkpointing put into the middle of names
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# torchvision's oldest DenseNet files say norm.1 where the network says norm1.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # counts, no weights
LOSSES = {"criterion", "criteria", "crit", "loss", "loss_fn", "loss_func"}
AVERAGED = {"ema", "swa", "averaged", "average", "avg", "shadow"}


@dataclass(frozen=True)
class Choice:
    """One set of a file under one prefix. score: how many of the network's tensors it has in the right shape."""

    where: str
    prefix: str
    tensors: dict[str, Tensor]
    score: int

    @property
    def name(self) -> str:
        """What leads to it: the keys, then the prefix."""
        return ".".join(part for part in (self.where, self.prefix.rstrip(".")) if part)

    @property
    def words(self) -> set[str]:
        """The words of its name: `state_dict_ema` has "ema"."""
        return set(re.split(r"[._]", self.name.lower()))

    @property
    def kind(self) -> str:
        """What a reader should know of it."""
        if self.words & AVERAGED:
            return "the average over steps"
        return "the teacher" if "teacher" in self.words else ""

    @property
    def rank(self) -> tuple[int, int]:
        """Which of several comes first: averages, as timm takes them, then teachers, then the usual names."""
        kind = 0 if self.words & AVERAGED else 1 if "teacher" in self.words else 2
        first = self.name.partition(".")[0]
        usual = NESTED.index(first) if first in NESTED else len(NESTED)
        return kind, -1 if not self.name else usual + (
            len(NESTED) if "student" in self.words else 0
        )


@dataclass(frozen=True)
class Match:
    """The tensors of a file under the network's names, and sentences about what was chosen and left out."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def match(stored: Stored, expected: Mapping[str, Tensor]) -> Match:
    """The set of `stored` that fits the network's tensors `expected` best.

    Raises UsageError where two sets fit as well and no usual name decides, or where the tensors are flattened shards.
    """
    notes: list[str] = []
    sets = {}
    for where, tensors in stored.sets.items():
        whole = plain(tensors, expected, stored.path)
        sets[where] = {n: t for n, t in whole.items() if not _is_leftover(n, whole, expected)}
        left = [n for n in whole if n not in sets[where]]
        if left and sets[where]:
            notes.append(f"left out, no weights of the network: {_listed(left)}")
        sets[where] = sets[where] or whole
    choices = [c for where, tensors in sets.items() for c in _choices(where, tensors, expected)]
    most = max(c.score for c in choices)
    best = sorted((c for c in choices if c.score == most), key=lambda c: c.rank)
    taken, others = best[0], [c for c in best[1:] if not _same(c.tensors, best[0].tensors)]
    count = sum(not n.endswith(COUNTERS) for n in expected)
    if most < count and (ordered := _ordered(stored, sets, expected)) is not None:
        return ordered
    if 2 * most < count:  # another network: show the largest set as it is
        largest = max(sets, key=lambda where: len(sets[where]))
        _refuse_flat(stored, sets[largest])
        return Match(_cleaned(sets[largest], set(expected)), ())
    if others and others[0].rank == taken.rank:
        names = " and ".join(f"`{c.name}`" for c in (taken, others[0]))
        raise UsageError(
            f"{stored.path.name} holds several networks that fit as well: {names}; save the one that you mean by itself: "
            f"{_alone(stored, taken)}"
        )
    # a prefix inside another is a part of that network, such as `ema_model.layer1.0`, not a network beside it
    beside = [*others, *(c for c in choices if c.kind and c.score and c.score < most)]
    beside = [
        c for c in beside
        if not any(c.where == o.where and c.prefix != o.prefix and c.prefix.startswith(o.prefix) and c.score < o.score
                   for o in choices)
    ]  # fmt: skip
    if taken.name and (others or beside):
        what = f", {taken.kind}," if taken.kind else ""
        rest = ", ".join(dict.fromkeys(f"`{c.name}`" for c in beside))
        notes.append(f"`{taken.name}`{what} is taken, and {rest} left out")
    kept = {n: t for n, t in taken.tensors.items() if n in expected or not n.endswith(COUNTERS)}
    if taken.prefix:
        outside = {
            name: tensor
            for name, tensor in _cleaned(sets[taken.where], set(expected)).items()
            if not name.startswith(taken.prefix) and not name.endswith(COUNTERS)
        }
        known = [c.prefix for c in beside if c.where == taken.where and c.prefix]
        outside = {n: t for n, t in outside.items() if not any(n.startswith(p) for p in known)}
        if head := _head_beside(kept, outside, expected):
            kept |= {name: outside.pop(there) for name, there in head.items()}
            both = ", ".join(f"{there} is taken as {name}" for name, there in head.items())
            notes.append(f"beside `{taken.prefix}`, {both}")
        if outside:
            notes.append(f"left out beside `{taken.prefix}`: {_listed(list(outside))}")
    return Match(kept, tuple(notes))


def _ordered(
    stored: Stored, sets: Mapping[str, Mapping[str, Tensor]], expected: Mapping[str, Tensor]
) -> Match | None:
    """The one set of a file whose tensors are the network's in order and shape, under other names; None if none or two."""
    if stored.path.suffix == ".safetensors":  # sorted by name
        return None
    matches = []
    for tensors in sets.values():
        named = _cleaned(tensors, set(expected))
        if (names := in_order(named, expected, COUNTERS)) is not None:
            matches.append(({n: named[there] for n, there in names.items()}, sentence(names)))
    if len(matches) != 1:
        return None
    return Match(matches[0][0], (f"{stored.path.name}: {matches[0][1]}",))


def _head_beside(
    kept: Mapping[str, Tensor], outside: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, str]:
    """Where the one layer that a backbone misses stands beside it: the network's name and the file's.

    A trainer that keeps backbone and head apart writes `backbone.*` and `head.fc.weight`. The layer is found by the end
    of its name, whatever its classes, or else as the only one with all its shapes.
    """
    missing = [n for n in expected if n not in kept and not n.endswith(COUNTERS)]
    parents = {n.rpartition(".")[0] for n in missing}
    if len(parents) != 1 or not any(expected[n].dim() > 1 for n in missing):
        return {}
    (parent,) = parents
    leaves = [n.rpartition(".")[2] for n in missing]
    places = dict.fromkeys(n.rpartition(".")[0] for n in outside)
    whole = [
        p for p in places
        if any(n.rpartition(".")[0] == p and t.dim() > 1 for n, t in outside.items())
        and all(f"{p}.{leaf}" not in outside or outside[f"{p}.{leaf}"].dim() == expected[n].dim()
                for n, leaf in zip(missing, leaves, strict=True))
    ]  # fmt: skip
    by_name = [p for p in whole if p == parent or p.endswith(f".{parent}")]
    by_shape = [
        p for p in whole
        if all(f"{p}.{leaf}" in outside and outside[f"{p}.{leaf}"].shape == expected[n].shape
               for n, leaf in zip(missing, leaves, strict=True))
    ]  # fmt: skip
    for prefixes in (by_name, by_shape):
        if len(prefixes) == 1:
            pairs = zip(missing, leaves, strict=True)
            return {
                n: f"{prefixes[0]}.{leaf}"
                for n, leaf in pairs
                if f"{prefixes[0]}.{leaf}" in outside
            }
        if prefixes:
            return {}
    return {}


def _is_leftover(name: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Observers of quantisation, weights of a loss that a LightningModule holds beside its network, and the second copy that
    mmcv's averaging hook keeps as buffers with flattened names.
    """
    if name in expected:
        return False
    if not LOSSES.isdisjoint(name.split(".")) and LOSSES.isdisjoint(
        part for own in expected for part in own.split(".")
    ):
        return True
    if left_by_quantisation(name):
        return True
    flat = name.rpartition(".")[2]
    return flat.startswith("ema_") and any(
        flat[4:] == other.replace(".", "_") for other in tensors if "." in other
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _alone(stored: Stored, taken: Choice) -> str:
    """The command that saves one of several networks by itself, under its file's own names."""
    path = stored.path
    if path.suffix == ".safetensors":
        load, save = "from safetensors.torch import load_file", f"load_file({path.name!r})"
    else:
        keys = "".join(f"[{key!r}]" for key in taken.where.split(".") if key)
        load, save = "", f"torch.load({path.name!r}, weights_only=True, map_location='cpu'){keys}"
    names = [n for n in stored.sets[taken.where] if taken.prefix in n]
    start = names[0][: names[0].index(taken.prefix) + len(taken.prefix)] if names and taken.prefix else ""  # fmt: skip
    kept = f"{{n[{len(start)}:]: t for n, t in {save}.items() if n.startswith({start!r})}}"
    return f'python -c "import torch; {load + "; " if load else ""}torch.save({kept}, {path.stem + "-one.pt"!r})"'


def _choices(
    where: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> list[Choice]:
    named = _cleaned(tensors, set(expected))
    prefixes: Counter[str] = Counter({"": 0})
    for name in named:
        parts = name.split(".")
        for i in range(len(parts)):
            if ".".join(parts[i:]) in expected:
                prefixes["".join(f"{p}." for p in parts[:i])] += 1
    choices = []
    for prefix in prefixes:
        own = {n[len(prefix) :]: t for n, t in named.items() if n.startswith(prefix)}
        score = sum(
            n in expected and expected[n].shape == t.shape and not n.endswith(COUNTERS) for n, t in own.items()
        )  # fmt: skip
        choices.append(Choice(where, prefix, own, score))
    return choices


def _cleaned(tensors: Mapping[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """The tensors without the wrappers' words in their names, where that keeps the names apart.

    A vision transformer's are also called as ours are, where timm saved them.
    """
    words = {part for name in expected for part in name.split(".")}
    drop = {w for w in (*WRAPPERS, "module") if w not in words}
    clean = {
        _OLD_DENSENET.sub(r"\1\2.", ".".join(p for p in name.split(".") if p not in drop)): t
        for name, t in tensors.items()
    }
    if is_transformer(expected):
        ours = {renamed(name, expected): t for name, t in clean.items()}
        clean = ours if len(ours) == len(clean) else clean
    return clean if len(clean) == len(tensors) else dict(tensors)


def translated(given: dict[str, Tensor], expected: set[str]) -> dict[str, Tensor]:
    """Names as torchvision's older files spell them; auxiliary classifiers are left out where the network has none."""
    given = {_OLD_DENSENET.sub(r"\1\2.", name): tensor for name, tensor in given.items()}
    if is_transformer(expected):
        given = {renamed(n, expected): t for n, t in given.items()}
    if not any(name.startswith("aux") for name in expected):
        given = {n: t for n, t in given.items() if not n.startswith(("aux1.", "aux2."))}
    return given


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(t, b[n]) for n, t in a.items())


def _refuse_flat(stored: Stored, tensors: Mapping[str, Tensor]) -> None:
    flat = next((n for n in tensors if n.split(".")[-1] in ("_flat_param", "flat_param")), None)
    if flat is not None:
        raise UsageError(
            f"{stored.path} holds flattened shards of FSDP ({flat}); gather them where it was trained: torch.distributed."
            "checkpoint.state_dict.get_model_state_dict(network, options=StateDictOptions(full_state_dict=True, "
            "cpu_offload=True)), and save that"
        )
