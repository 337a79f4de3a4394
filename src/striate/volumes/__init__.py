"""Volumes: images in archives, in rows of tables or at the other end of a line, as folders that can be read anywhere.

A volume is mounted under a path that begins with a scheme, `wds:photos.tar`, and its files are opened by `striate.files` as
any other. The index of a volume says where each file lies, so that images are read in any order.
"""

from striate.volumes.mounting import is_volume, mount, name_of

__all__ = ["is_volume", "mount", "name_of"]

# Files of this room that other rooms import from, beside the names above.
OPEN = ()
