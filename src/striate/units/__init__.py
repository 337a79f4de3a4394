"""Units: what every unit of a network looks for, measured like a cell of the striate cortex.

network = Network(module, (1, 3, 224, 224), mean=..., std=...)       # a traced module
index = index_units(network, batches, classes=10)                    # one pass: top crops, sparsity, selectivity
layer = network.layer("layer1.0.conv1")
tune_unit(Probe(network, layer), 3)                                  # gratings and bars
reverse_correlate(Probe(network, layer), 3)                          # receptive field from white noise
maximise(network, layer, 3)                                          # the image that drives it most
silence(network, layer, 3, images, labels, classes=10)               # what it is for
evolve(module, snapshots.weights, images, ["layer1"])                # its features through a training
nearest(network, query, batches)                                     # neighbours in feature space
"""

from striate.units.evolution import Evolution, evolve
from striate.units.evolution_page import evolution_finding
from striate.units.filters import Filters, examine, kernels_of
from striate.units.layers import UnitLayer
from striate.units.maximise import Synthesis, maximise
from striate.units.neighbours import features, nearest
from striate.units.network import Network
from striate.units.probe import Probe
from striate.units.reverse_correlation import ReceptiveField, reverse_correlate
from striate.units.silencing import Silenced, silence
from striate.units.top_images import LayerIndex, Peak, UnitIndex, index_units
from striate.units.tuning import LayerTuning, UnitTuning, tune_layer, tune_unit

__all__ = [
    "Evolution",
    "Filters",
    "LayerIndex",
    "LayerTuning",
    "Network",
    "Peak",
    "Probe",
    "ReceptiveField",
    "Silenced",
    "Synthesis",
    "UnitIndex",
    "UnitLayer",
    "UnitTuning",
    "evolution_finding",
    "evolve",
    "examine",
    "features",
    "index_units",
    "kernels_of",
    "maximise",
    "nearest",
    "reverse_correlate",
    "silence",
    "tune_layer",
    "tune_unit",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "concept_silencing", "concepts", "contact_sheets", "dissection", "dissection_finding",
    "dossier", "dossier_finding", "fields", "filters", "fourier_image", "layers", "maximise", "neighbours", "overview",
    "probe", "top_images", "tuning",
    "unit_grid",
)  # fmt: skip
