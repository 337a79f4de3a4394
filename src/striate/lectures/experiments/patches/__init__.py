"""Patches, their size, their order, and shifts of less than one."""
