"""Shift invariance, with and without blurred down-sampling."""
