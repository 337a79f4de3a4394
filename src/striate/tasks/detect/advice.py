"""What to do against a loss under a probe, where the common advice does not fit a detector."""

REMEDIES = {
    "shift": "Objects are cut where images end: train on crops smaller than the images (`--set size=`), which show cut "
    "objects, or with more of them laid over objects (`--set aimed=1`).",
    "scale": "Train with a wider zoom (`--set zoom=1.5`), or resize so that objects come at the size they had in training.",
    "flip": "If mirrored images will come, train with `--set flip=true`.",
    "rotate": "Keep images upright, or add turned ones to the training images.",
    "corruption": "Train with images changed in that way (`--set jitter=` for contrast and brightness), or keep such "
    "images out.",
}
