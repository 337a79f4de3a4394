"""Attention and the blocks of transformers and mixers: tokens (N, T, E) in, tokens (N, T, E) out.

Parameter names are those of torchvision's vision transformer, so that its weights load.
Source: Vaswani et al., "Attention is all you need" (2017); the order of norm and addition is that of
Dosovitskiy et al., "An image is worth 16x16 words" (2021).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6  # of the layer norms, as the published weights were trained with


class SelfAttention(nn.Module):
    """Every token asks every token: softmax(Q K^T / sqrt(E / heads)) V, a head each for a share of the width.

    Parameters are named and shaped as those of `nn.MultiheadAttention`; unlike that, the operations are the same with
    and without gradients. Raises ValueError where the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads must divide the width, got {heads} heads and a width of {width}")  # fmt: skip
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        if not self.in_proj_weight.is_meta:
            nn.init.xavier_uniform_(self.in_proj_weight)
            nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, E) -> (N, T, E)."""
        n, t, e = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(n, t, 3, self.heads, e // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).reshape(n, t, e))

    def extra_repr(self) -> str:
        """Width and heads."""
        return f"{self.out_proj.in_features}, heads={self.heads}"


def perceptron(width: int, hidden: int, dropout: float = 0.0) -> nn.Sequential:
    """Two fully connected layers with GELU between them, for each token by itself."""
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, width),
        nn.Dropout(dropout),
    )


class TransformerBlock(nn.Module):
    """Attention between tokens, then a perceptron for each, both after a layer norm and added to what came in."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=EPS)
        self.self_attention = SelfAttention(width, heads)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = perceptron(width, hidden, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, E) -> (N, T, E)."""
        x = x + self.dropout(self.self_attention(self.ln_1(x)))
        return x + self.mlp(self.ln_2(x))


class Mlp(nn.Module):
    """Two fully connected layers with GELU between them; names are timm's."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.fc2(self.act(self.fc1(x)))


class MixerBlock(nn.Module):
    """A perceptron across the tokens, the same for each channel, then one across the channels, the same for each token.

    Source: Tolstikhin et al., "MLP-Mixer: an all-MLP architecture for vision" (2021), equation 1; names are timm's.
    """

    def __init__(self, tokens: int, width: int, token_hidden: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.mlp_tokens = Mlp(tokens, token_hidden)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp_channels = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, E) -> (N, T, E); T as it was built for."""
        x = x + self.mlp_tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.mlp_channels(self.norm2(x))
