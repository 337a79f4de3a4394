"""Random detectors on random images: tiles of any size and the whole image give the same objects."""
