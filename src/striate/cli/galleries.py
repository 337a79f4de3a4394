"""`striate gallery`: enrol, identify, compare, search, duplicates, forget."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from striate.cli.options import Device, Force, Format, Formats, Images, Model, Seed, app, opened

gallery = typer.Typer(
    name="gallery",
    help="Who or what is it, among images that you enrol: unknown unless a measured threshold says otherwise.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(gallery)

Place = Annotated[str, typer.Argument(metavar="GALLERY", help="The gallery's folder.")]
Whose = Annotated[
    str | None,
    typer.Option(
        "--network",
        "-n",
        metavar="RUN|SPEC",
        help="Where the network that it was made with is now, if not where it was.",
    ),
]
Points = Annotated[
    str | None,
    typer.Option(
        metavar="TABLE",
        help="Five points of each face: file, x1, y1 to x5, y5 in pixels; for a gallery of faces.",
    ),
]

Detector = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="A detect run trained on faces: where the one that cut out a gallery's faces is now.",
    ),
]


@gallery.command()
def enrol(
    place: Place,
    network: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="Whose embeddings are stored: a run's folder, or a model with weights such as efficientnet-lite0.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR",
            help="A folder with a folder of images a name, a table of files and names, or with --name an image; leave it "
            "out to choose the threshold anew.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of all of these images.")] = None,
    far: Annotated[
        float | None,
        typer.Option(help="The rate at which a stranger may be taken for somebody; 0.01 at first."),
    ] = None,
    impostors: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Images of nobody who is enrolled, by which the threshold is chosen; else the enrolled of other names.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="A column of the table: errors are shown by group too."
        ),
    ] = None,
    points: Points = None,
    impostor_points: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="As --points, of the strangers' faces."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="A detect run trained on faces: each image is cut to the one that it finds, and not aligned.",
        ),
    ] = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent",
            help="Those whose faces these are agree; asked for with --points and --detector.",
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Enrol images under their names, and choose the threshold by images of different names."""
    from striate import api
    from striate.cli.console import print_finding, progress

    with progress("embedding") as bar:
        found = api.gallery_enrol(
            place, opened(network, model), data, name=name, far=far, impostors=impostors, group=group, points=points,
            impostor_points=impostor_points, detector=detector, consent=consent, seed=seed, device=device,
            progress=lambda done, of: bar("", done, of),
        )  # fmt: skip
    print_finding(found, format)


@gallery.command()
def identify(
    place: Place,
    images: Images,
    points: Points = None,
    detector: Detector = None,
    network: Whose = None,
    device: Device = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Say who each image shows, or unknown."""
    from striate import api
    from striate.cli.predicting import print_predictions

    found = api.find_files(images)
    answers = api.gallery_identify(
        place, found, network=whose(network, model), points=points, detector=detector, device=device
    )
    print_predictions(answers, found, format)


@gallery.command()
def compare(
    place: Place,
    a: Annotated[str, typer.Argument(metavar="A", help="An image.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The image it is compared with.")],
    points: Points = None,
    detector: Detector = None,
    network: Whose = None,
    device: Device = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """Whether two images are one by the gallery's threshold, and how many impostor pairs are as alike; neither is enrolled.

    `striate compare A B` is another thing: how different two images look, and where.
    """
    from striate import api
    from striate.cli.console import print_finding

    print_finding(
        api.gallery_compare(
            place,
            a,
            b,
            network=whose(network, model),
            points=points,
            detector=detector,
            device=device,
        ),
        format,
    )


@gallery.command()
def search(
    place: Place,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="What others are to be like.")],
    top: Annotated[int, typer.Option(help="How many enrolled images are listed.")] = 10,
    points: Points = None,
    detector: Detector = None,
    network: Whose = None,
    device: Device = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """List the enrolled images that are most like one."""
    from striate import api
    from striate.cli.console import print_finding

    found = api.gallery_search(
        place,
        image,
        top=top,
        network=whose(network, model),
        points=points,
        detector=detector,
        device=device,
    )
    print_finding(found, format)


@gallery.command()
def duplicates(
    place: Place,
    images: Images,
    page: Annotated[
        str | None, typer.Option(help="Write the pairs as pictures, side by side, as .html.")
    ] = None,
    force: Force = False,
    points: Points = None,
    detector: Detector = None,
    network: Whose = None,
    seed: Seed = 0,
    device: Device = "auto",
    model: Model = None,
    format: Formats = Format.table,
) -> None:
    """List images that are near-duplicates of each other, or of an enrolled one."""
    from striate import api
    from striate.cli.console import err, print_finding, progress

    files = api.find_files(images)
    with progress("embedding") as bar:
        found = api.gallery_duplicates(
            place, files, page=page, force=force, network=whose(network, model), points=points, detector=detector, seed=seed,
            device=device, progress=lambda done, of: bar("", done, of),
        )  # fmt: skip
    if page is not None:
        err.print(f"wrote {page}", soft_wrap=True, markup=False)
    print_finding(found, format)


@gallery.command()
def forget(
    place: Place,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Who is deleted, with all their images.")
    ],
    format: Formats = Format.table,
) -> None:
    """Delete names from a gallery, and look into its files that nothing of them is left."""
    from striate import api
    from striate.cli.console import print_finding

    print_finding(api.gallery_forget(place, names), format)


def whose(network: str | None, model: str | None) -> Any:
    """The network that was named, or None for the gallery's own."""
    if network is None:
        if model is not None:
            from striate.errors import UsageError

            raise UsageError(
                "--model says what makes the network of a run; name the run too, with --network RUN"
            )
        return None
    return opened(network, model)
