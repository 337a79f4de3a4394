"""Lines of many widths and periods."""
