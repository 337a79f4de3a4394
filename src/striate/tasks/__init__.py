"""What is learned from images: a folder a task."""

# Files of this room that other rooms import from, beside the names above.
OPEN = (
    "adopting", "annotations", "around", "classify.loss", "concepts", "embed.evaluation.threshold", "embedding",
    "examples", "forward", "image_task", "metric", "mirroring", "network", "network_input", "plan", "prediction",
    "segment.data", "segment.data.source", "segment.findings.headline", "segment.loss", "segment.metrics", "table",
    "task", "tiling", "trained", "verbs", "warp",
)  # fmt: skip
