"""A gallery: enrolled, asked, forgotten; altered ones are refused, and whatever ends a change leaves the former state."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from identities import face, network, write
from PIL import Image

import striate
from striate import api, writing
from striate.errors import DataError, GalleryError, UsageError, WriteError
from striate.gallery import Gallery, changing, part
from striate.gallery import gallery as gallery_file
from striate.gallery.changing import changing as changed
from striate.gallery.document import FILE, written


def enrol(tmp_path: Path, trained: striate.Trained, data: Path | None, **more: Any) -> Gallery:
    api.gallery_enrol(tmp_path / "g", trained, data, **more)
    return Gallery.open(tmp_path / "g")


def state(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_enrolled_people_are_known_and_strangers_are_unknown(
    tmp_path: Path, trained: striate.Trained
) -> None:
    data = write(tmp_path / "people", range(12), 4)
    gallery = enrol(tmp_path, trained, data, far=0.1)
    assert len(gallery) == 48 and gallery.names == tuple(f"person{i}" for i in range(12))
    probes = [face(i, 90) for i in range(12)]
    found = list(api.gallery_identify(tmp_path / "g", probes, network=trained))
    assert [one.name for one in found] == list(gallery.names)
    strangers = [face(500 + i, 0) for i in range(60)]
    answers = list(api.gallery_identify(tmp_path / "g", strangers, network=trained))
    assert sum(one.name is not None for one in answers) <= 15  # 10 % were asked for
    unknown = next(one for one in answers if one.name is None)
    assert unknown.reason and unknown.document()["name"] is None
    assert "person" not in json.dumps(unknown.document())  # no stranger is given somebody's name
    assert unknown.rows()[0]["name"] == "unknown"


def test_unknown_is_the_answer_where_no_threshold_could_be_chosen(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    gallery = enrol(tmp_path, trained, people)
    assert gallery.threshold["identify"] is None
    (same,) = api.gallery_identify(tmp_path / "g", face(0, 0), network=trained)
    assert same.name is None and same.similarity == pytest.approx(1, abs=1e-5)
    assert "takes 300 strangers, and there are 12" in same.reason
    assert "--impostors" in same.reason and "--far 0.25" in same.reason


def test_one_image_enrols_and_one_name_knows_nothing_of_strangers(
    tmp_path: Path, trained: striate.Trained
) -> None:
    Image.fromarray(face(0, 0)).save(tmp_path / "one.png")
    gallery = enrol(tmp_path, trained, tmp_path / "one.png", name="anna")
    assert gallery.names == ("anna",) and len(gallery) == 1
    (same,) = api.gallery_identify(tmp_path / "g", tmp_path / "one.png", network=trained)
    assert same.name is None and "one name is enrolled" in same.reason
    others = write(tmp_path / "others", range(100, 140), 3)
    gallery = enrol(tmp_path, trained, None, impostors=others, far=0.05)
    assert gallery.threshold["source"].endswith("others")
    assert gallery.threshold["identify"]["pairs"] == 120
    (same,) = api.gallery_identify(tmp_path / "g", tmp_path / "one.png", network=trained)
    assert same.name == "anna"


def test_a_rate_that_the_pairs_do_not_resolve_is_refused_and_nothing_is_made(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"1e-06 cannot be measured with 54 impostor pairs: that takes 3,000"
    ):
        enrol(tmp_path, trained, people, far=1e-6)
    assert not (tmp_path / "g").exists()
    enrol(tmp_path, trained, people)
    before = state(tmp_path / "g")
    with pytest.raises(UsageError, match="cannot be measured"):
        enrol(tmp_path, trained, write(tmp_path / "more", [9]), far=1e-6)
    assert state(tmp_path / "g") == before
    for far in (0, -1, 1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="far"):
            enrol(tmp_path, trained, people, far=far)


def test_the_same_image_twice_is_enrolled_once_and_of_two_names_refused(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    found = api.gallery_enrol(tmp_path / "g", trained, people)
    assert found.data["again"] == 12 and found.data["enrolled"] == 0
    assert len(Gallery.open(tmp_path / "g")) == 12
    before = state(tmp_path / "g")
    other = tmp_path / "other" / "eve"
    other.mkdir(parents=True)
    image = Image.open(people / "person1" / "0.png")
    image.save(other / "renamed.bmp")  # another file of the same pixels
    with pytest.raises(
        DataError, match=r"renamed\.bmp of 'eve' and person1/0\.png of 'person1' are the same"
    ):
        enrol(tmp_path, trained, tmp_path / "other")
    assert state(tmp_path / "g") == before
    shutil.copytree(other, tmp_path / "twice" / "eve")
    shutil.copytree(other, tmp_path / "twice" / "mallory")
    with pytest.raises(DataError, match="cannot be of two names"):
        api.gallery_enrol(tmp_path / "new", trained, tmp_path / "twice")
    assert not (tmp_path / "new").exists()


def test_unreadable_and_blank_images_are_named_and_left_out(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    (people / "person0" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (20, 20), (9, 9, 9)).save(people / "person0" / "blank.png")
    found = api.gallery_enrol(tmp_path / "g", trained, people)
    left = {entry["path"]: entry["error"] for entry in found.data["left_out"]}
    assert set(left) == {"person0/cut.png", "person0/blank.png"}
    assert "single colour" in left["person0/blank.png"]
    (blank,) = api.gallery_identify(tmp_path / "g", people / "person0" / "blank.png", network=trained)  # fmt: skip
    assert blank.name is None and "single colour" in str(blank.error)
    alone = tmp_path / "alone" / "x"
    alone.mkdir(parents=True)
    shutil.copy(people / "person0" / "blank.png", alone)
    with pytest.raises(DataError, match=r"none of 1 image can be enrolled: .*single colour"):
        api.gallery_enrol(tmp_path / "new", trained, tmp_path / "alone")
    assert not (tmp_path / "new").exists()


def test_another_network_s_gallery_is_refused(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    before = state(tmp_path / "g")
    other = network(1)
    moved = replace(trained, preprocessing=replace(trained.preprocessing, fit="pad"))
    for wrong, words in ((other, "other weights"), (moved, "another preprocessing")):
        with pytest.raises(GalleryError, match=words):
            next(iter(api.gallery_identify(tmp_path / "g", face(0, 0), network=wrong)))
        with pytest.raises(GalleryError, match=words):
            enrol(tmp_path, wrong, people)
    trained.model[4] = __import__("torch").nn.ReLU()  # type: ignore[index]
    with pytest.raises(GalleryError, match="its code has changed"):
        api.gallery_search(tmp_path / "g", face(0, 0), network=trained)
    with pytest.raises(UsageError, match="made in Python with a network that has no run"):
        api.gallery_search(tmp_path / "g", face(0, 0))
    assert state(tmp_path / "g") == before


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_anywhere_is_refused(
    tmp_path: Path, trained: striate.Trained, people: Path, seed: int
) -> None:
    enrol(tmp_path, trained, people)
    rng = np.random.default_rng(seed)
    file = sorted((tmp_path / "g").iterdir())[seed % 2]
    data = file.read_bytes()
    file.write_bytes(_flip(data, int(rng.integers(len(data)))))
    with pytest.raises(GalleryError, match=rf"{file.name}.*altered"):
        Gallery.open(tmp_path / "g")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("parts"), "parts is missing"),
        (lambda d: d.update(format=99), "of a later version"),
        (lambda d: d.update(format="1"), "format must be a whole number"),
        (lambda d: d["parts"][0].update(file="../../etc/passwd"), "must be the name of a part"),
        (lambda d: d["parts"].append(d["parts"][0]), "names a file twice"),
        (lambda d: d["parts"][0].update(rows=3), "not 3 of 64"),
        (lambda d: d["network"].update(size=10**9), "size must lie between"),
        (lambda d: d["network"].update(pattern=["x"]), "must hold a number"),
        (lambda d: d["threshold"].update(identify={"value": 5}), "value must lie between|is missing"),
        (lambda d: d["threshold"]["impostors"]["bins"].pop(), "a count for each bin"),
        (lambda d: d.update(extra=1), "no key that Striate writes"),
        (lambda d: d.update(threshold=[]), "must be a table"),
    ],
)  # fmt: skip
def test_a_document_that_was_altered_and_signed_anew_is_refused(
    tmp_path: Path, trained: striate.Trained, people: Path, change: Any, words: str
) -> None:
    enrol(tmp_path, trained, people)
    file = tmp_path / "g" / FILE
    document = json.loads(file.read_text())
    change(document)
    file.write_bytes(written(document))
    with pytest.raises(GalleryError, match=words) as caught:
        Gallery.open(tmp_path / "g")
    assert "\n" not in str(caught.value)


def test_a_part_that_was_made_up_and_signed_is_refused(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    """Vectors that are no unit vectors would reach any threshold."""
    enrol(tmp_path, trained, people)
    folder = tmp_path / "g"
    document = json.loads((folder / FILE).read_text())
    file = folder / document["parts"][0]["file"]
    whole = part.Part(file).rows(np.arange(12))
    for vectors in (whole.vectors * 1000, whole.vectors * np.nan, whole.vectors[:, :10]):
        data = part.encoded(replace(whole, vectors=vectors))
        digest = hashlib.sha256(data).hexdigest()
        file.write_bytes(data)
        document["parts"][0]["sha256"] = digest
        (folder / FILE).write_bytes(written(document))
        with pytest.raises(GalleryError, match=r"squared length|of 10 numbers"):
            Gallery.open(folder)


def test_what_is_no_gallery_says_so(tmp_path: Path, trained: striate.Trained, people: Path) -> None:
    with pytest.raises(UsageError, match="there is no gallery at"):
        api.gallery_search(tmp_path / "none", face(0, 0), network=trained)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file, and a gallery is a folder"):
        api.gallery_search(tmp_path / "file", face(0, 0), network=trained)
    with pytest.raises(UsageError, match=r"has no gallery\.json"):
        api.gallery_search(people, face(0, 0), network=trained)
    with pytest.raises(UsageError, match="holds something else than a gallery"):
        api.gallery_enrol(people, trained, people)
    with pytest.raises(UsageError, match="there is nothing at"):
        api.gallery_enrol(tmp_path / "g", trained, tmp_path / "none")
    (tmp_path / "empty" / "anna").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no image"):
        api.gallery_enrol(tmp_path / "g", trained, tmp_path / "empty")
    assert not (tmp_path / "g").exists() and not (tmp_path / "none").exists()


NAMES = (
    "a\nforged: b",
    "a\x1b[2Jb",
    "../../outside",
    "/etc/passwd",
    "a\u202eb",
    "anna " * 40,
    "=1+1",
    "0",
    "{}",
)


def test_names_are_texts_and_never_places(tmp_path: Path, trained: striate.Trained) -> None:
    Image.fromarray(face(0, 0)).save(tmp_path / "one.png")
    for i, name in enumerate(NAMES):
        Image.fromarray(face(i, 0)).save(tmp_path / "one.png")
        enrol(tmp_path, trained, tmp_path / "one.png", name=name)
    gallery = Gallery.open(tmp_path / "g")
    assert set(gallery.names) == set(NAMES)
    assert {p.name for p in tmp_path.iterdir()} == {"g", "one.png"}
    for name in ("", "  ", "Unknown", "UNKNOWN ", "x" * 2000):
        with pytest.raises(UsageError, match="name"):
            enrol(tmp_path, trained, tmp_path / "one.png", name=name)
    api.gallery_forget(tmp_path / "g", NAMES[0])
    assert NAMES[0] not in Gallery.open(tmp_path / "g").names


@pytest.mark.parametrize("at_once", [1000, 3])
def test_nothing_of_a_forgotten_name_is_left_in_any_file(
    tmp_path: Path, trained: striate.Trained, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "SMALL", 0 if at_once == 3 else 4096)
    data = write(tmp_path / "people", range(6), 3)
    (data / "person3").rename(data / "Zacharias Quux")
    if at_once == 3:  # a part each
        for folder in sorted(data.iterdir()):
            gallery = enrol(tmp_path, trained, folder, name=folder.name)
    else:
        gallery = enrol(tmp_path, trained, data)
    rows = [r for r in range(len(gallery)) if gallery.name_of(r) == "Zacharias Quux"]
    patterns = [gallery.vectors(np.array([r]))[0].tobytes() for r in rows]
    patterns += [gallery.place(r)[0].content[gallery.place(r)[1]].tobytes() for r in rows]
    patterns += [b"Zacharias", b"Quux"]
    kept = {
        gallery.vectors(np.array([r]))[0].tobytes() for r in range(len(gallery)) if r not in rows
    }
    files = list((tmp_path / "g").iterdir())
    assert all(any(p in f.read_bytes() for f in files) for p in patterns)
    (tmp_path / "g" / f"part-{'0' * 16}.safetensors").write_bytes(b"".join(patterns))
    (tmp_path / "g" / ".striate-1-00.part").write_bytes(b"".join(patterns))
    found = api.gallery_forget(tmp_path / "g", "Zacharias Quux")
    assert found.data["images"] == 3 and found.status == "good"
    for file in (tmp_path / "g").rglob("*"):
        data_left = file.read_bytes()
        assert not any(p in data_left for p in patterns), file
    after = Gallery.open(tmp_path / "g")
    assert {after.vectors(np.array([r]))[0].tobytes() for r in range(len(after))} == kept
    assert len(after) == 15 and "Zacharias Quux" not in after.names


def test_forgetting_says_what_it_cannot_do(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    before = state(tmp_path / "g")
    with pytest.raises(UsageError, match=r"'nobody\\nforged' is not enrolled"):
        api.gallery_forget(tmp_path / "g", "nobody\nforged")
    with pytest.raises(UsageError, match="nobody would be left"):
        api.gallery_forget(tmp_path / "g", [f"person{i}" for i in range(4)])
    with pytest.raises(UsageError, match="no name"):
        api.gallery_forget(tmp_path / "g", [])
    assert state(tmp_path / "g") == before
    holder = tmp_path / "g" / "note.txt"  # somebody's own, in which it stands
    gallery = Gallery.open(tmp_path / "g")
    holder.write_bytes(gallery.vectors(np.array([0])).tobytes())
    with pytest.raises(GalleryError, match=r"note\.txt still holds"):
        api.gallery_forget(tmp_path / "g", gallery.name_of(0))


def test_two_processes_at_once_and_leftovers(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    before = state(tmp_path / "g")
    with (
        changed(tmp_path / "g"),
        pytest.raises(WriteError, match="is being written by another process"),
    ):
        enrol(tmp_path, trained, write(tmp_path / "more", [7]))
    assert state(tmp_path / "g") == before
    (api.gallery_search(tmp_path / "g", face(0, 0), network=trained))
    orphan = tmp_path / "g" / f"part-{'a' * 16}.safetensors"
    orphan.write_bytes(b"left by a killed process")
    enrol(tmp_path, trained, write(tmp_path / "more", [7]))
    assert not orphan.exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("nth", range(1, 4))
def test_what_ends_a_change_leaves_the_former_state(
    tmp_path: Path, trained: striate.Trained, people: Path, stop: Any, nth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """At the nth file that is put in its place: the parts come first, the document last."""
    enrol(tmp_path, trained, people)
    before, calls, put = state(tmp_path / "g"), [0], os.replace

    def stopping(source: Any, target: Any) -> None:
        calls[0] += 1
        if calls[0] == nth:
            raise stop
        put(source, target)

    monkeypatch.setattr(changing, "SMALL", 0)
    monkeypatch.setattr(changing, "rows_at_once", lambda size: 3)
    monkeypatch.setattr(writing.os, "replace", stopping)
    more = write(tmp_path / "more", [7, 8])
    with pytest.raises((KeyboardInterrupt, WriteError)):
        enrol(tmp_path, trained, more)
    assert state(tmp_path / "g") == before
    monkeypatch.setattr(writing.os, "replace", put)
    assert len(enrol(tmp_path, trained, more)) == 18


def test_small_parts_are_put_together_and_large_ones_stay(
    tmp_path: Path, trained: striate.Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        gallery = enrol(tmp_path, trained, write(tmp_path / f"p{i}", [i]))
    assert len(gallery.parts) == 1 and len(gallery) == 15
    kept = (tmp_path / "g" / gallery.document["parts"][0]["file"]).stat().st_ino
    monkeypatch.setattr(changing, "SMALL", 10)
    gallery = enrol(tmp_path, trained, write(tmp_path / "p9", [9]))
    assert [len(p) for p in gallery.parts] == [15, 3]
    assert (tmp_path / "g" / gallery.document["parts"][0]["file"]).stat().st_ino == kept


def test_compare_says_how_many_impostors_are_as_alike(
    tmp_path: Path, trained: striate.Trained
) -> None:
    gallery = enrol(tmp_path, trained, write(tmp_path / "people", range(12), 4), far=0.1)
    vectors = gallery.vectors(np.arange(48)).astype(float)
    names = [gallery.name_of(i) for i in range(48)]
    pairs = [vectors[i] @ vectors[j] for i in range(48) for j in range(i) if names[i] != names[j]]
    found = api.gallery_compare(tmp_path / "g", face(0, 90), face(1, 90), network=trained)
    reach = found.data["impostors"]
    exactly = sum(p >= found.data["similarity"] for p in pairs)
    assert reach["pairs"] == len(pairs) and exactly <= reach["reach"] <= exactly + 12
    assert reach["low"] <= exactly / len(pairs) <= reach["high"]
    same = api.gallery_compare(tmp_path / "g", face(0, 90), face(0, 91), network=trained)
    assert same.data["same"] is True and same.data["similarity"] > found.data["similarity"]
    with pytest.raises(UsageError, match="one image at a time, got 2"):
        api.gallery_compare(tmp_path / "g", [face(0, 0), face(1, 0)], face(0, 0), network=trained)


def test_a_table_names_images_and_groups(tmp_path: Path, trained: striate.Trained) -> None:
    write(tmp_path / "images", range(20), 4)
    lines = ["file,person,lab"]
    for i in range(20):
        lab = "north" if i % 2 else "south"
        lines += [f"images/person{i}/{k}.png,who {i},{lab}" for k in range(4)]
    (tmp_path / "who.csv").write_text("\n".join([*lines, "images/none.png,x,north"]))
    found = api.gallery_enrol(tmp_path / "g", trained, tmp_path / "who.csv", group="lab", far=0.05)
    gallery = Gallery.open(tmp_path / "g")
    assert "who 3" in gallery.names and len(gallery) == 80
    groups = {g["group"]: g for g in gallery.threshold["groups"]}
    assert set(groups) == {"north", "south"} and groups["north"]["strangers"] == 40
    assert groups["north"]["pairs"] == 40 * 36 // 2
    taken = sum(g["taken"] for g in groups.values())
    assert taken == gallery.threshold["identify"]["accepted"]
    value, x = gallery.threshold["identify"]["value"], gallery.vectors(np.arange(80)).astype(float)
    who = [gallery.name_of(i) for i in range(80)]
    best = [max(x[i] @ x[j] for j in range(80) if j != i and who[j] == who[i]) for i in range(80)]
    assert found.data["own"]["reached"] == sum(b >= value for b in best)
    by_group = found.data["own_by_group"]
    assert by_group["north"]["of"] == by_group["south"]["of"] == 40
    assert sum(g["reached"] for g in by_group.values()) == found.data["own"]["reached"]
    assert any("none.png" in note for note in found.data["remarks"])
    with pytest.raises(DataError, match="no column 'town'; it has file, person, lab"):
        api.gallery_enrol(tmp_path / "n", trained, tmp_path / "who.csv", group="town")
    (tmp_path / "who.csv").write_text("file,person\nimages/person0/0.png,a\nimages/person0/0.png,b\n")  # fmt: skip
    with pytest.raises(DataError, match="given the names 'a' and 'b'"):
        api.gallery_enrol(tmp_path / "n", trained, tmp_path / "who.csv")


def test_strangers_who_are_enrolled_are_refused(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    with pytest.raises(UsageError, match="'person0' is enrolled and is among the strangers"):
        enrol(tmp_path, trained, None, impostors=people)
    loose = tmp_path / "loose"
    loose.mkdir()
    shutil.copy(people / "person2" / "1.png", loose / "a.png")
    with pytest.raises(UsageError, match=r"is enrolled as 'person2' \(person2/1\.png\)"):
        enrol(tmp_path, trained, None, impostors=loose)


def test_duplicates_among_files_and_of_enrolled_images(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    new = tmp_path / "new"
    new.mkdir()
    for i in range(30):
        Image.fromarray(face(50 + i, 0)).save(new / f"{i}.png")
    copy = face(50, 0)
    copy[0, 0] ^= 3
    Image.fromarray(copy).save(new / "copy.png")
    shutil.copy(people / "person1" / "0.png", new / "known.png")
    found = api.gallery_duplicates(tmp_path / "g", new, network=trained, page=tmp_path / "p.html")
    pairs = [{Path(p).name for p in pair["images"]} for pair in found.data["pairs"]]
    assert {"0.png", "copy.png"} in pairs
    assert [(Path(e["image"]).name, e["name"]) for e in found.data["enrolled"]] == [
        ("known.png", "person1")
    ]
    assert (tmp_path / "p.html").stat().st_size > 1000 and found.figures


def test_a_part_whose_header_was_made_up_is_refused_in_one_sentence(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    file = next((tmp_path / "g").glob("part-*"))
    good = file.read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    start, end = header["paths_end"]["data_offsets"]
    last = good[8 + length + end - 8 : 8 + length + end]
    body = good[8 + length : 8 + length + start] + last + good[8 + length + end :]
    for entry in header.values():
        at = entry["data_offsets"]
        entry["data_offsets"] = [v - (end - start - 8) if v >= end else v for v in at]
    header["paths_end"]["shape"] = []
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(GalleryError, match="paths_end has the shape"):
        Gallery.open(tmp_path / "g")


def test_a_network_that_gives_nothing_for_the_pattern_knows_its_gallery_again(
    tmp_path: Path, trained: striate.Trained, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        gallery_file, "_pattern", lambda embedder: torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    )
    enrol(tmp_path, trained, people)
    assert api.gallery_search(tmp_path / "g", people / "person1" / "0.png", network=trained).data[
        "found"
    ]


def test_a_picture_of_an_enrolled_image_is_that_image_or_none(
    tmp_path: Path, trained: striate.Trained, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are kept as they were below the folder that was enrolled; elsewhere others may lie there."""
    enrol(tmp_path, trained, people)
    for name in ("new", "empty", "other/person1"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(people / "person1" / "0.png", tmp_path / "new" / "known.png")
    Image.fromarray(face(9, 9)).save(tmp_path / "other" / "person1" / "0.png")
    pictures = []
    for place in (tmp_path / "empty", tmp_path / "other", people, tmp_path):
        monkeypatch.chdir(place)
        found = api.gallery_duplicates(tmp_path / "g", tmp_path / "new", network=trained)
        assert [e["enrolled"] for e in found.data["enrolled"]] == ["person1/0.png"]
        pictures.append(found.figures[0].content)
    # In the folder above as well, in whose folders it is looked for.
    assert pictures[0] == pictures[1] != pictures[2] == pictures[3]


def test_a_single_file_is_no_near_duplicate_of_somebody_else(
    tmp_path: Path, trained: striate.Trained
) -> None:
    enrol(tmp_path, trained, write(tmp_path / "people", range(30)))
    (tmp_path / "new").mkdir()
    Image.fromarray(face(70, 0)).save(tmp_path / "new" / "stranger.png")
    found = api.gallery_duplicates(tmp_path / "g", tmp_path / "new", network=trained)
    assert not found.data["enrolled"] and found.data["threshold"] > 0.5


def test_where_no_image_can_be_used_nothing_is_enrolled_into_a_gallery_that_is_there(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    enrol(tmp_path, trained, people)
    before = state(tmp_path / "g")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of 1 image can be enrolled"):
        api.gallery_enrol(tmp_path / "g", trained, tmp_path / "broken.png", name="anna")
    assert state(tmp_path / "g") == before


def test_a_table_has_no_single_name(tmp_path: Path, trained: striate.Trained, people: Path) -> None:
    (tmp_path / "t.csv").write_text("file,name\npeople/person0/0.png,anna\n")
    with pytest.raises(UsageError, match="is a table, which names each of its files"):
        enrol(tmp_path, trained, tmp_path / "t.csv", name="bert")
    assert not (tmp_path / "g").exists()


def test_strangers_who_no_longer_count_are_spoken_of(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    others = write(tmp_path / "others", range(100, 110), 3)
    api.gallery_enrol(tmp_path / "g", trained, people, impostors=others, far=0.2)
    found = api.gallery_enrol(tmp_path / "g", trained, write(tmp_path / "more", [9]))
    assert Gallery.open(tmp_path / "g").threshold["source"] is None
    [note] = [note for note in found.data["remarks"] if "strangers in" in note]
    assert f"--impostors {others}" in note
    again = api.gallery_enrol(tmp_path / "g", trained, write(tmp_path / "again", [8]))
    assert not any("strangers in" in note for note in again.data["remarks"])


def test_files_in_folders_of_the_gallery_are_searched_too(
    tmp_path: Path, trained: striate.Trained, people: Path
) -> None:
    gallery = enrol(tmp_path, trained, people)
    (tmp_path / "g" / "old").mkdir()
    copy = tmp_path / "g" / "old" / "backup.bin"
    copy.write_bytes(b"x" + gallery.vectors(np.array([0])).tobytes())
    with pytest.raises(GalleryError, match=r"backup\.bin still holds what was to be forgotten"):
        api.gallery_forget(tmp_path / "g", gallery.name_of(0))
