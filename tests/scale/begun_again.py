"""A training that torchrun begins in several processes, of which process 1 is killed once: DATA OUT STEP."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from test_training_together import trained

if __name__ == "__main__":
    data, out, step = sys.argv[1:]
    first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    made = trained(out, int(step) if first else -1, {}, data)
    if "error" in made:
        sys.exit(made["error"])
