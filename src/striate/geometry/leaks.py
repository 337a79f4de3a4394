"""Leaks: tensors without data that a forward pass left in a cache outside the module, and taking them out again.

Attributes of the module are put back by `untouched`. A cache that is a global of the module's file would keep a tensor
without data and hand it to the next real run.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Collection

from torch import Tensor

from striate.geometry.dress import is_blank
from striate.geometry.tape import Tape
from striate.geometry.tape_records import Entry


def take_back(tape: Tape, returned: Collection[int]) -> bool:
    """Take the tape's tensors out of dicts that still hold them; whether there were any.

    returned: ids of the tensors that the module returned.
    """
    held: dict[int, Tensor] = {}
    bases = {id(e.tensor._base) for e in tape.entries.values() if e.parent is not None}
    for entry in tape.entries.values():
        if entry.foreign:
            continue
        tensor = entry.tensor
        # The entry's references, those of this line, and that of a view.
        ours = 3 + (entry.meta is tensor) + (id(tensor) in bases)
        if sys.getrefcount(tensor) > ours and id(tensor) not in returned and is_blank(tensor):
            held[id(tensor)] = tensor
    if not held:
        return False
    leaked = False
    for holder in gc.get_referrers(*held.values()):
        if holder is held or isinstance(holder, Entry) or not isinstance(holder, dict):
            continue
        names = "__name__" in holder and "__builtins__" in holder  # the globals of a file
        for key, value in list(holder.items()):
            if id(value) in held and value is held[id(value)]:
                leaked = True
                if names:
                    holder[key] = None
                else:
                    del holder[key]
    return leaked
