"""Accuracy against the number of training images, by what a network is told in advance."""
