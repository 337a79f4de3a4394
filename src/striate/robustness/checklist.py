"""The checklist of lecture 003: what to do when training a large system, from whatever findings there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from striate.findings import Cell, Finding, Table

# Lecture 003, "Analysis to run when training a large system" and "Other good things to know".
ITEMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Training and evaluation", ("headline", "training-curves", "per-class"), "striate train DATA"),
    ("Confidence", ("probe-calibration", "calibration"), "striate probe RUN calibration"),
    ("Visualise the network", ("filters", "selective-units", "dead-units"), "striate units RUN"),
    ("Understand its predictions", ("explanations", "mistakes"), "striate explain RUN IMAGE"),
    ("Out of domain", ("probe-domain",), "striate probe RUN domain --against FOLDER"),
    ("Corrupted images", ("probe-corruption",), "striate probe RUN corruption"),
    ("Invariance", ("probe-shift", "probe-rotation", "probe-scale", "probe-flip"), "striate probe RUN shift scale flip"),
    ("Objects small, crowded and cut", ("probe-size", "probe-crowding", "probe-truncation"),
     "striate probe RUN size crowding truncation"),
    ("Similarity under changes", ("probe-similarity",), "striate probe RUN similarity"),
    ("Vulnerability: strangers", ("probe-stranger",), "striate probe RUN stranger"),
    ("Vulnerability: waves", ("probe-spectrum",), "striate probe RUN spectrum"),
    ("Vulnerability: attack", ("probe-attack",), "striate probe RUN attack"),
    ("Vulnerability: shortcuts", ("probe-shortcuts",), "striate probe RUN shortcuts"),
    ("Gradients checked numerically", ("diagnose-gradients",), "striate diagnose RUN gradients"),
    ("Hidden units sparse and uncorrelated", ("diagnose-activations",), "striate diagnose RUN activations"),
    ("Filters with structure", ("diagnose-filters",), "striate diagnose RUN filters"),
)  # fmt: skip
URGENT = {"problem": 3, "warning": 2, "note": 1, "good": 0}


def checklist(findings: Sequence[Finding], probes: Collection[str] | None = None) -> Finding:
    """Each item of lecture 003's list: done or not, what was found, and what to do next; the report's last page.

    probes: those that the network's task has; all if not given. Items that only others could do are left out.
    """
    known = {f.name: f for f in findings}
    rows: list[tuple[Cell, ...]] = []
    open_: list[str] = []
    worst: list[tuple[int, str, Finding]] = []
    items = [
        item
        for item in ITEMS
        if probes is None
        or any(n.removeprefix("probe-") in probes or not n.startswith("probe-") for n in item[1])
    ]
    for item, names, command in items:
        here = [known[n] for n in names if n in known]
        if not here:
            open_.append(item)
            rows.append((item, "no", None, f"Run `{command}`."))
            continue
        most = max(here, key=lambda f: URGENT[f.status])
        worst.append((URGENT[most.status], item, most))
        rows.append((item, "yes", most.verdict, most.advice or "Nothing to do."))
    verb = "is" if len(items) - len(open_) == 1 else "are"
    verdict = f"{len(items) - len(open_)} of {len(items)} things to do for a network that matters {verb} done"
    pressing = sorted((w for w in worst if w[0] >= 2), key=lambda w: -w[0])
    if pressing:
        verdict += f"; look first at {', '.join(w[1].lower() for w in pressing[:3])}"
    if open_:
        verdict += f"; open: {', '.join(o.lower() for o in open_[:3])}{' and others' if len(open_) > 3 else ''}"
    return Finding(
        name="checklist",
        title="Checklist: before this network is relied on",
        verdict=f"{verdict}.",
        status="warning" if pressing else "note" if open_ else "good",
        advice=pressing[0][2].advice if pressing else "",
        tables=(
            Table(columns=("what", "done", "finding", "advice"), rows=tuple(rows),
                  caption="Train and evaluate, visualise and understand, test out of domain, identify vulnerability."),
        ),
        data={"done": [r[0] for r in rows if r[1] == "yes"], "open": open_},
    )  # fmt: skip
