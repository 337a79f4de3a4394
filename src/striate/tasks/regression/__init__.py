"""Regression: one or several numbers an image."""
