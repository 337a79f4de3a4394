"""Gallery: enrolled images by what a network gives of each, searched exactly; who is unknown stays unknown.

    enrol(path, Embedder(trained), find_people(folder), where=...)       # a folder a name
    gallery = Gallery.open(path)                                         # mapped, checked, not copied
    identities(gallery, embedder.files(found))                           # by the threshold that the images gave

`striate gallery` and `striate.api` open the network and the files; `near_duplicates` is `striate data DIR --near`.
"""

from striate.gallery.align import align, similarity
from striate.gallery.asking import compared, forget, searched
from striate.gallery.duplicates import duplicates_finding
from striate.gallery.enrolling import enrol
from striate.gallery.faces import boxes_of, detector_of, refuse_other_detector
from striate.gallery.gallery import Gallery, refuse_other
from striate.gallery.identity import Identity, identities
from striate.gallery.near import near_duplicates
from striate.gallery.people import People, find_people
from striate.gallery.search import nearest, nearest_of
from striate.gallery.seeing import found_reader

__all__ = [
    "Gallery",
    "Identity",
    "People",
    "align",
    "boxes_of",
    "compared",
    "detector_of",
    "duplicates_finding",
    "enrol",
    "find_people",
    "forget",
    "found_reader",
    "identities",
    "near_duplicates",
    "nearest",
    "nearest_of",
    "refuse_other",
    "refuse_other_detector",
    "searched",
    "similarity",
]

# Files of this room that other rooms import from, beside the names above.
OPEN = ("align",)
