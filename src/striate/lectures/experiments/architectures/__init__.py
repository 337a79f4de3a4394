"""Architectures compared on the same images."""
