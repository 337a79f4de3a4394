"""The table of architectures: every name that `build` knows besides layer patterns and timm's."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from striate.errors import UsageError
from striate.models import (
    alexnet,
    compact,
    densenet,
    detectors,
    googlenet,
    lenet5,
    lite0,
    mlp,
    neocognitron,
    nin,
    resnet,
    segmenters,
    vgg,
    vit,
)
from striate.models.own import PREFIX, OwnModel
from striate.models.spelling import spelled
from striate.plugins import Table
from striate.wording import in_quotes, name_of


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One architecture.

    build: called with in_channels, num_classes, size = (height, width) and the architecture's own
    options. size, channels: of the images it was drawn for.
    pretrained: whether weights for photographs come with the installation.
    pixels: whether it labels every pixel, (N, K, H, W), rather than the whole image. objects: whether it finds objects, with
    their boxes.
    gradient: whether gradient descent trains all of it; the neocognitron organises itself, and only its read-out is trained.
    """

    build: Callable[..., nn.Module]
    description: str
    paper: str
    size: tuple[int, int] = (224, 224)
    channels: int = 3
    pretrained: bool = False
    pixels: bool = False
    objects: bool = False
    gradient: bool = True

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the architecture's own options."""
        shared = {"in_channels", "num_classes", "size", "pretrained"}
        bound = self.build.keywords if isinstance(self.build, partial) else {}
        return tuple(
            p for p in inspect.signature(self.build).parameters if p not in shared | bound.keys()
        )


_LENET = "LeCun et al., Gradient-based learning applied to document recognition, 1998"
_ALEXNET = "Krizhevsky et al., ImageNet classification with deep convolutional networks, 2012"
_VGG = (
    "Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, 2015"
)
_RESNET = "He, Zhang, Ren, Sun, Deep residual learning for image recognition, 2016"
_FCN = "Long, Shelhamer, Darrell, Fully convolutional networks for semantic segmentation, 2015"
_UNET = (
    "Ronneberger, Fischer, Brox, U-Net: convolutional networks for biomedical segmentation, 2015"
)
_SEGNET = "Badrinarayanan, Kendall, Cipolla, SegNet, 2017"
_DENSENET = "Huang et al., Densely connected convolutional networks, 2017"

