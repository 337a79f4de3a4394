"""The worst pairs as pictures: the most similar of different identities, and the least similar of one."""

from __future__ import annotations

import numpy as np

from striate.findings import Figure, Finding, Table
from striate.tasks.embed.findings.held import Held, written
from striate.tasks.embed.findings.sheet import Tile, sheet
from striate.wording import quoted

SHOWN = 12
TWIN = 0.999
EACH = 2  # pairs shown of the same two identities, or of one: the next ones show something else

Found = tuple[int, int, float]


def worst_pairs(held: Held) -> Finding:
    """Pairs that any threshold gets wrong first; none of which says that the label is right."""
    alike, apart = extremes(held, genuine=False), extremes(held, genuine=True)
    threshold, _ = held.in_use
    rows = []
    for kind, pairs in (("different identities", alike), ("one identity", apart)):
        for i, j, s in pairs:
            rows.append((kind, held.name(i), held.name(j), s, str(held.keys[i]), str(held.keys[j])))
    (i, j, high), (k, _, low) = alike[0], apart[0]
    # So similar where others are not, two images show the same thing, whatever their labels say.
    twins = sum(s > TWIN for _, _, s in alike) if threshold < TWIN else 0
    return Finding(
        name="worst-pairs",
        title="The pairs that it gets most wrong",
        verdict=(
            f"Most similar of different identities are images of {quoted(held.name(i))} and {quoted(held.name(j))} "
            f"({written(high)}), least similar of one are two of {quoted(held.name(k))} ({written(low)}); the threshold is "
            f"{written(threshold)}."
        ),
        status="note",
        advice=(f"{twins} pairs of different identities are as good as equal: look whether they are the same image under "
                "two names, which no network can tell apart. ") * bool(twins)
        + "Look at these first: a pair that is far on the wrong side is often a wrong label.",
        tables=(
            Table(
                columns=("pair of", "identity", "and", "similarity", "file", "and file"),
                rows=tuple(rows),
                formats=("", "", "", ".3f", "", ""),
                caption=f"In the order of the pictures; at most {EACH} of the same identities.",
            ),
        ),
        figures=(
            pictures(held, alike, genuine=False, what="Most similar pairs of different identities"),
            pictures(held, apart, genuine=True, what="Least similar pairs of one identity"),
        ),
        data={"most_similar": high, "least_similar": low, "as_good_as_equal": twins},
        seed=held.seed,
    )  # fmt: skip


def extremes(held: Held, *, genuine: bool) -> list[Found]:
    """The `SHOWN` least similar pairs of one identity, or most similar of different ones, as indices and similarity."""
    embedded = held.embedded
    many = SHOWN * 40
    best: list[np.ndarray] = []
    for start, s, same in embedded.upper():
        wanted = (same if genuine else ~same) & ~np.isnan(s)
        at = np.flatnonzero(wanted)
        values = s.ravel()[at] * (1 if genuine else -1)
        few = np.argpartition(values, many)[:many] if len(values) > many else np.arange(len(values))
        row, column = np.divmod(at[few], s.shape[1])
        best.append(np.stack((values[few], row + start, column + start)))
    together = np.concatenate(best, 1)
    chosen: list[Found] = []
    used: dict[tuple[int, int], int] = {}
    for value, i, j in together.T[np.lexsort((together[2], together[1], together[0]))]:
        a, b = int(i), int(j)
        who = (int(embedded.identity[a]), int(embedded.identity[b]))
        if used.get(who, 0) < EACH:
            used[who] = used.get(who, 0) + 1
            similarity = float(value if genuine else -value)
            chosen.append((int(embedded.order[a]), int(embedded.order[b]), similarity))
        if len(chosen) == SHOWN:
            break
    return chosen


def pictures(held: Held, pairs: list[Found], *, genuine: bool, what: str) -> Figure:
    """Two pairs a row; a cross where the threshold gets the pair wrong, a tick where it does not."""
    threshold, _ = held.in_use
    tiles = []
    for i, j, s in pairs:
        right = (s >= threshold) == genuine
        tiles.append(Tile(held.image(i), (held.name(i), str(held.keys[i])), right))
        tiles.append(Tile(held.image(j), (held.name(j), f"similarity {s:.3f}"), right))
    rows = [tiles[a : a + 6] for a in range(0, len(tiles), 6)]
    return sheet(
        rows,
        caption=f"{what}, in pairs from left to right, the worst first. Cross and vermillion: the threshold gets the pair "
        "wrong; tick and blue: right.",
        alt=f"{what}: the first has a similarity of {pairs[0][2]:.3f}.",
        first=False,
        together=2,
    )
