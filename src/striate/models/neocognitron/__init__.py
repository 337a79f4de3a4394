"""The neocognitron: S cells and C cells by turns, self-organised without a teacher (Fukushima 1980)."""

from striate.models.neocognitron.cells import CLayer, SLayer
from striate.models.neocognitron.network import Neocognitron
from striate.models.neocognitron.organising import Organised, representatives, self_organise
from striate.models.neocognitron.reading import fit_readout

__all__ = [
    "CLayer",
    "Neocognitron",
    "Organised",
    "SLayer",
    "fit_readout",
    "representatives",
    "self_organise",
]
