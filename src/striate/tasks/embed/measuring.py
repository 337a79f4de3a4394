"""What is measured of held-out identities: numbers for the run, findings for the report, and whether it learned anything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from striate.errors import DataError
from striate.findings import Finding
from striate.statistics.clusters import share_of_clusters
from striate.tasks.embed.evaluation.curve import NO_SECOND, ONE_IDENTITY, curve_of
from striate.tasks.embed.evaluation.embedded import Embedded
from striate.tasks.embed.evaluation.retrieval import retrieve
from striate.tasks.embed.findings.embedding_map import embedding_map
from striate.tasks.embed.findings.headline import chance_recall, headline, is_guessing
from striate.tasks.embed.findings.held import Held
from striate.tasks.embed.findings.identities import identities
from striate.tasks.embed.findings.neighbours import neighbours
from striate.tasks.embed.findings.pairs import worst_pairs
from striate.tasks.embed.findings.verification import verification
from striate.tasks.embed.metric import nearest_is_own
from striate.wording import percent


def measures(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Measures by name of embeddings (N, d) of length 1 and identities (N,); those that they allow."""
    embedded = Embedded.of(embeddings, labels)
    found: dict[str, float] = {}
    if embedded.genuine_pairs:
        found |= {k: v.value for k, v in retrieve(embedded).scores((5, 10)).items()}
        if embedded.impostor_pairs:
            curve = curve_of(embedded)
            found |= {"equal_error_rate": curve.eer().far, "roc_auc": curve.auc}
    return found


def told(held: Held) -> Iterator[Finding]:
    """The findings, the headline first. Where no pair can be measured, one that says so."""
    try:
        yield headline(held)
    except DataError as error:
        yield Finding(
            name="headline", title="How good it is", verdict=f"Nothing could be measured: {error}.", status="problem"
        )  # fmt: skip
        return
    for tell in (verification, neighbours, worst_pairs, embedding_map, identities):
        yield tell(held)


def no_better(evidence: np.ndarray) -> str | None:
    """How recall at 1 is no better than by chance, as the end of a sentence; None where it is.

    evidence: (N, 2 * d + 1), see RecallAtOne. Raises DataError where no embeddings could be told from chance: of one
    identity, or of no two images of any.
    """
    d, labels = evidence.shape[1] // 2, evidence[:, -1].astype(np.int64)
    is_hit, asked = nearest_is_own(evidence[:, :d], evidence[:, d:-1], labels)
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if not asked.any():
        raise DataError(NO_SECOND)
    if len(counts) == 1:
        raise DataError(ONE_IDENTITY)
    recall = share_of_clusters(np.bincount(inverse, is_hit * asked), np.bincount(inverse, asked))
    chance = chance_recall(counts)
    if not is_guessing(recall, chance):
        return None
    return (
        f"recall at 1 is {percent(recall.value)} (95 % interval over identities {percent(recall.low)} to "
        f"{percent(recall.high)}), which is no better than by chance ({percent(chance)})"
    )
