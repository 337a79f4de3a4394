"""`striate wrap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from striate.cli.options import app
from striate.errors import UsageError


@app.command()
def wrap(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:FUNCTION",
            help="What makes the network, or package.module:FUNCTION; literal arguments may follow. The file is run.",
        ),
    ],
    weights: Annotated[
        Path, typer.Option(help="The checkpoint, as any trainer saved it; nothing in it is run.")
    ],
    classes: Annotated[
        str,
        typer.Option(help="A file with one name a line, or JSON; imagenet for the usual 1,000."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder, a new one.")],
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="package.module:NAME of torchvision's weights, a JSON file of timm's data config, or SIZE/MEAN/STD such as "
            "224/0.485,0.456,0.406/0.229,0.224,0.225. ImageNet's usual if not given.",
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="What it was trained for: classify, segment.")
    ] = "classify",
    look: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGE",
            help="Show in the report what the network sees of it; may be given again.",
        ),
    ] = None,
) -> None:
    """Make a run of a network that was trained elsewhere."""
    import warnings

    from striate import api
    from striate.cli.console import err, print_path
    from striate.errors import AssumedWarning, WeightsWarning

    made = api.find_factory(factory)
    names = api.read_classes(classes)
    given = None if preprocessing is None else read_preprocessing(preprocessing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = api.wrap(made, classes=names, preprocessing=given, task=task, weights=weights)
    for one in caught:
        if issubclass(one.category, AssumedWarning | WeightsWarning):
            err.print(f"striate: {one.message}", soft_wrap=True, markup=False)
    run = api.save(trained, out, factory=factory)
    if look:
        run.add(api.network_input(trained, look))
        print_path(api.report(run))
    err.print(
        f"striate: commands on {run.path} take --model '{factory}'; in Python striate.load('{run.path}', model=...)",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    print_path(run.path)


def read_preprocessing(text: str) -> Any:
    """What `--preprocessing` names: a preset of torchvision, a file of timm's, or three things. Raises UsageError."""
    from striate import api
    from striate.documents import from_json
    from striate.files import read_regular

    path = Path(text)
    if path.suffix == ".json":
        try:
            return from_json(read_regular(path))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot read {path}: {error}; it holds timm's data config as JSON"
            ) from error
    if text.count("/") == 2 and ":" not in text:
        size, mean, std = text.split("/")
        try:
            sides = [int(n) for n in size.lower().split("x")]
            values = [[float(v) for v in part.split(",")] for part in (mean, std)]
        except ValueError as error:
            raise UsageError(
                f"--preprocessing SIZE/MEAN/STD such as 224/0.485,0.456,0.406/0.229,0.224,0.225, got {text!r}"
            ) from error
        mean_std = [v[0] if len(v) == 1 else v for v in values]
        return (sides[0] if len(sides) == 1 else sides, *mean_std)
    where, colon, name = text.rpartition(":")
    if not colon:
        raise UsageError(
            f"--preprocessing is torchvision.models:ResNet18_Weights.DEFAULT, FILE.json or SIZE/MEAN/STD, got {text!r}"
        )
    return api.find_preset(where, name)
