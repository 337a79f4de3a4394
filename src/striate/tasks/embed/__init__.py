"""An embedding an image: near for images of one identity, far for others."""
