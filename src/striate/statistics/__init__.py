"""Bootstrap, intervals, paired comparison, calibration: once, for every task."""

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "bootstrap", "calibration", "clusters", "intervals", "learning_curve", "learning_drawing",
    "learning_words", "resampling", "scores", "temperature",
)  # fmt: skip
