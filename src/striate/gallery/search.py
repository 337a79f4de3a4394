"""Search: the most similar of many unit vectors, exactly, by matrix products over pieces of mapped files.

One query reads every vector once, so that the speed of memory bounds it: each thread takes pieces whose similarities stay in
its cache, and of those only the ones that beat the best so far are kept: in nearly every piece none, which one pass for the
largest shows. Nothing approximate stands between: whoever is found is the most similar, up to the rounding of float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from striate.data.pool import workers
from striate.gallery.gallery import Gallery

PIECE = 2**23  # bytes of vectors that a thread takes at a time, for one query
SCORES = 2**24  # bytes of similarities of a piece with all queries, at most
Pieces = Iterable[tuple[int, np.ndarray]]
Mask = Callable[[int, np.ndarray], None]


def rows_of_piece(size: int, queries: int) -> int:
    """Rows that are multiplied at a time."""
    return max(16, min(PIECE // (4 * size), SCORES // (4 * max(queries, 1))))


def nearest(
    gallery: Gallery, queries: np.ndarray, count: int, *, mask: Mask | None = None, threads: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar rows of a gallery to each query, the most similar first, of equal ones the earlier row.

    queries: (Q, d) float32 of length 1. mask: changes the similarities (n, Q) of a piece in place, given its first row, such
    as to -inf for what is not to be found. Returns similarities (Q, K) and rows (Q, K) int64, K the smaller of `count` and
    the number of rows.
    """
    rows = rows_of_piece(gallery.size, len(queries))
    return nearest_of(
        gallery.blocks(rows), queries, min(count, len(gallery)), mask=mask, threads=threads
    )


def nearest_of(
    pieces: Pieces, queries: np.ndarray, count: int, *, mask: Mask | None = None, threads: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` among vectors that come in pieces (n, d), each with its first row. queries: (Q, d); results (Q, K) each."""
    queries = np.ascontiguousarray(queries, np.float32)
    # BLAS has threads of its own, for which threads of ours would wait: a product with many queries is left to it, and one
    # with a single query, which memory bounds, is a plain sum of products.
    single = len(queries) == 1
    threads = (threads or workers()) if single else 1
    shared = iter(pieces) if threads == 1 else _Shared(pieces)

    def work() -> tuple[np.ndarray, np.ndarray]:
        best = _Best(len(queries), count)
        buffer = np.empty(0, np.float32)
        for start, piece in shared:
            if single:
                if len(buffer) < len(piece):
                    buffer = np.empty(len(piece), np.float32)
                scores = buffer[: len(piece)]
                np.einsum("nd,d->n", piece, queries[0], out=scores)
                scores = scores[:, None]
            else:
                scores = piece @ queries.T
            if mask is not None:
                mask(start, scores)
            best.add(scores, start)
        return best.best()

    if threads == 1:
        found = [work()]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = [f.result() for f in [pool.submit(work) for _ in range(threads)]]
    return _merged([s for s, _ in found], [r for _, r in found], count)


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, pieces: Pieces) -> None:
        import threading

        self._pieces, self._lock = iter(pieces), threading.Lock()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        return self

    def __next__(self) -> tuple[int, np.ndarray]:
        with self._lock:
            return next(self._pieces)


class _Best:
    """The best of what was seen so far. What beats the worst of them waits until there is as much of it as is kept: so each
    is sorted a few times, however many are asked for."""

    def __init__(self, queries: int, count: int) -> None:
        self.count = count
        self._kept = [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in range(queries)]
        self._waiting: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in range(queries)]
        self._wait = np.zeros(queries, np.int64)
        self._worst = np.full(queries, -np.inf, np.float32)
        self._full = False

    def add(self, scores: np.ndarray, start: int) -> None:
        """Scores (n, Q) of the rows from `start` on."""
        if not self._full:
            part = _top(scores, min(self.count, len(scores))).T
            for q, mine in enumerate(part):
                self._put(q, scores[mine, q], mine + start)
            self._full = all(len(kept) == self.count for kept, _ in self._kept)
            return
        # Ties count too: a thread may be behind another, and the earlier row is to win when all are merged. What is
        # masked beats nothing: of a name with 10,000 images in a row it would all be merged.
        if len(self._kept) == 1 and len(scores) and scores.max() < self._worst[0]:
            return  # nearly always, and a fourth of the time of marking what is better
        better = (scores >= self._worst) & (scores > -np.inf)
        queries, at = np.nonzero(better.T)
        places = [0, *(np.flatnonzero(np.diff(queries)) + 1).tolist(), len(queries)]
        for first, last in itertools.pairwise(places if len(queries) else ()):
            q, mine = int(queries[first]), at[first:last]
            self._put(q, scores[mine, q], mine + start)

    def _put(self, q: int, scores: np.ndarray, rows: np.ndarray) -> None:
        self._waiting[q].append((scores, rows))
        self._wait[q] += len(scores)
        if self._wait[q] >= self.count:
            self._merge(q)

    def _merge(self, q: int) -> None:
        several = [self._kept[q], *self._waiting[q]]
        scores = np.concatenate([s for s, _ in several])
        rows = np.concatenate([r for _, r in several])
        order = np.lexsort((rows, -scores))[: self.count]
        self._kept[q] = scores[order], rows[order]
        self._waiting[q], self._wait[q] = [], 0
        if len(order) == self.count:
            self._worst[q] = self._kept[q][0][-1]

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores (Q, <= K) and rows (Q, <= K), the best first."""
        for q in range(len(self._kept)):
            self._merge(q)
        if not self._kept:
            return np.empty((0, self.count), np.float32), np.empty((0, self.count), np.int64)
        return np.stack([s for s, _ in self._kept]), np.stack([r for _, r in self._kept])


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    """The places (count, Q) of the largest of scores (n, Q), of equal ones the earlier."""
    return np.argsort(-scores, axis=0, kind="stable")[:count]


def _merged(
    scores: list[np.ndarray], rows: list[np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    every, place = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    order = np.lexsort((place, -every), axis=1)[:, :count]
    return np.take_along_axis(every, order, 1), np.take_along_axis(place, order, 1)
