"""One HTML file that opens offline, from Findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from striate.findings import Finding
from striate.report.sections import cards, hero, section
from striate.report.weight import leave_out, lighten
from striate.report.wording import WORDS, prose, tie
from striate.wording import printable
from striate.writing import write_atomically

LIMIT = 5_000_000  # bytes of the whole file


def write_report(
    path: Path | str,
    findings: Sequence[Finding],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    generated: str,
) -> Path:
    """Write the findings, in their order, as one HTML file that needs nothing else; returns its
    path.

    The summary shows the first finding whose data has a `key_figure` in large type, and the most
    urgent of the others as cards. facts: short name -> value, under the title; generated: when and
    by what, in the footer. The file is at most 5 MB: pictures are made smaller until it is, and the
    footer says so. It appears whole or not at all, and loads nothing from anywhere. Raises WriteError
    if it cannot be written.
    """
    path = Path(path)
    page = render_page(findings, title=title, subtitle=subtitle, facts=facts, generated=generated)
    write_atomically(path, page)
    return path


def render_page(
    findings: Sequence[Finding],
    *,
    title: str,
    subtitle: str,
    facts: Mapping[str, str],
    generated: str,
    limit: int = LIMIT,
) -> bytes:
    """The page in UTF-8, at most `limit` bytes as long as its words alone are not more."""
    template = _template()

    def build(some: Sequence[Finding], remark: str = "") -> bytes:
        page: str = template.render(
            title=title,
            subtitle=subtitle,
            facts=dict(facts),
            generated=generated,
            remark=remark,
            style=Markup(_resource("page.css")),
            words=WORDS,
            hero=hero(some),
            cards=cards(some),
            sections=[section(f, i) for i, f in enumerate(some, 1)],
        )
        return page.encode("utf-8", "replace")  # a file name may hold bytes that are no text

    page = build(findings)
    remark = f"Pictures were made smaller to keep this file under {limit / 1e6:g} MB."
    for reduce in (lighten, leave_out):
        over = len(page) - limit
        if over > 0:
            reduced = iter(reduce([x for f in findings for x in f.figures], over + len(remark)))
            findings = [
                replace(f, figures=tuple(next(reduced) for _ in f.figures)) for f in findings
            ]
            page = build(findings, remark)
    return page


def _template() -> Template:
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_resource),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= {"tie": tie, "prose": prose}
    return environment.get_template("page.html.j2")


def _resource(name: str) -> str:
    return resources.files("striate.report").joinpath(name).read_text(encoding="utf-8")
