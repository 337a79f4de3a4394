"""Rounding: how far a module's own numbers move when its operations round otherwise.

Monte Carlo arithmetic (Parker 1997): every operation that rounds has the last digit of what it computes drawn at random.
A network whose result moves by much between two draws takes differences of nearly equal numbers and enlarges them, or jumps
where two numbers tie: no order of summation gives it a result that another order would confirm.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

TF32 = 2.0**-11
SPREAD = 64  # times what one draw moves: errors of one sign add up, those of a draw cancel
# Operations that copy, choose, compare or make numbers: nothing is rounded, and ties stay ties.
_EXACT = """
_adaptive_max_pool2d _index_put_impl _local_scalar_dense _to_copy _unsafe_index _unsafe_view _upsample_nearest_exact1d
_upsample_nearest_exact2d _upsample_nearest_exact3d abs adaptive_max_pool2d adaptive_max_pool3d amax amin aminmax
arange argsort as_strided_scatter bernoulli bucketize cat ceil channel_shuffle clamp clamp_max clamp_min clone col2im
complex constant_pad_nd copy cummax cummin detach diag_embed diagonal_scatter embedding empty empty_like empty_strided
eye fill flip floor fmax fmin fractional_max_pool2d fractional_max_pool3d full full_like gather hardtanh heaviside
im2col index index_copy index_fill index_put index_select isin kthvalue lift lift_fresh lift_fresh_copy linspace
logical_not masked_fill masked_scatter masked_select max max_pool2d max_pool2d_with_indices max_pool3d_with_indices
max_unpool2d max_unpool3d maximum median min minimum mode nan_to_num nanmedian neg new_empty new_empty_strided
new_full new_ones new_zeros nonzero normal one_hot ones ones_like pixel_shuffle pixel_unshuffle put rand rand_like
randint randn randn_like randperm reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 repeat
repeat_interleave replication_pad1d replication_pad2d replication_pad3d resize roll rot90 round scatter searchsorted
select_scatter set sgn sign slice_scatter sort take take_along_dim threshold topk tril triu trunc unfold_copy uniform
unique upsample_nearest1d upsample_nearest2d upsample_nearest3d where zero zeros zeros_like
"""
EXACT = frozenset(_EXACT.split())
_draws = count()  # each draw is another one


class Otherwise(TorchDispatchMode):
    """For the duration of a `with`, each operation's results are off by a random part of their last digit."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(next(_draws))  # the user's own state stays

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:  # fmt: skip
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        if name.rstrip("_") in EXACT or name in EXACT:
            return out
        returns = func._schema.returns
        if any(r.alias_info is not None and not r.alias_info.is_write for r in returns):
            return out  # a view
        written = any(r.alias_info is not None for r in returns)
        given = [] if written else [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]  # fmt: skip
        for leaf in pytree.tree_leaves(out):
            if (
                isinstance(leaf, Tensor)
                and leaf.is_floating_point()
                and not any(leaf is t for t in given)
            ):
                self.move(leaf)
        return out

    def move(self, t: Tensor) -> None:
        """Change each number of a tensor by a random part of its last digit."""
        share = torch.rand(t.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        wide = t.detach().double()
        t.copy_(torch.where(wide.isfinite(), wide * (1 + digit(t) * share.to(t.device)), wide))


def digit(t: Tensor) -> float:
    """The relative rounding of the numbers of a tensor of any shape: its machine epsilon, or that of TF32."""
    eps = float(torch.finfo(t.dtype).eps)
    switches = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    if t.device.type == "cuda" and t.dtype == torch.float32 and any(switches):
        return max(eps, TF32)
    return eps


def otherwise(run: Callable[[], Any]) -> Any:
    """What `run` gives where its operations round otherwise; None where it does not run so."""
    try:
        with torch.no_grad(), Otherwise():
            return run()
    except Exception:  # anybody's module, with kernels that know no such mode
        return None
