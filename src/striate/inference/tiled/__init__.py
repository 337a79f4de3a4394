"""Tiled inference: any convolutional network on an image that does not fit, with the numbers of the whole image.

    result = tiled(module, image, memory="1GB")

The plan comes first: from the traced network alone it is known which boxes of which values every tile needs, how much
arithmetic that takes and how many bytes are held at once. Tiles either overlap by what the network sees beyond them
("halo"), or the image is walked in order and every value is computed once and kept as long as it is needed ("carry").
Statistics of the whole image (a global average, squeeze-and-excitation, group norm) are gathered over tiles, in as many
passes as they follow each other. Padding is real only at the real border, and nothing is blended.

`Tiled` shows the plan before it runs and a certificate afterwards.
"""

from striate.inference.tiled.plan.plan import Plan, Walk
from striate.inference.tiled.read.files import open_file
from striate.inference.tiled.run.bands import Bands
from striate.inference.tiled.shared import Shared
from striate.inference.tiled.tiled import Take, Tiled, tiled
from striate.inference.tiled.verify.certificate import Certificate

__all__ = ["Bands", "Certificate", "Plan", "Shared", "Take", "Tiled", "Walk", "open_file", "tiled"]
