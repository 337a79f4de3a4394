"""`striate data` and `striate models`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.padding import Padding
from rich.progress import Progress, track

from striate.cli.console import err, out, print_csv, print_finding
from striate.documents import to_json
from striate.errors import UsageError


def data_command(
    data: str | None,
    *,
    seed: int,
    settings: Sequence[str],
    page: Path | None,
    format: str,
    task: str | None = None,
) -> None:
    """List the sources, or describe one."""
    from striate.cli.training import parse_settings
    from striate.tasks.table import recipe_for, sources, task_for

    if data is None:
        print_finding(sources(), format)
        return
    if page is not None and (page.suffix.lower() != ".html" or page.exists()):
        what = "exists; choose another name" if page.exists() else "is no .html file; name one"
        raise UsageError(f"--page writes a page of its own, and {page} {what}")
    learned = task_for(data, task)
    recipe = recipe_for(learned, {"data": data, "seed": seed, **parse_settings(settings)})
    with Progress(console=err, transient=True) as progress:
        bar = progress.add_task("reading images", total=None)
        source = learned.open(
            recipe, lambda done, total: progress.update(bar, completed=done, total=total)
        )
        checked = learned.check(source)  # refuses what cannot be trained on
        description = learned.describe(source)
    if page is not None:
        from striate.report import write_report
        from striate.runs.record import now, versions

        write_report(
            page,
            [description, checked],
            title=source.name,
            subtitle=description.verdict,
            facts={"images": f"{len(source):,}", learned.outputs[1]: f"{len(source.classes):,}"},
            generated=f"{now()} by Striate {versions()['striate']}",
        )
        err.print(f"wrote {page}", soft_wrap=True, markup=False)
    if format == "json":
        print(to_json({"data": description.to_dict(), "check": checked.to_dict()}))
        return
    print_finding(description, format)
    if format == "table":
        print_finding(checked, format)


def models_command(pattern: str | None, *, format: str) -> None:
    """List the models with their costs; timm's by name only, they are too many to build."""
    import torch

    from striate.geometry import trace
    from striate.models import MODELS, build

    if pattern is not None and pattern.startswith("timm/"):
        return timm_names(pattern.removeprefix("timm/"), format)
    names = [name for name in MODELS if pattern is None or pattern.lower() in name]
    if not names:
        raise UsageError(f"no model's name contains {pattern!r}; see `striate models`")
    rows: list[dict[str, Any]] = []
    for name in track(names, "tracing", console=err, transient=True):
        entry = MODELS[name]
        classes = 2 if entry.pixels else 1000 if entry.size[0] > 64 else 10
        with torch.device("meta"):
            module = build(name, in_channels=entry.channels, num_classes=classes)
        shape = (entry.channels, *entry.size)
        geometry = trace(module.eval(), (1, *shape))
        rows.append(
            {
                "model": name,
                "input": "x".join(map(str, shape)),
                "classes": classes,
                "parameters": geometry.total_params,
                "multiply_adds": geometry.total_macs,
                "description": entry.description,
            }
        )
    if format == "json":
        print(to_json(rows))
    elif format == "csv":
        print_csv(rows)
    else:
        models_table(rows)
        out.print(
            "[dim]Also a layer pattern such as[/dim] "
            + escape("'[[conv32-relu]*2-pool]*2-[fc128-relu]-fc'")
            + "[dim], and[/dim] timm/NAME [dim](`striate models timm/` lists the names).[/dim]"
        )


def timm_names(part: str, format: str) -> None:
    """The names of timm's models that contain `part`."""
    import timm

    names = [f"timm/{name}" for name in timm.list_models(f"*{part}*")]
    if not names:
        raise UsageError(f"no model of timm's has {part!r} in its name; see `striate models timm/`")
    if format == "json":
        print(to_json(names))
    else:
        print("\n".join((["model"] if format == "csv" else []) + names))


def models_table(rows: Sequence[dict[str, Any]]) -> None:
    """A line a model, names and numbers whole at any width; a description that finds no room stands in a line below."""
    cells = [
        (
            str(row["model"]),
            str(row["input"]).replace("x", " × "),
            f"{row['classes']:,}",
            f"{row['parameters'] / 1e6:,.2f} M",
            "–" if row["multiply_adds"] is None else f"{row['multiply_adds'] / 1e6:,.1f} M",
        )
        for row in rows
    ]
    head = ("model", "input", "classes", "parameters", "multiply-adds")
    widths = [max(len(c[i]) for c in (head, *cells)) for i in range(len(head))]
    room = out.width - sum(widths) - 2 * len(widths)

    def line(texts: Sequence[str]) -> str:
        first, *rest = texts
        parts = [t.rjust(w) for t, w in zip(rest, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *parts])

    endless = not out.is_terminal and "COLUMNS" not in os.environ  # a pipe has no width
    beside = endless or room >= max(len(str(row["description"])) for row in rows)
    out.print(f"[bold]{line(head)}[/bold]", soft_wrap=True)
    for row, texts in zip(rows, cells, strict=True):
        words = f"[dim]{escape(str(row['description']))}[/dim]"
        out.print(f"{line(texts)}  {words}" if beside else line(texts), soft_wrap=True)
        if not beside:
            out.print(Padding(words, (0, 0, 0, 2)))
