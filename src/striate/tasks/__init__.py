"""What is learned from images: a folder a task."""
