"""Multi-label classification: any number of tags an image."""
