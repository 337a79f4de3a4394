"""Bootstrap, intervals, paired comparison, calibration: once, for every task."""
