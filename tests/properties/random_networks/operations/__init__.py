"""The operations by name: MAPS read a map (N, C, H, W), GENERAL any tensor, ENDINGS make the result."""

from random_networks.operations.axes import AXES, AXES_ENDINGS
from random_networks.operations.convolving import CONVOLVING
from random_networks.operations.endings import ENDINGS
from random_networks.operations.first import FIRST
from random_networks.operations.habits import HABITS
from random_networks.operations.indexing import INDEXING
from random_networks.operations.mixing import MIXING
from random_networks.operations.normalising import NORMALISING
from random_networks.operations.pointwise import POINTWISE
from random_networks.operations.pooling import POOLING
from random_networks.operations.reducing import REDUCING
from random_networks.operations.resizing import RESIZING
from random_networks.operations.returning import RETURNING
from random_networks.operations.shaping import SHAPING
from random_networks.operations.structured import STRUCTURED
from random_networks.operations.writing import WRITING

MAPS = CONVOLVING | POOLING | NORMALISING | RESIZING
GENERAL = POINTWISE | REDUCING | INDEXING | WRITING | SHAPING | MIXING | RETURNING | HABITS
OPERATIONS = MAPS | GENERAL

# How often each family is drawn: what mixes all positions seldom, or most networks could only be refused.
SHARES = (
    (CONVOLVING, 22),
    (POOLING, 10),
    (NORMALISING, 9),
    (RESIZING, 12),
    (POINTWISE, 14),
    (REDUCING, 5),
    (INDEXING, 10),
    (WRITING, 6),
    (SHAPING, 8),
    (MIXING, 3),
    (RETURNING, 3),
    (HABITS, 9),
)

# Of networks of one axis or three.
AXES_SHARES = (
    (AXES, 50),
    (POINTWISE, 14),
    (REDUCING, 4),
    (INDEXING, 10),
    (WRITING, 6),
    (SHAPING, 4),
    (MIXING, 2),
    (HABITS, 4),
)

EVERY = OPERATIONS | AXES | FIRST
EVERY_ENDING = ENDINGS | AXES_ENDINGS | STRUCTURED

__all__ = [
    "AXES",
    "AXES_ENDINGS",
    "AXES_SHARES",
    "ENDINGS",
    "EVERY",
    "EVERY_ENDING",
    "FIRST",
    "GENERAL",
    "MAPS",
    "OPERATIONS",
    "SHARES",
    "STRUCTURED",
]
