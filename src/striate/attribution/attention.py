"""Attention: what each token looks at, read while a network runs, and its product over the layers (rollout).

Whatever computes it is watched: `F.scaled_dot_product_attention`, `nn.MultiheadAttention`, and a softmax over tokens that
is then multiplied with values, in a module of any kind. The network itself is not touched.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.attribution.images import as_images, leaves_of, output_of
from striate.attribution.layers import spread
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.geometry import Geometry, Layer

EXTRA = 16  # tokens beside the patches, at most: a class token, a distillation token, registers
READ = 1e-6  # of the strongest token's gradient, from which a token is read
SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}
PRODUCTS = {torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__, torch.einsum}
# what stands between the softmax and the product and changes no share in evaluation
KEPT = {F.dropout, torch.dropout, Tensor.to, Tensor.type_as, Tensor.contiguous, Tensor.float, Tensor.half,
        Tensor.view, Tensor.reshape, torch.reshape, Tensor.clone}  # fmt: skip


class _Watch(TorchFunctionMode):
    """Notes the shares (..., T, S) with which tokens are averaged, in the order in which that happens."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self._candidates: list[
            tuple[Tensor, Tensor]
        ] = []  # (a tensor, the softmax that it stands for)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        if func is F.scaled_dot_product_attention:
            self.seen.append(shares(*args, **kwargs))
            return self._made(func(*args, **kwargs), -2)
        out = func(*args, **kwargs)
        if func in SOFTMAX and isinstance(out, Tensor) and out.dim() >= 3:
            dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
            if dim in (-1, out.dim() - 1) and out.shape[-1] > 1:
                self._candidates.append((out, out.detach()))
        elif func in KEPT and isinstance(out, Tensor):
            stands = self._of(args)
            if stands is not None:
                self._candidates.append((out, stands))
        elif func in PRODUCTS:
            stands = self._of(args)
            if stands is not None and not any(stands is one for one in self.seen):
                self.seen.append(stands)
                return self._made(out, -2)
        return out

    def _made(self, out: Tensor, dim: int) -> Tensor:
        """What attention gives, its tokens along `dim`, as the network gets it."""
        return out

    def _of(self, args: Sequence[Any]) -> Tensor | None:
        """The softmax that one of the arguments stands for."""
        flat = [a for arg in args for a in (arg if isinstance(arg, (tuple, list)) else (arg,))]
        for tensor, softmax in self._candidates:
            if any(a is tensor for a in flat):
                return softmax
        return None

    def _multi_head(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """torch's own, asked for the weights of each head as well."""
        given = inspect.signature(func).bind(*args, **kwargs)
        given.apply_defaults()
        wanted, averaged = (given.arguments[n] for n in ("need_weights", "average_attn_weights"))
        given.arguments.update(need_weights=True, average_attn_weights=False)
        out, weights = func(*given.args, **given.kwargs)
        self.seen.append(weights.detach())
        out = self._made(out, 0)
        if not wanted:
            return out, None
        return out, weights.mean(-3) if averaged else weights


class _Last(_Watch):
    """Keeps what the last attention gives, so that gradients end there; `tokens` is its dimension of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None
        self.tokens = 0

    def _made(self, out: Tensor, dim: int) -> Tensor:
        self.last, self.tokens = out.detach().requires_grad_(), dim
        return self.last.clone()  # so that what is written into it is no leaf


def readers(module: nn.Module, image: Tensor) -> Tensor | None:
    """Which tokens the prediction reads, (T,) bool: those of the last attention whose outputs can move it.

    A class token may be there and not be read (a mean over patches behind it), and registers never are. By a gradient from
    the outputs, weighted at random, to what the last attention gives. None where no gradient can be followed.
    """
    x = as_images(module, image)
    with borrowed(module), torch.enable_grad(), _Last() as watch:
        output = output_of(module, x)
    moved = [v for v in leaves_of(output) if isinstance(v, Tensor) and v.requires_grad]
    if watch.last is None or not moved:
        return None
    generator = torch.Generator().manual_seed(0)
    total = sum((v * torch.randn(v.shape, generator=generator).to(v)).sum() for v in moved)
    assert isinstance(total, Tensor)
    (gradient,) = torch.autograd.grad(total, watch.last, allow_unused=True)
    if gradient is None:
        return None
    strength = gradient.abs().movedim(watch.tokens, 0).flatten(1).sum(1)
    return None if not bool(strength.any()) else (strength > READ * strength.max()).cpu()


def shares(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(Q K^T scale + mask), (..., T, S): what `F.scaled_dot_product_attention` averages the values with."""
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query.detach() @ key.detach().transpose(-2, -1)
    scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    if attn_mask is not None:
        mask = attn_mask.detach()
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def attention_of(module: nn.Module, image: Tensor) -> tuple[Tensor, ...]:
    """The attention of every layer, (heads, T, T) each, rows add up to 1: entry (h, t, s) is how much token t takes of s.

    image (C, H, W) or (1, C, H, W) in the network's own numbers. Raises UsageError for a network without attention, or
    one whose layers do not all attend among the same tokens.
    """
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"attention is read for one image at a time, got {len(x)}")
    with borrowed(module), torch.no_grad(), _Watch() as watch:
        output_of(module, x)
    if not watch.seen:
        raise UsageError(
            "this network has no attention: no softmax over tokens is multiplied with values in it; use grad-cam or "
            "occlusion"
        )
    maps = []
    for one in watch.seen:
        if one.shape[-2] != one.shape[-1]:
            raise UsageError(
                f"attention runs from {one.shape[-2]} tokens to {one.shape[-1]} others in this network, so a token is no "
                "fixed place of the image; use grad-cam or occlusion"
            )
        if one.dim() > 4 or (one.dim() == 4 and one.shape[0] != 1):
            raise UsageError(
                "attention stays within windows in this network (a batch of "
                f"{math.prod(one.shape[:-3])} for one image), so no map covers the image; use grad-cam or occlusion"
            )
        maps.append(one.reshape(-1, *one.shape[-2:]))
    counts = sorted({one.shape[-1] for one in maps})
    if len(counts) > 1:
        raise UsageError(
            f"the layers attend among {' and '.join(map(str, counts))} tokens in this network, so a token is no fixed "
            "place of the image; use grad-cam or occlusion"
        )
    return tuple(maps)


