"""Lecture 003: the line classifier, trained on patches, over a large image of lines."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import striate
from striate.data.lines import line_image

WINDOW = 24


def test_the_line_classifier_labels_every_pixel() -> None:
    torch.manual_seed(0)
    lines = np.stack([line_image(i, size=WINDOW) for i in range(600)])
    x, y = torch.from_numpy(lines).float()[:, None] / 255, torch.arange(600) % 2
    module = nn.Sequential(
        nn.Conv2d(1, 2, 9), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        module[0].weight *= 3
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    for _ in range(25):
        for batch in torch.randperm(600).split(100):
            optimizer.zero_grad()
            F.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    image = torch.zeros(1, 1, 60, 120)
    image[..., :, 30] = 1  # vertical on the left, horizontal on the right
    image[..., 30, 70:] = 1
    classes = striate.dense(module, image, window=WINDOW).argmax(1)[0]
    assert classes.shape == (37, 97)
    assert (classes[:, 10:28] == 0).all()  # patches around column 30
    assert (classes[10:28, 80:] == 1).all()  # patches around row 30
    patch = image[..., 12 : 12 + WINDOW, 60 : 60 + WINDOW]
    assert module(patch).argmax() == classes[12, 60]
