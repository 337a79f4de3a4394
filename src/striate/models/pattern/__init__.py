"""The layer pattern: a convolutional network in one line of text.

Lecture 000 writes a network as `INPUT -> [[CONV -> RELU]*N -> POOL]*M -> [FC -> RELU]*K -> FC`. With
numbers in place of N, M and K that is a network, and so is the shorter
`[[conv32-relu]*2-pool]*3-[fc256-relu]*1-fc`. Upper and lower case, `->` and `-`, and white space
between the parts make no difference.

    pattern    = ["INPUT" "-"] sequence
    sequence   = item {"-" item}
    item       = layer | "[" sequence "]" ["*" count]
    layer      = conv | pool | "gap" | "gmp" | fc | "flatten"
               | "bn" | "ln" | "dropout" [share] | activation
    conv       = "conv" [channels] {"k" kernel | "s" stride | "p" padding | "same" | "valid"
               | "g" groups | "d" dilation | "x" growth}
    pool       = ("pool" | "maxpool" | "avgpool") [kernel]
                 {"k" kernel | "s" stride | "p" padding}
    fc         = "fc" [units] {"x" growth}
    activation = "relu" | "tanh" | "sigmoid" | "gelu" | "silu" | "leakyrelu" [slope]

conv:     `conv64k5s2` has 64 maps, kernel 5 and stride 2. Without numbers: 32 maps, kernel 3,
          stride 1 and padding "same", with which a side of n pixels gives ceil(n / stride).
          "valid" is no padding.
pool:     the largest value of a window; `avgpool` takes the mean. Kernel 2 unless given; the
          stride is the kernel unless given: `pool3s2`.
gap, gmp: global average and global max pooling, one value a map.
fc:       fully connected; what comes in is flattened. Without a number: 128 units.
bn, ln:   batch norm, and layer norm over all channels and pixels of one image.
dropout:  `dropout0.2` sets each value to zero with probability 0.2; without a number, 0.5.
x:        growth. `[conv32x2-relu-pool]*3` has 32, 64 and 128 maps: the width is multiplied from
          one repetition of the outermost group with a star to the next, so that
          `[[conv32x2-relu]*2-pool]*2` has 32, 32, 64 and 64.

The last fc, or the last conv where gap or gmp closes the pattern, is written without a number and
gets the number of classes: the pattern ends in one score for each class, and no activation follows.

    >>> spec = "[[conv8-relu]*2-pool]*2-[fc32-relu]-fc"
    >>> network = build(spec, in_channels=1, num_classes=10, size=(28, 28))
    >>> print(*[name for name, _ in network.named_children()][:6])
    conv1 relu1 conv2 relu2 pool1 conv3
    >>> print(*[name for name, _ in network.named_children()][-4:])
    flatten fc1 relu5 fc2
"""

from __future__ import annotations

from striate.models.pattern.builder import build
from striate.models.pattern.parser import LAYERS, parse
from striate.models.pattern.syntax import Group

__all__ = ["LAYERS", "Group", "build", "parse"]