def rollout(attention: Sequence[Tensor]) -> Tensor:
    """How much of each input token is in each output token, (T, T): the product over layers of (A + I) / 2.

    attention: by layer, (heads, T, T); A is the mean over heads, I stands for the connection around the layer.
    Abnar and Zuidema, "Quantifying attention flow in transformers" (2020), equation 1 and section 3.
    """
    product = torch.eye(attention[0].shape[-1], dtype=torch.float64)
    for one in attention:
        mean = one.double().cpu().mean(0)
        product = (mean + torch.eye(len(mean), dtype=torch.float64)) / 2 @ product
    return product


@dataclass(frozen=True, kw_only=True)
class TokenMap:
    """pixels (H, W), never negative; of `patches` (rows, columns); reader: whose attention it is, in words."""

    pixels: Tensor
    patches: tuple[int, int]
    reader: str


def token_map(module: nn.Module, image: Tensor, geometry: Geometry, *, rolled: bool) -> TokenMap:
    """What the token that the head reads takes from each patch, over the pixels that the patch sees.

    image (1, C, H, W). rolled: through all layers, by `rollout`; else in the last layer alone, the mean over heads.
    The row is the mean of those of the tokens that the head reads, see `readers`: the class token's, or that of all patches.
    Where that cannot be followed, it is the first token's where there are more tokens than patches. It is the same for every
    class. Raises UsageError as `attention_of`, and where tokens are no grid of patches.
    """
    attention = attention_of(module, image)
    matrix = rollout(attention) if rolled else attention[-1].double().cpu().mean(0)
    layer = patches_of(geometry, len(matrix))
    rows, columns = layer.out_shape[2:]
    extra = len(matrix) - rows * columns
    read = readers(module, image)
    if read is None or len(read) != len(matrix):
        read = torch.arange(len(matrix)) < (1 if extra else len(matrix))
    row = matrix[read].mean(0)
    maps = row[extra:].reshape(1, rows, columns).to(image.dtype)
    pixels = spread(maps, layer, (image.shape[2], image.shape[3]))[0]
    return TokenMap(pixels=pixels, patches=(rows, columns), reader=named(read, extra))


def named(read: Tensor, extra: int) -> str:
    """The tokens that are read, (T,) bool, in words; `extra` stand before the patches."""
    before, patches = int(read[:extra].sum()), int(read[extra:].sum())
    if before and not patches:
        return "class token" if before == 1 else f"mean over {before} tokens before the patches"
    if patches == len(read) - extra and not before:
        return "mean over patches" if extra else "mean over tokens"
    return f"mean over {before + patches} tokens"


def patches_of(geometry: Geometry, tokens: int) -> Layer:
    """The layer whose positions become the tokens: the last map with places before attention that has as many.

    Up to 16 tokens more are a class token and its like; they stand first, as in ViT, DeiT and DINOv2.
    Raises UsageError where there is no such map.
    """
    found = None
    for layer in geometry:
        if "softmax" in layer.op or "attention" in layer.op:
            break
        if len(layer.out_shape) == 4 and all(a is not None for a in layer.local_field):
            rows, columns = layer.out_shape[2:]
            if 0 <= tokens - rows * columns <= EXTRA and rows * columns > 1:
                found = layer
    if found is None:
        raise UsageError(
            f"attention runs among {tokens} tokens, and no layer before it has a map of as many places (or up to {EXTRA} "
            "fewer), so they are no patches of the image; use grad-cam or occlusion"
        )
    return found
