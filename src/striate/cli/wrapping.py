"""`striate wrap`."""

from __future__ import annotations

from typing import Annotated

import typer

from striate.cli.options import app


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
        str, typer.Option(help="The checkpoint, as any trainer saved it; nothing in it is run.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="The run's folder, a new one.")],
    classes: Annotated[
        str | None,
        typer.Option(
            help="A file with one name a line, or JSON; imagenet for the usual 1,000. An embedding needs none."
        ),
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="package.module:NAME of torchvision's weights, a JSON file of timm's data config, or SIZE/MEAN/STD such as "
            "224/0.485,0.456,0.406/0.229,0.224,0.225. ImageNet's usual if not given.",
        ),
    ] = None,
    task: Annotated[
        str, typer.Option(help="What it was trained for: classify, segment, embed.")
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
    from striate.cli.console import print_path, say
    from striate.errors import AssumedWarning, WeightsWarning

    if look:
        api.find_files(look)  # a wrong path is an error before anything is made
    made = api.find_factory(factory)
    names = None if classes is None else api.read_classes(classes)
    given = None if preprocessing is None else api.read_preprocessing(preprocessing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = api.wrap(made, classes=names, preprocessing=given, task=task, weights=weights)
    for one in caught:
        if issubclass(one.category, AssumedWarning | WeightsWarning):
            say(str(one.message))
    run = api.save(trained, out, factory=factory)
    if look:
        run.add(api.network_input(trained, look))
        print_path(api.report(run))
    say(
        f"commands on {run.path} take --model '{factory}'; in Python striate.load('{run.path}', model=...)"
    )
    print_path(run.path)
