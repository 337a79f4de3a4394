"""Instance segmentation: a mask, a class and a score for every object."""
