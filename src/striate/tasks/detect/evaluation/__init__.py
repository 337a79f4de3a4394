"""How good detections are: matching with the truth, average precision, the kinds of errors."""
