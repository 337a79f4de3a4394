"""timm's networks by name, and their weights from its hub."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from striate.errors import StriateError, UsageError
from striate.models import lite0
from striate.models.finetuning import start_head

PREFIX = "timm/"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
PATIENCE = 10  # seconds until the hub counts as absent


def build(
    name: str,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] | None = None,
    pretrained: bool = False,
    **options: Any,
) -> nn.Module:
    """timm's network `name`, as in `timm.create_model`; `options` go there as they are.

    size: given to networks that are drawn for one size of image, such as vision transformers.
    pretrained: `tf_efficientnet_lite0` takes the packaged weights, every other name asks the hub; a
        head for other classes starts by `start_head`.
    Raises UsageError for an unknown name or option, StriateError where the weights cannot be had.
    """
    if name == lite0.ARCHITECTURE and pretrained and options.keys() <= lite0.OPTIONS:
        return lite0.build(
            in_channels=in_channels, num_classes=num_classes, pretrained=True, **options
        )
    import timm  # takes seconds

    known = _check_name(name)
    if pretrained:
        options = {**options, **_reachable_weights(name)}
    if size is not None and known.get("fixed_input_size") and "img_size" not in options:
        options = {**options, "img_size": size}
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=pretrained, in_chans=in_channels, num_classes=num_classes, **options
        )
    except (TypeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"timm/{name} cannot be built with {', '.join(options)}: {error}; leave them out"
        ) from error
    except OSError as error:
        raise _absent(name) from error
    if pretrained and num_classes != known.get("num_classes", num_classes):
        start_head(network)
    return network


def maps(name: str, *, in_channels: int, pretrained: bool) -> nn.Module:
    """timm's network `name` as a feature extractor: images to a list of maps, finest first; see its `feature_info`.

    Raises UsageError for an unknown name, StriateError where the weights cannot be had; what timm raises for a network
    without such maps comes through.
    """
    import timm

    _check_name(name)
    options = _reachable_weights(name) if pretrained else {}
    try:
        return timm.create_model(
            name, pretrained=pretrained, in_chans=in_channels, features_only=True, **options
        )
    except OSError as error:
        raise _absent(name) from error


def configuration(name: str) -> dict[str, Any]:
    """What timm knows of the weights of `name`: mean, std, input_size, interpolation, crop_pct."""
    return _check_name(name)


def _check_name(name: str) -> dict[str, Any]:
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.6)
        hint = (
            f"did you mean {', '.join(PREFIX + c for c in close)}?"
            if close
            else "timm.list_models() lists them"
        )
        raise UsageError(f"timm has no model {architecture!r}; {hint}")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # timm's word for a tag that does not exist
        tags = [PREFIX + n for n in timm.list_pretrained(f"{architecture}.*")]
        raise UsageError(
            f"timm has no weights {tag!r} of {architecture}; there are {', '.join(tags) or 'none'}"
        ) from error
    return {} if config is None else config.to_dict()


def _reachable_weights(name: str) -> dict[str, Any]:
    """Options with which timm finds the weights of `name`; does not wait for a silent hub."""
    known = _check_name(name)
    repository = known.get("hf_hub_id")
    if not known.get("url") and not repository and not known.get("file"):
        raise UsageError(
            f"there are no published weights of timm/{name}; leave out pretrained, or give "
            "weights=FILE"
        )
    if not repository:
        return {}
    import huggingface_hub

    for file in WEIGHT_FILES:
        cached = huggingface_hub.try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return {"pretrained_cfg_overlay": {"file": cached}}
    try:
        with _quiet("huggingface_hub"):
            huggingface_hub.HfApi().model_info(repository, timeout=PATIENCE)
    except (
        Exception
    ) as error:  # every transport fails in its own words, and each means that there is no hub
        raise _absent(name) from error
    return {}


def _absent(name: str) -> StriateError:
    return StriateError(
        f"the weights of timm/{name} are not on this machine and the model hub cannot be reached; "
        "connect to the network, give weights=FILE, or use efficientnet-lite0, whose weights are "
        "installed"
    )


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
