"""Answers: what the page may ask, each the parts of an answer, made by the functions that the command line calls."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.attribution import explain, find_method
from striate.errors import StriateError, UsageError
from striate.inference.incremental import Incremental, Moving
from striate.runs.explaining import aimed, placed
from striate.studio.breaking import broken, located
from striate.studio.changes import altered, amounts_in, content_of, pasted, range_of, strides
from striate.studio.comparing import MOST, compared
from striate.studio.describing import described, of_pixels, thumbnail
from striate.studio.desk import PAUSE, Part, refuse_superseded
from striate.studio.dossiers import dossier
from striate.studio.history import confusion, filters, history, steered
from striate.studio.maps import maps_of, moved_maps
from striate.studio.numbers import box_in, text_in, whole_in
from striate.studio.reviewed import decided, refit, review
from striate.studio.scores import Scores, has_bars, refuse_other, said_of, scores_of
from striate.studio.shelf import Network, Picture, Shelf
from striate.studio.slides import Slide

SESSIONS = 2  # clean images whose activations are kept
POSITIONS = 400  # of the finest occlusion map, about
AT_ONCE = 16  # positions of a part of it: another question waits no longer than for these


class Answers:
    """Answers questions about the networks of a shelf. One thread at a time."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._sessions: OrderedDict[tuple[str, str], tuple[Incremental, Moving]] = OrderedDict()
        self._slides: dict[str, Slide] = {}
        self._kinds: dict[str, Callable[[Mapping[str, Any]], Iterator[Part]]] = {
            "networks": self.networks, "network": self.network, "picture": self.picture, "occlude": self.occlude,
            "occlusion": self.occlusion, "change": self.change, "curve": self.curve, "maps": self.maps,
            "explain": self.explain, "compare": self.compare, "presets": lambda q: iter([_windows().presets()]),
            "window": lambda q: iter([_windows().window(q)]), "pattern": lambda q: iter([_windows().pattern(q)]),
            "broken": lambda q: broken(self._network(q), q), "located": lambda q: located(self._network(q), q),
            "history": lambda q: iter([history(self._network(q))]),
            "steer": lambda q: iter([steered(self._network(q), q)]),
            "review": lambda q: review(self._network(q), q),
            "decide": lambda q: iter([decided(self._network(q), q)]),
            "refit": lambda q: iter([refit(self._network(q))]),
            "slide": lambda q: iter([(self.slide(q).header, {})]),
            "tile": lambda q: self.slide(q).tile(q),
            "predicted": lambda q: iter([self.slide(q).predicted(self._network(q), q)]),
            "filters": lambda q: iter([filters(self._network(q))]),
            "confusion": lambda q: confusion(self._network(q)),
            "dossier": lambda q: dossier(self._network(q), q),
        }  # fmt: skip

    def __call__(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """The parts of an answer. Raises UsageError for a question of no kind."""
        kind = self._kinds.get(text_in(question, "kind"))
        if kind is None:
            raise UsageError(
                f"the page asked for {question['kind']!r}, which this studio does not know; load it again"
            )
        yield from kind(question)

    def begin(self) -> None:
        """Open the first network, so that it is open when a page asks. What is wrong with it is said to the page."""
        with contextlib.suppress(StriateError):
            number = next(iter(self.shelf.networks))
            one = self.shelf.network(number)
            for _ in self.network({"network": number}):
                pass
            with torch.inference_mode():
                one.module(next(iter(one.samples.values())).image[None])

    # What there is

    def networks(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """All networks, by number."""
        networks = [{"id": n, "name": one.target} for n, one in self.shelf.networks.items()]
        slides = [{"id": n, "name": Path(one).name} for n, one in self.shelf.slides.items()]
        yield {"networks": networks, "slides": slides}, {}

    def slide(self, question: Mapping[str, Any]) -> Slide:
        """A slide by its number, opened when it is first asked for. Raises UsageError for one that was not given out."""
        number = question.get("slide")
        path = self.shelf.slides.get(number) if isinstance(number, str) else None
        if path is None:
            raise UsageError("this image is not one of those that the studio was started with")
        if path not in self._slides:
            self._slides[path] = Slide(path)
        return self._slides[path]

    def network(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """One network's layers and pictures."""
        one = self._network(question)
        pictures = [
            {"id": number, "name": p.name, "truth": p.truth}
            for number, p in (*one.samples.items(), *reversed(one.dropped.items()))
        ]
        thumbnails = {
            number: thumbnail(p.pixels)
            for number, p in (*one.samples.items(), *one.dropped.items())
        }
        shape = one.shape_of(question.get("picture"))
        yield {**described(one, shape), "pictures": pictures}, thumbnails

    def picture(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """A picture as the network reads it, and what the network says of it."""
        one, picture = self._asked(question)
        header = {"name": picture.name, "truth": picture.truth}
        said, arrays = self._said(one, picture.image)
        yield {**header, **said}, {"pixels": of_pixels(picture.pixels), **arrays}

    # What changes

    def occlude(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """What the network says with a box hidden, from what the box can change; then by a full pass, and how far apart."""
        one, picture = self._asked(question)
        box = box_in(question, picture.pixels.shape)
        content = self._content(one, picture.image, question)
        hidden = pasted(picture.image, content, box)
        pixels = {"pixels": of_pixels(_levels(hidden))}
        if (
            not one.trained.task.decides
        ):  # several tensors, such as a detector's, are not one prediction
            said, arrays = self._said(one, hidden)
            yield {**said, "box": box}, {**arrays, **pixels}
            return
        _, moving = self._session(question)
        quick = answer_of(moving.move(box, content))
        said, arrays = said_of(one, quick)
        if "layer" in question:  # the maps come along: they were computed with the answer
            told, maps = moved_maps(moving, *_layer_in(question))
            yield {**said, "box": box, "maps": told}, {**arrays, **pixels, **maps}
        else:
            yield {**said, "box": box}, {**arrays, **pixels}
        yield PAUSE
        with torch.inference_mode():
            whole = answer_of(one.module(hidden[None]))
        apart = float((whole - quick).abs().max()) / max(float(whole.std()), 1e-30)
        yield {**said, "box": box, "apart": apart}, {**arrays, **pixels}

    def occlusion(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """The drop of a class at every place of the patch, coarse to fine."""
        one, picture = self._asked(question)
        (top, bottom), (left, right) = box_in(question, picture.pixels.shape)
        content = self._content(one, picture.image, question)
        target = self._target(one, question)
        size, patch = picture.pixels.shape[1:], (bottom - top, right - left)
        session, _ = self._session(question)
        clean = session.score(target)
        known: dict[tuple[int, int], float] = {}
        for stride in strides(patch, size, POSITIONS):
            rows, columns = (
                range(0, n - p + 1, s) for n, p, s in zip(size, patch, stride, strict=True)
            )
            missing = [(r, c) for r in rows for c in columns if (r, c) not in known]
            for first in range(0, len(missing), AT_ONCE):
                places = missing[first : first + AT_ONCE]
                boxes = [((r, r + patch[0]), (c, c + patch[1])) for r, c in places]
                scores = session.scores(boxes, content, target)
                known.update(zip(places, (clean - scores).tolist(), strict=True))
                drops = np.array(
                    [[known.get((r, c), np.nan) for c in columns] for r in rows], np.float32
                )
                header = {
                    "target": target,
                    "patch": patch,
                    "stride": stride,
                    "clean": clean,
                }
                yield header, {"drops": drops}

    def change(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """The picture as the sliders stand, as the network sees it, and what it says of it."""
        one, picture = self._asked(question)
        changed = altered(picture.image, amounts_in(question.get("amounts")))
        said, arrays = self._said(one, changed)
        yield said, {**arrays, "pixels": of_pixels(_levels(changed))}

    def curve(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """A class's probability along one slider, the others as they stand, coarse to fine."""
        one, picture = self._asked(question)
        along = text_in(question, "along")
        amounts, ends = amounts_in(question.get("amounts")), range_of(along)
        target = self._target(one, question)
        known: dict[float, float] = {}
        yield PAUSE
        for count in (5, 9, 17, 33):
            for value in np.linspace(*ends, count).tolist():
                if value in known:
                    continue
                changed = altered(picture.image, {**amounts, along: value})
                known[value] = float(self._scores(one, changed).shares[target])
                points = np.array(sorted(known.items()), np.float32)
                yield {"along": along, "target": target}, {"points": points}

    # What is seen inside

    def maps(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """The maps of one layer, for the picture as it is changed now."""
        one, picture = self._asked(question)
        image = picture.image
        if "amounts" in question:
            image = altered(image, amounts_in(question["amounts"]))
        if "box" in question:
            content = self._content(one, image, question)
            image = pasted(image, content, box_in(question, picture.pixels.shape))
        yield maps_of(one, image, *_layer_in(question))

    def explain(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """Which pixels decided, by one method: the map, and after it how far it can be trusted."""
        one, picture = self._asked(question)
        method = find_method(text_in(question, "method"))
        image, target, words = self._aim(one, picture, question)
        for trust in (False, True):
            if trust:
                yield PAUSE
            found = explain(
                one.module, image, target, methods=[method], trust=trust, name=words,
                temperature=one.trained.temperature, progress=lambda *_: refuse_superseded(),
            )  # fmt: skip
            if method not in found.maps:
                raise UsageError(
                    found.refused.get(method, f"{method} cannot be used on this network")
                )
            # Of a large image the part that is enough was taken; its map is shown where it lies.
            crop = getattr(target, "crop", None) or (slice(0, None), slice(0, None))
            start = [c.start for c in crop]
            header: dict[str, Any] = {"method": method, "words": words, "start": start}
            if method in found.curves:
                header |= {
                    "faithfulness": found.curves[method].faithfulness,
                    "edges": found.curves["edges"].faithfulness,
                    "chance": found.curves["random"].faithfulness,
                    "ignores": found.ignores_weights(method),
                }
            yield header, {"map": found.maps[method].shown.to(torch.float32).numpy()}

    # Several

    def compare(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """What several networks say of the same images, and of which of them one is right and another wrong."""
        numbers = question.get("networks")
        if not isinstance(numbers, list) or not 2 <= len(numbers) <= MOST:
            raise UsageError(f"two or {MOST} networks are compared; choose them")
        yield compared({str(n): self.shelf.network(n) for n in numbers})

    # Within

    def _said(self, one: Network, image: Tensor) -> Part:
        with torch.inference_mode():
            return said_of(one, one.module(image[None]))

    def _content(self, one: Network, image: Tensor, question: Mapping[str, Any]) -> Any:
        """What hides a box of an image (C, H, W)."""
        fill = text_in(question, "fill")
        other = one.picture(text_in(question, "other")).image if fill == "picture" else None
        return content_of(image, fill, other)

    def _aim(
        self, one: Network, picture: Picture, question: Mapping[str, Any]
    ) -> tuple[Tensor, Any, str | None]:
        """The image, what is explained of it, and its words: a class, or where the question has a box, what lies there."""
        trained = one.trained
        if has_bars(one):
            return picture.image, self._target(one, question), None
        if "box" not in question:
            place, words = placed(trained, picture.image, None, None)
            return picture.image, place, words
        (top, bottom), (left, right) = box_in(question, picture.pixels.shape)
        at = (slice(top, bottom), slice(left, right))
        if trained.task.objects:
            return aimed(trained, picture.pixels, picture.pixels.shape[1:], at=at)
        place, words = placed(trained, picture.image, None, at)
        return picture.image, place, words

    def _network(self, question: Mapping[str, Any]) -> Network:
        return self.shelf.network(question.get("network"))

    def _asked(self, question: Mapping[str, Any]) -> tuple[Network, Picture]:
        one = self._network(question)
        return one, one.picture(text_in(question, "picture"))

    def _session(self, question: Mapping[str, Any]) -> tuple[Incremental, Moving]:
        """The clean image's activations, kept for the next move of the pointer."""
        one, picture = self._asked(question)
        key = (one.target, text_in(question, "picture"))
        if key not in self._sessions:
            session = Incremental(one.module, picture.image)
            self._sessions[key] = session, Moving(session)
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return self._sessions[key]

    def _target(self, one: Network, question: Mapping[str, Any]) -> int:
        refuse_other(one)
        return whole_in(question, "target", 0, len(one.trained.classes) - 1)

    def _scores(self, one: Network, image: Tensor) -> Scores:
        refuse_other(one)
        with torch.inference_mode():
            return scores_of(one, answer_of(one.module(image[None])))


def _levels(image: Tensor) -> np.ndarray:
    """(C, H, W) in [0, 1] as uint8."""
    levels: np.ndarray = (image * 255).round().to(torch.uint8).numpy()
    return levels


def _layer_in(question: Mapping[str, Any]) -> tuple[str, int]:
    """A layer and its first channel that is shown."""
    first = whole_in(question, "first", 0, 1 << 20) if "first" in question else 0
    return text_in(question, "layer"), first


def _windows() -> Any:
    from striate.studio import (
        windows,
    )  # SciPy comes with it, which takes a fifth of a second to load

    return windows
