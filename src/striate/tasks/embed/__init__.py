"""Embeddings: images of one identity lie close together, whoever it is."""
