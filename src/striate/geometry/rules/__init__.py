"""The table of rules: for each ATen operation, the function that turns a call into a plan.

A rule takes a `Site` (what was called, on which values) and returns a `Result`, or None where it does not apply;
then the operation is global: it needs everything and changes everything.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from striate.geometry.plan import Result
from striate.geometry.rules import (
    convolution,
    dimension,
    normalisation,
    padding,
    patches,
    pointwise,
    pooling,
    product,
    reduction,
    resize,
)
from striate.geometry.rules.site import Site, globally

Rule = Callable[[Site], Result | None]

RULES: dict[str, Rule] = {
    **convolution.RULES,
    **dimension.RULES,
    **normalisation.RULES,
    **padding.RULES,
    **patches.RULES,
    **pointwise.RULES,
    **pooling.RULES,
    **product.RULES,
    **reduction.RULES,
    **resize.RULES,
}


def decide(site: Site) -> Result:
    """The plan of one call: by its rule, by ATen's own mark of pointwise operations, or global."""
    if not any(v.layout_tracked for v in site.operands):
        return globally(site)
    rule = RULES.get(site.op)
    if rule is None and torch.Tag.pointwise in site.tags:
        rule = pointwise.pointwise
    result = rule(site) if rule is not None else None
    return globally(site) if result is None else result
