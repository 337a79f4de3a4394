"""Images with boxes: sources, annotation formats, checks."""
