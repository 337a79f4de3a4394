"""Names of a vision transformer's parameters: as torchvision, its oldest files and timm spell them."""

from __future__ import annotations

import re
from collections.abc import Collection

_MARK = "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"
_LAYER = r"\1encoder.layers.encoder_layer_\2"

# what timm (and the paper's authors' files that it converts) and torchvision's first files write -> what our `vit` has
_TABLE = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^(.*\.)?cls_token$", r"\1class_token"),
        (r"^(.*\.)?pos_embed$", r"\1encoder.pos_embedding"),
        (r"^(.*\.)?patch_embed\.proj\.", r"\1conv_proj."),
        (r"^(.*\.)?blocks\.(\d+)\.norm1\.", rf"{_LAYER}.ln_1."),
        (r"^(.*\.)?blocks\.(\d+)\.attn\.qkv\.", rf"{_LAYER}.self_attention.in_proj_"),
        (r"^(.*\.)?blocks\.(\d+)\.attn\.proj\.", rf"{_LAYER}.self_attention.out_proj."),
        (r"^(.*\.)?blocks\.(\d+)\.norm2\.", rf"{_LAYER}.ln_2."),
        (r"^(.*\.)?blocks\.(\d+)\.mlp\.fc1\.", rf"{_LAYER}.mlp.0."),
        (r"^(.*\.)?blocks\.(\d+)\.mlp\.fc2\.", rf"{_LAYER}.mlp.3."),
        (r"^(.*\.)?norm\.(weight|bias)$", r"\1encoder.ln.\2"),
        (r"^(.*\.)?head\.(weight|bias)$", r"\1heads.head.\2"),
        (r"(encoder_layer_\d+\.mlp)\.linear_1\.", r"\1.0."),
        (r"(encoder_layer_\d+\.mlp)\.linear_2\.", r"\1.3."),
    )
]


def is_transformer(expected: Collection[str]) -> bool:
    """Whether these are the names of our vision transformer's parameters."""
    return _MARK in expected


def renamed(name: str, expected: Collection[str]) -> str:
    """The name among `expected` of a tensor, whatever prefix it stands behind; what has one already, and others, stay."""
    parts = name.split(".")
    if any(".".join(parts[i:]) in expected for i in range(len(parts))):
        return name
    for pattern, template in _TABLE:
        match = pattern.search(name)
        if match:
            return name[: match.start()] + match.expand(template) + name[match.end() :]
    return name
