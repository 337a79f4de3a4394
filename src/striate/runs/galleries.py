"""Galleries: what a person gives, a run or a spec, paths and arrays, brought to a gallery; see `striate.gallery`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from striate.data.files import Found, find_files, find_images
from striate.errors import GalleryError, StriateError, UsageError
from striate.findings import Finding
from striate.gallery import (
    Gallery,
    Identity,
    People,
    boxes_of,
    compared,
    detector_of,
    duplicates_finding,
    find_people,
    forget,
    found_reader,
    identities,
    near_duplicates,
    refuse_other,
    refuse_other_detector,
    searched,
)
from striate.gallery import enrol as enrol_people
from striate.gallery.align import points_of
from striate.paths import given_folder, given_path
from striate.ranges import check_ranges
from striate.report import write_report
from striate.runs.opening import open_trained
from striate.runs.outputs import output_path
from striate.runs.perceptual import NETWORK
from striate.runs.record import now, versions
from striate.runs.run import Run
from striate.tasks.embedding import Embedder, Embedding
from striate.tasks.trained import Trained

Target = Run | Trained | str | Path
Count = Callable[[int, int], None]


def nothing(done: int, of: int) -> None:
    """No progress is shown."""


def gallery_enrol(
    gallery: str | Path, network: Target, data: str | Path | None = None, *, name: str | None = None,
    far: float | None = None, impostors: str | Path | None = None, group: str | None = None,
    points: str | Path | None = None, impostor_points: str | Path | None = None, detector: Target | None = None,
    consent: bool = False, seed: int = 0, device: str = "auto",
    progress: Count = nothing,
) -> Finding:  # fmt: skip
    """See `striate.api.gallery_enrol`."""
    check_ranges(seed=seed, far=far)
    path = given_folder(gallery, "the gallery")
    faces = points is not None or detector is not None
    if points is not None and detector is not None:
        raise UsageError(
            "--points align faces and a --detector cuts them out, so that they do not go together; give one"
        )
    if faces and not consent:
        raise UsageError(
            f"{'--points' if detector is None else '--detector'} enrols faces, which takes the consent of those who are "
            "seen (GDPR, Article 9), and nobody but you can have asked for it: say so with --i-have-consent, in Python "
            "consent=True"
        )
    if impostor_points is not None and impostors is None:
        raise UsageError("--impostor-points are of images of strangers; give these with --impostors DIR")  # fmt: skip
    given = faces or name is not None or group is not None
    if data is None and given and impostors is None:
        raise UsageError("a name, a group and faces belong to images; name the images to enrol")
    people = None if data is None else _people(data, name=name, group=group, points=points)
    strangers = None if impostors is None else _strangers(impostors, group, impostor_points)
    embedder = Embedder(open_trained(network), device=device)
    held = _held(path) if data is None else None  # the threshold alone: of what is there
    found = None
    if detector is not None:
        found = _detector(detector)
    elif held is not None and held.detector is not None and strangers is not None:
        found = _detector_again(held, None)
    if found is not None:
        people, strangers = (p and _with_boxes(p, found[0], device) for p in (people, strangers))
    return enrol_people(
        path, embedder, people, where=_where(network, embedder.trained), rate=far, strangers=strangers,
        faces=faces or (held is not None and held.faces), detector=found and found[1], seed=seed, progress=progress,
    )  # fmt: skip


def gallery_identify(
    gallery: str | Path, images: Any, *, network: Target | None = None, points: str | Path | None = None,
    detector: Target | None = None, device: str = "auto",
) -> Iterator[Identity]:  # fmt: skip
    """See `striate.api.gallery_identify`."""
    opened, embedder = _opened(gallery, network, device)
    found = find_images(images, numbers=embedder.trained.preprocessing.numbers)
    return identities(opened, _stream(opened, embedder, found, points, detector, device))


def gallery_compare(
    gallery: str | Path, a: Any, b: Any, *, network: Target | None = None, points: str | Path | None = None,
    detector: Target | None = None, device: str = "auto",
) -> Finding:  # fmt: skip
    """See `striate.api.gallery_compare`."""
    opened, embedder = _opened(gallery, network, device)
    first, second = (_one(opened, embedder, image, points, detector, device) for image in (a, b))
    return compared(opened, first, second)


def gallery_search(
    gallery: str | Path, image: Any, *, top: int = 10, network: Target | None = None, points: str | Path | None = None,
    detector: Target | None = None, device: str = "auto",
) -> Finding:  # fmt: skip
    """See `striate.api.gallery_search`."""
    check_ranges(top=top)
    opened, embedder = _opened(gallery, network, device)
    return searched(opened, _one(opened, embedder, image, points, detector, device), top)


def gallery_duplicates(
    gallery: str | Path, images: Any, *, page: str | Path | None = None, force: bool = False, network: Target | None = None,
    points: str | Path | None = None, detector: Target | None = None, seed: int = 0, device: str = "auto",
    progress: Count = nothing,
) -> Finding:  # fmt: skip
    """See `striate.api.gallery_duplicates`."""
    check_ranges(seed=seed)
    place = None if page is None else output_path(page, (".html",), force=force, what="--page")
    opened, embedder = _opened(gallery, network, device)
    found = find_images(images, numbers=embedder.trained.preprocessing.numbers)
    known = _faces(opened, found, points, detector, device)
    finding = duplicates_finding(opened, embedder, found, known, seed=seed, progress=progress)
    if place is not None:
        write_report(
            place, [finding], title=finding.title, subtitle=finding.verdict, facts={"gallery": str(opened.path)},
            generated=f"{now()} by Striate {versions()['striate']}",
        )  # fmt: skip
    return finding


def gallery_forget(gallery: str | Path, names: str | Sequence[str]) -> Finding:
    """See `striate.api.gallery_forget`."""
    several = [names] if isinstance(names, str) else list(names)
    if not several:
        raise UsageError("there is no name to forget; give one")
    return forget(given_folder(gallery, "the gallery"), several)


def near_in(
    source: Any,
    network: Target = NETWORK,
    *,
    seed: int = 0,
    device: str = "auto",
    progress: Count = nothing,
) -> Finding:
    """Near-duplicates between the splits of a source; see `near_duplicates`."""
    return near_duplicates(
        source,
        Embedder(open_trained(network), device=device, mirrored=True),
        seed=seed,
        progress=progress,
    )


def _people(
    data: str | Path,
    *,
    name: str | None = None,
    group: str | None = None,
    points: str | Path | None = None,
) -> People:
    table = None if points is None else given_path(points, "--points")
    return find_people(given_path(data, "the images"), name=name, group=group, points=table)


def _strangers(data: str | Path, group: str | None, points: str | Path | None) -> People:
    """Images of nobody who is enrolled: with names, which must be no enrolled ones, or loose in a folder."""
    path = given_path(data, "--impostors")
    try:
        return _people(path, group=group, points=points)
    except StriateError:
        if group is not None or not path.is_dir():
            raise
    found = find_files(path)
    keys = tuple(str(Path(f).relative_to(path)) for f in found.files)
    known = {} if points is None else points_of(given_path(points, "--impostor-points"), path, keys)
    nobody = ("",) * len(keys)
    return People(root=path, keys=keys, names=nobody, groups=nobody, faces=known)


def _opened(gallery: str | Path, network: Target | None, device: str) -> tuple[Gallery, Embedder]:
    """A gallery and the network that it was made with. Raises GalleryError where that is another, or is not there."""
    path = given_folder(gallery, "the gallery")
    opened = Gallery.open(path)
    where = opened.document["network"]["where"]
    if network is None and where is None:
        raise UsageError(
            f"{path} was made in Python with a network that has no run, {opened.document['network']['name']}; give it: "
            "network=, or on the command line --network RUN"
        )
    try:
        trained = open_trained(where if network is None else network)
    except StriateError as error:
        if network is not None:
            raise
        raise GalleryError(
            f"the network that {path} was made with cannot be opened: {error.sentence}; say where it is with --network RUN"
        ) from error
    embedder = Embedder(trained, device=device)
    refuse_other(path, opened.document, embedder)
    return opened, embedder


def _where(network: Target, trained: Trained) -> str | None:
    """By what a network is opened again: a spec, or the folder of its run."""
    if trained.run is not None:
        return str(Path(trained.run.path).resolve())
    return network if isinstance(network, str) else None


def _held(path: Path) -> Gallery | None:
    try:
        return Gallery.open(path, check=False)
    except StriateError:
        return None


def _detector(detector: Target) -> tuple[Trained, dict[str, Any]]:
    """A detector of faces, and what a gallery says of it."""
    trained = open_trained(detector)
    return trained, detector_of(trained, _where(detector, trained))


def _detector_again(gallery: Gallery, detector: Target | None) -> tuple[Trained, dict[str, Any]]:
    """The detector that cut out the faces of a gallery. Raises GalleryError where it is another, or is not there."""
    known = gallery.detector
    assert known is not None
    if detector is None and known["where"] is None:
        raise UsageError(
            f"the faces of {gallery.path} were cut out by {known['name']}, which has no run; give it: detector=, or on the "
            "command line --detector RUN"
        )
    try:
        found = _detector(known["where"] if detector is None else detector)
    except StriateError as error:
        if detector is not None:
            raise
        raise GalleryError(
            f"the detector that cut out the faces of {gallery.path} cannot be opened: {error.sentence}; say where it is "
            "with --detector RUN"
        ) from error
    refuse_other_detector(gallery.path, known, found[1])
    return found


def _with_boxes(people: People, detector: Trained, device: str) -> People:
    """The same images, with the box of the face of each."""
    files = {str(people.path(key)): key for key in people.keys}
    boxes = boxes_of(detector, Found(files=tuple(files)), device)
    return replace(people, faces={files[name]: place for name, place in boxes.items()})


def _faces(
    gallery: Gallery, found: Found, points: str | Path | None, detector: Target | None, device: str
) -> Any:  # fmt: skip
    """The five points or the box of each file of a gallery of faces; None for one of whole images."""
    if gallery.detector is not None and points is None:
        return boxes_of(_detector_again(gallery, detector)[0], found, device)
    if detector is not None:
        raise UsageError(
            f"{gallery.path} holds {gallery.holds}, so that a detector means nothing; leave --detector out"
        )
    return _points(gallery, found, points)


def _points(gallery: Gallery, found: Found, points: str | Path | None) -> Any:
    """The five points of each file of a gallery of faces; None for one of whole images."""
    aligned = gallery.faces and gallery.detector is None
    if aligned == (points is None):
        raise UsageError(
            f"{gallery.path} holds {gallery.holds}, and none are given; add --points TABLE"
            if aligned
            else f"{gallery.path} holds {gallery.holds}, so that points of faces mean nothing; leave --points out"
        )
    if points is None:
        return None
    table = given_path(points, "--points")
    root = table.resolve().parent
    resolved = {name: Path(name).resolve() for name in found.files if name not in found.arrays}
    keys = {
        name: p.relative_to(root).as_posix()
        for name, p in resolved.items()
        if p.is_relative_to(root)
    }
    known = points_of(table, root, list(keys.values()))
    return {name: known[key] for name, key in keys.items() if key in known}


def _stream(
    gallery: Gallery, embedder: Embedder, found: Found, points: str | Path | None, detector: Target | None, device: str
) -> Iterator[Embedding]:  # fmt: skip
    read = found_reader(embedder.trained, found, _faces(gallery, found, points, detector, device))
    return embedder.stream(found.files, read)


def _one(
    gallery: Gallery, embedder: Embedder, image: Any, points: str | Path | None, detector: Target | None, device: str
) -> Embedding:  # fmt: skip
    """The embedding of one image. Raises UsageError for several."""
    found = find_images(image, numbers=embedder.trained.preprocessing.numbers)
    if len(found.files) != 1:
        raise UsageError(
            f"one image at a time, got {len(found.files):,} ({found.files[0]}, ...)"
            if found.files
            else "there is no image"
        )
    return next(iter(_stream(gallery, embedder, found, points, detector, device)))
