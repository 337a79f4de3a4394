"""Images a second of detectors on the same backbone in training: torchvision's FCOS and RetinaNet in a plain loop, and
Striate's centernet, in turn.

    python benchmarks/train_boxes.py [--rounds 5] [--images 128] [--peers fcos,retinanet]

All train a ResNet-18 with batch norm and random weights under their own neck and head on the same scenes of 160 x 160
pixels with 10 classes, in batches of 16, from images in memory, mirrored at random. The plain loop: a
DataLoader, torchvision's transforms (v2) of images and boxes, the loss that the detector gives, AdamW, fp32, channels
last; its own resize is set to 160 pixels, so that it does nothing. Striate: its own loop and loss, AdamW, and the
precision that it chooses, with the share of crops over objects that it plans. Each runs in a process of its own and
trains one epoch a turn; the first epoch is not counted.
"""

from __future__ import annotations

import os

from train_masks import compare

THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
BATCH, SIDE, CLASSES = 16, 160, 10


def scenes(count: int):
    """The first training scenes."""
    from striate.data.digits import open_digits
    from striate.tasks.detect.data.scenes import open_box_scenes

    return open_box_scenes(open_digits, count=count * 3 // 2, size=SIDE).train.take(range(count))


def loader(count: int):
    """Batches of images and targets, as torchvision's documentation shows them."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    split = scenes(count)
    transform = v2.Compose(
        [v2.RandomHorizontalFlip(), v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)]
    )  # fmt: skip

    class Scenes(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int):
            objects = split.objects[i].take(~split.objects[i].crowd)
            image = tv_tensors.Image(torch.from_numpy(split.images[i].transpose(2, 0, 1).copy()))
            boxes = tv_tensors.BoundingBoxes(
                torch.from_numpy(objects.boxes).float(), format="XYXY", canvas_size=(SIDE, SIDE)
            )
            image, target = transform(image, {"boxes": boxes, "labels": torch.from_numpy(objects.labels)})  # fmt: skip
            return image, target

    return torch.utils.data.DataLoader(
        Scenes(), batch_size=BATCH, shuffle=True, drop_last=True,
        collate_fn=lambda rows: tuple(zip(*rows, strict=True)),
    )  # fmt: skip


def plain(detector, count: int):
    """One epoch a call, of a torchvision detector on a ResNet-18 with a feature pyramid."""
    import torch
    from torch import nn
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    torch.manual_seed(0)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5, returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )  # fmt: skip
    scale = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    model = detector(backbone, CLASSES, min_size=SIDE, max_size=SIDE, **scale)
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    batches = loader(count)

    def epoch() -> None:
        for images, targets in batches:
            optimizer.zero_grad()
            sum(model(list(images), list(targets)).values()).backward()
            optimizer.step()

    return epoch


def fcos(count: int):
    """One epoch a call."""
    from torchvision.models.detection import FCOS

    return plain(FCOS, count)


def retinanet(count: int):
    """One epoch a call."""
    from torchvision.models.detection import RetinaNet

    return plain(RetinaNet, count)


def striate(count: int):
    """One epoch a call."""
    import torch

    import striate
    from striate.data import Preprocessing
    from striate.memory import keep_large_buffers
    from striate.tasks.detect.batches import BoxAugmentation, BoxBatches
    from striate.tasks.detect.loss import CenterLoss
    from striate.tasks.detect.train import images_of
    from striate.training.averaging import WeightAverage
    from striate.training.loop import Training, fit
    from striate.training.machine import choose_precision
    from striate.training.optimizers import make_optimizer
    from striate.training.recipe import Recipe
    from striate.training.schedule import Pace

    keep_large_buffers()
    torch.manual_seed(0)
    device = torch.device("cpu")
    split = scenes(count)
    how = Preprocessing(channels=3, height=SIDE, width=SIDE, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = striate.build("centernet:resnet18", in_channels=3, num_classes=CLASSES)
    model = model.to(memory_format=torch.channels_last)
    recipe = Recipe(data="scenes", optimizer="adamw", lr=1e-3, weight_decay=0.05)
    batches = BoxBatches(
        images=images_of(split, how), split=split, preprocessing=how, augmentation=BoxAugmentation(flip=True, zoom=1.1),
        crop=(SIDE, SIDE), batch=BATCH, aimed=0.7, seed=0, device=device,
    )  # fmt: skip
    optimizers = make_optimizer(recipe, [list(model.parameters())])

    def epoch() -> None:
        training = Training(
            model=model, optimizers=optimizers, average=WeightAverage(model, 0.99), pace=Pace(batches.steps_per_epoch),
            warmup=0.1, loss=CenterLoss(CLASSES), dtype=choose_precision("auto", device), device=device,
        )  # fmt: skip
        fit(training, batches)

    return epoch


if __name__ == "__main__":
    compare(__file__, __doc__, globals(), peers="fcos,retinanet", images=128, threads=THREADS)
