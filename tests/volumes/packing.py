"""Small images packed as others pack them: a folder, tars, Parquet, the Arrow files of `save_to_disk`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("ant", "bee", "cat")


def picture(seed: int, *, side: int = 12, kind: str = "PNG") -> bytes:
    """An image of noise whose strongest channel is that of its class, `seed` modulo 3."""
    pixels = np.random.default_rng(seed).integers(0, 90, (side, side, 3), dtype=np.uint8)
    pixels[..., seed % 3] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def mask(seed: int, *, side: int = 12) -> bytes:
    """A mask of two classes, of which 1 is a square."""
    pixels = np.zeros((side, side), dtype=np.uint8)
    pixels[2 : 5 + seed % 4, 3:9] = 1
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


ITEMS = [(f"{i:05d}", picture(i), i % 3) for i in range(36)]


def tar(path: Path, members: Sequence[tuple[str, bytes]], kind: int = tarfile.PAX_FORMAT) -> Path:
    """A tar archive of files."""
    with tarfile.open(path, "w", format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_folder(root: Path) -> Path:
    """A folder a class."""
    for key, data, label in ITEMS:
        place = root / "folder" / NAMES[label] / f"{key}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return root / "folder"


def as_tars(root: Path, shards: int = 3) -> str:
    """WebDataset's: KEY.png beside KEY.cls, and classes.txt beside the archives."""
    each = len(ITEMS) // shards
    for s in range(shards):
        mine = ITEMS[s * each : (s + 1) * each]
        files = [(f"{k}.{e}", d) for k, image, y in mine for e, d in (("png", image), ("cls", b"%d" % y))]  # fmt: skip
        tar(root / f"photos-{s:03d}.tar", files)
    (root / "classes.txt").write_text("\n".join(NAMES))
    return f"wds:{root}/photos-{{000..{shards - 1:03d}}}.tar"


def as_table():
    """The rows as pyarrow has them, with the schema that Hugging Face's datasets write."""
    import pyarrow as pa

    features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", image), ("label", pa.int64())],
        metadata={b"huggingface": json.dumps({"info": {"features": features}}).encode()},
    )
    rows = [{"image": {"bytes": data, "path": None}, "label": label} for _, data, label in ITEMS]
    return pa.Table.from_pylist(rows, schema=schema)


def as_parquet(root: Path) -> str:
    """One Parquet file of several row groups."""
    import pyarrow.parquet as pq

    pq.write_table(as_table(), root / "photos.parquet", row_group_size=10)
    return str(root / "photos.parquet")


def as_saved(root: Path) -> str:
    """What `Dataset.save_to_disk` leaves: Arrow streams and state.json."""
    import pyarrow as pa

    folder = root / "saved"
    folder.mkdir()
    table = as_table()
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    return f"hf:{folder}"