_OWN: dict[str, Entry] = {
    "compact": Entry(
        build=compact.Compact,
        description="our own default for small images: a stem and stages of two convolutions",
        paper="this project",
        size=(28, 28),
        channels=1,
    ),
    "mlp": Entry(
        build=mlp.build,
        description="fully connected layers alone: no notion of neighbouring pixels",
        paper="Rumelhart et al., Learning representations by back-propagating errors, 1986",
        size=(28, 28),
        channels=1,
    ),
    "lenet5": Entry(
        build=lenet5.build,
        description="two convolutions, three fully connected layers, sigmoid, mean pooling",
        paper=_LENET,
        size=(28, 28),
        channels=1,
    ),
    "lenet5-tanh": Entry(
        build=partial(lenet5.build, form="tanh"),
        description="LeNet-5 with tanh and max pooling",
        paper=_LENET,
        size=(32, 32),
        channels=1,
    ),
    "alexnet": Entry(
        build=alexnet.build,
        description="five convolutions and three large fully connected layers, as torchvision's",
        paper=_ALEXNET,
    ),
    "alexnet-2012": Entry(
        build=partial(alexnet.build, form="2012"),
        description="the paper's AlexNet: 96 first units, two groups, response normalisation",
        paper=_ALEXNET,
    ),
    "vgg11": Entry(build=vgg.vgg11, description="8 convolutions of 3 x 3 pixels", paper=_VGG),
    "vgg13": Entry(build=vgg.vgg13, description="10 convolutions of 3 x 3 pixels", paper=_VGG),
    "vgg16": Entry(build=vgg.vgg16, description="13 convolutions of 3 x 3 pixels", paper=_VGG),
    "vgg19": Entry(build=vgg.vgg19, description="16 convolutions of 3 x 3 pixels", paper=_VGG),
    "vgg11-bn": Entry(build=vgg.vgg11_bn, description="VGG-11 with batch norm", paper=_VGG),
    "vgg13-bn": Entry(build=vgg.vgg13_bn, description="VGG-13 with batch norm", paper=_VGG),
    "vgg16-bn": Entry(build=vgg.vgg16_bn, description="VGG-16 with batch norm", paper=_VGG),
    "vgg19-bn": Entry(build=vgg.vgg19_bn, description="VGG-19 with batch norm", paper=_VGG),
    "nin": Entry(
        build=nin.build,
        description="a small network at every pixel, no fully connected layer at the end",
        paper="Lin, Chen, Yan, Network in network, 2013",
    ),
    "googlenet": Entry(
        build=googlenet.build,
        description="nine Inception blocks: 1 x 1, 3 x 3, 5 x 5 and pooling side by side",
        paper="Szegedy et al., Going deeper with convolutions, 2015",
    ),
    "googlenet-torchvision": Entry(
        build=partial(googlenet.build, wide_kernel=3),
        description="GoogLeNet with 3 x 3 for 5 x 5, as torchvision's and its weights",
        paper="Szegedy et al., Going deeper with convolutions, 2015",
    ),
    "resnet18": Entry(build=resnet.resnet18, description="8 residual blocks", paper=_RESNET),
    "resnet34": Entry(build=resnet.resnet34, description="16 residual blocks", paper=_RESNET),
    "resnet50": Entry(build=resnet.resnet50, description="16 bottleneck blocks", paper=_RESNET),
    "resnet101": Entry(build=resnet.resnet101, description="33 bottleneck blocks", paper=_RESNET),
    "resnet152": Entry(build=resnet.resnet152, description="50 bottleneck blocks", paper=_RESNET),
    "densenet121": Entry(
        build=densenet.densenet121,
        description="four dense blocks, 58 layers in them",
        paper=_DENSENET,
    ),
    "densenet169": Entry(
        build=densenet.densenet169,
        description="four dense blocks, 82 layers in them",
        paper=_DENSENET,
    ),
    "densenet201": Entry(
        build=densenet.densenet201,
        description="four dense blocks, 98 layers in them",
        paper=_DENSENET,
    ),
    "efficientnet-lite0": Entry(
        build=lite0.build,
        description="small and quick, comes with ImageNet weights: the default for photographs",
        paper="Tan, Le, EfficientNet: rethinking model scaling, 2019",
        pretrained=True,
    ),
    "vit": Entry(
        build=vit.vit,
        description="vision transformer: patches as tokens that attend to each other; ViT-B/16 at 224 pixels, or vit-s16",
        paper="Dosovitskiy et al., An image is worth 16x16 words, 2021",
    ),
    "cct": Entry(
        build=vit.cct,
        description="compact transformer: tokens made by convolutions, for small data; sizes as cct-7/3x1",
        paper="Hassani et al., Escaping the big data paradigm with compact transformers, 2021",
    ),
    "patch-mlp": Entry(
        build=vit.patch_mlp,
        description="MLP-Mixer: patches mixed by fully connected layers, without attention",
        paper="Tolstikhin et al., MLP-Mixer: an all-MLP architecture for vision, 2021",
    ),
    "unet": Entry(
        build=segmenters.unet_entry,
        description="segmentation: U-Net, padded, with batch norm; unet:BACKBONE takes an encoder",
        paper=_UNET,
        size=segmenters.SIZE,
        channels=1,
        pixels=True,
    ),
    "unet-valid": Entry(
        build=segmenters.unet_valid_entry,
        description="segmentation: U-Net as the paper has it, of valid convolutions",
        paper=_UNET,
        size=(572, 572),
        channels=1,
        pixels=True,
    ),
    "fcn8s": Entry(
        build=partial(segmenters.fcn_entry, maps=3),
        description="segmentation: FCN-8s on ResNet-18; fcn8s:BACKBONE takes another",
        paper=_FCN,
        pixels=True,
    ),
    "fcn16s": Entry(
        build=partial(segmenters.fcn_entry, maps=2),
        description="segmentation: FCN-16s",
        paper=_FCN,
        pixels=True,
    ),
    "fcn32s": Entry(
        build=partial(segmenters.fcn_entry, maps=1),
        description="segmentation: FCN-32s",
        paper=_FCN,
        pixels=True,
    ),
    "segnet": Entry(
        build=segmenters.segnet_entry,
        description="segmentation: SegNet, max-unpooling by switches",
        paper=_SEGNET,
        size=segmenters.SIZE,
        pixels=True,
    ),
    "centernet": Entry(
        build=detectors.centernet_entry,
        description="detection: a peak of a heat map and four distances an object; centernet:BACKBONE takes an encoder",
        paper="Zhou, Wang, Krähenbühl, Objects as points, 2019",
        size=detectors.SIZE,
        objects=True,
    ),
    "centernet-masks": Entry(
        build=detectors.masks_entry,
        description="instance segmentation: centernet whose pixels vote for the centre of their object; takes an encoder",
        paper="Cheng et al., Panoptic-DeepLab, 2020",
        size=detectors.SIZE,
        objects=True,
    ),
    "fcos": Entry(
        build=detectors.fcos_entry,
        description="detection: a level for each size of objects, four distances a cell; fcos:BACKBONE takes an encoder",
        paper="Tian, Shen, Chen, He, FCOS: fully convolutional one-stage object detection, 2019",
        size=detectors.SIZE,
        objects=True,
    ),
    "yolo": Entry(
        build=detectors.yolo_entry,
        description="detection: a grid of cells with boxes and class probabilities; yolo(head=anchor-free) is a later form",
        paper="Redmon, Divvala, Girshick, Farhadi, You only look once: unified, real-time object detection, 2016",
        size=detectors.SIZE,
        objects=True,
    ),
    "faster-rcnn": Entry(
        build=partial(detectors.rcnn_entry, masks=False),
        description="detection: proposes regions and looks at each again; torchvision's weights load; faster-rcnn:BACKBONE",
        paper="Ren, He, Girshick, Sun, Faster R-CNN, 2015; on a feature pyramid, Lin et al., 2017",
        size=(800, 800),
        objects=True,
    ),
    "mask-rcnn": Entry(
        build=partial(detectors.rcnn_entry, masks=True),
        description="detection and instances: Faster R-CNN with a mask for each region; torchvision's weights load",
        paper="He, Gkioxari, Dollár, Girshick, Mask R-CNN, 2017",
        size=(800, 800),
        objects=True,
    ),
    "neocognitron": Entry(
        build=neocognitron.Neocognitron,
        description="S and C cells by turns, which organise themselves without labels",
        paper="Fukushima, Neocognitron: a self-organizing neural network model, 1980",
        size=(16, 16),
        channels=1,
        gradient=False,
    ),
}


