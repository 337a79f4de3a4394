"""Dossier: everything that is measured of one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from striate.attribution import project
from striate.errors import StriateError
from striate.units.contact_sheets import crop_of
from striate.units.filters import kernels_of
from striate.units.layers import UnitLayer, find_unit
from striate.units.maximise import Synthesis, maximise
from striate.units.network import Network
from striate.units.probe import Probe
from striate.units.reverse_correlation import SAMPLES, ReceptiveField, reverse_correlate
from striate.units.silencing import Silenced, silence
from striate.units.top_images import LayerIndex, Peak
from striate.units.tuning import UnitTuning, tune_unit
from striate.units.unit_grid import maps_of

Progress = Callable[[str], None]
WORK = 5e11  # multiply-adds that reverse correlation may take


@dataclass(frozen=True, eq=False)
class Dossier:
    """One unit: parts that need images are None without them. crops (C, h, w) and projections beside each other."""

    layer: UnitLayer
    unit: int
    kernel: Tensor | None
    image: Tensor | None
    map: Tensor | None
    index: LayerIndex | None
    peaks: list[Peak]
    crops: list[Tensor]
    projections: list[Tensor]
    unprojected: str
    tuning: UnitTuning
    noise: ReceptiveField
    synthesis: Synthesis
    silenced: Silenced | None


def project_peaks(
    network: Network, layer: UnitLayer, unit: int, peaks: Sequence[Peak], images: Tensor
) -> tuple[list[Tensor], str]:
    """The deconvnet's projection of each peak, cropped to what it sees (C, h, w); or none, and why."""
    projections = []
    producer = network.value(layer.response).producer
    assert producer is not None
    name = network.geometry.records[producer].name
    try:
        for peak in peaks:
            pixels = network.from_pixels(network.images(images[peak.image : peak.image + 1]))
            place = (peak.position[0], peak.position[1]) if len(peak.position) == 2 else None
            (one,) = project(
                network.module, pixels, name, unit, position=place, geometry=network.geometry
            )
            largest = one.pixels.abs().max().clamp(min=1e-12)
            grey = (0.5 + 0.5 * one.pixels / largest).detach().cpu().float()
            projections.append(crop_of(layer, peak, grey))
    except StriateError as error:
        return [], str(error)
    return projections, ""


def investigate(
    network: Network,
    layer: UnitLayer,
    unit: int,
    *,
    index: LayerIndex | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    classes: int = 0,
    image: Tensor | None = None,
    colours: Tensor | None = None,
    seed: int = 0,
    progress: Progress = lambda part: None,
) -> Dossier:
    """Measure everything about one unit.

    index: of its layer, with the images (N, C, H, W) of that pass; labels (N,) of them allow silencing. image
    (1, C, H, W): whose map is shown, the unit's strongest if not given. Raises UsageError for a unit that does not exist.
    """
    find_unit(layer, unit)
    kernels = kernels_of(network, layer)
    peaks = index.top(unit) if index is not None and images is not None else []
    crops: list[Tensor] = []
    projections: list[Tensor] = []
    why = ""
    if images is not None and peaks:
        progress("projecting its strongest crops")
        crops = [crop_of(layer, p, images[p.image]) for p in peaks]
        projections, why = project_peaks(network, layer, unit, peaks, images)
        if image is None:
            image = images[peaks[0].image : peaks[0].image + 1]
    probe = Probe(network, layer)
    progress("gratings and bars")
    tuning = tune_unit(probe, unit)
    progress("white noise")
    area = probe.shape[0] * probe.shape[1] / (network.size[0] * network.size[1])
    cost = max(network.geometry.known_macs * area, 1.0)
    samples = int(min(SAMPLES, max(256, WORK / cost)))
    noise = reverse_correlate(probe, unit, samples=samples, seed=seed)
    progress("synthesis")
    is_class = layer.response == network.head.response
    small = area < 0.3 or network.geometry.known_macs < 5e7
    synthesis = maximise(
        network, layer, unit, what="class" if is_class else "unit", steps=128 if small else 64,
        seeds=4 if small else 2, colours=colours, seed=seed,
    )  # fmt: skip
    silenced = None
    if (
        images is not None
        and labels is not None
        and classes > 1
        and layer.response != network.output
        and not is_class
    ):
        progress("silencing")
        silenced = silence(network, layer, unit, images, labels, classes, seed=seed)
    return Dossier(
        layer=layer, unit=unit, kernel=None if kernels is None else kernels[unit],
        image=None if image is None else network.images(image)[0],
        map=None if image is None else maps_of(network, layer, image)[unit],
        index=index, peaks=peaks, crops=crops, projections=projections, unprojected=why, tuning=tuning, noise=noise,
        synthesis=synthesis, silenced=silenced,
    )  # fmt: skip