def _plugged(name: str, made: Any) -> Entry:
    """A plug-in's row: an Entry, or a function factory(in_channels=, num_classes=) of classes an image."""
    if isinstance(made, Entry):
        return made

    def build(*, in_channels: int, num_classes: int, size: tuple[int, int]) -> nn.Module:
        return OwnModel(made, spec=f"{PREFIX}{name}").build(in_channels, num_classes)

    if not callable(made):
        raise UsageError(f"a model is a function that makes one, got {type(made).__name__}")
    about = (inspect.getdoc(made) or "").partition("\n")[0]
    return Entry(build=build, description=about or "a plug-in", paper=name_of(made))


MODELS: Table[Entry] = Table("striate.models", _OWN, _plugged)


def names(*, pixels: bool = False, objects: bool = False, gradient: bool = True) -> tuple[str, ...]:
    """The names of the architectures that label whole images, or every pixel, or find objects, in the order of the table.

    gradient: those that gradient descent trains, or those that it trains in part only.
    """
    return tuple(
        name
        for name, entry in MODELS.items()
        if (entry.pixels, entry.objects, entry.gradient) == (pixels, objects, gradient)
    )


def find(name: str) -> tuple[str, Entry]:
    """The table's spelling of `name` and its entry; case, `_` for `-` and options behind it make no difference.

    Raises UsageError with the nearest names.
    """
    plain = spelled(name)[0].strip().lower().replace("_", "-")
    plain = {"fcn": "fcn8s"}.get(plain, plain)
    if plain in MODELS:
        return plain, MODELS[plain]
    squeezed = {known.replace("-", ""): known for known in MODELS}
    close = difflib.get_close_matches(plain.replace("-", ""), squeezed, n=3, cutoff=0.6)
    hint = (
        f"did you mean {', '.join(squeezed[c] for c in close)}?"
        if close
        else f"there are {', '.join(MODELS)}, timm/NAME and layer patterns such as "
        "[conv32-relu-pool]*2-fc"
    )
    raise UsageError(f"there is no model {in_quotes(name)}; {hint}")
