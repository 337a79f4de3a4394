"""Occlusion maps: Captum, a tuned batched loop and Striate in turn, on the same network and image.

    python benchmarks/occlusion.py [--models vgg16,resnet18,resnet50,densenet121] [--rounds 5] [--precision fp32|bf16]
                                   [--captum-rounds 1] [--size 224] [--positions N] [--append FILE] [--json]
    python benchmarks/occlusion.py --summarise FILE [--json]

torchvision's networks with random weights, their batch norms settled on noise; an image of noise; a patch of 16 pixels
every 8 (729 positions at 224x224), filled with zeros; the score is one logit. Each contestant is a process of its own
that stays alive; they take turns, one map each a round, and ratios are taken within a round. Timed is the whole call,
from module and image to map. Everyone has drawn the map of a small image before the first round. Two threads.

captum: `captum.attr.Occlusion` with 16 perturbations a forward pass. It can take minutes, so it takes part in the first
`--captum-rounds` rounds only. Its result, for each pixel an average over the patches that hide it, is compared with the
same average of the loop's.
loop: changed images in batches, inference mode, channels-last module and images, large buffers kept between batches
(`striate.memory`); the fastest of the batches 4, 8, 16 and 32 for this network, found before the first round.
striate: `striate.occlusion`.

--precision bf16: Striate, and a second loop, in bfloat16; Captum and the loop that differences are taken from stay in
float32. --positions: the first N positions only, without Captum: a quick look. --append: every finished round is a line
of JSON behind those in FILE, so that a measurement can be taken in several calls; the loop then keeps the batch that
it found in the first of them. --summarise: the table over all rounds of FILE. A round in which any contestant took more
than 1.25 times its own least is dropped (`rounds.py`). Printed are seconds, ratios, the largest difference from the
loop's map, and the arithmetic bound: multiply-adds of the loop over those that the patches can change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rounds import append, read, summaries, table

THREADS, PATCH, STRIDE, TARGET = 2, 16, 8, 7
MODELS = ("vgg16", "resnet18", "resnet50", "densenet121")
BATCHES = (4, 8, 16, 32)
SPREAD = 64  # positions that a batch is tried on
Map = Callable[[], Any]


def trained(name: str, size: int) -> tuple[Any, Any]:
    """The network in evaluation mode, its batch norms settled, and an image."""
    import torch
    import torchvision

    torch.manual_seed(0)
    module = torchvision.models.get_model(name, weights=None)
    image = torch.randn(1, 3, size, size)
    norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if norms:
        for m in norms:
            m.momentum = None  # the mean of all batches
        with torch.no_grad():
            module.train()(torch.randn(8, 3, 128, 128))
    return module.eval(), image


def corners(size: int, count: int | None) -> list[tuple[int, int]]:
    """The top-left pixel of each patch."""
    starts = range(0, size - PATCH + 1, STRIDE)
    return [(r, c) for r in starts for c in starts][:count]


def captum(name: str, args: argparse.Namespace) -> Map:
    """Attributions (H, W)."""
    from captum.attr import Occlusion

    module, image = trained(name, args.size)
    method = Occlusion(module)

    def run(image: Any = image) -> Any:
        import torch

        with torch.no_grad():
            found = method.attribute(
                image, sliding_window_shapes=(3, PATCH, PATCH), strides=(3, STRIDE, STRIDE), target=TARGET,
                baselines=0.0, perturbations_per_eval=16,
            )  # fmt: skip
        return found[0, 0].numpy()

    run(image[..., :64, :64])
    return run


def loop(name: str, args: argparse.Namespace, dtype: str = "float32") -> Map:
    """The drop at each position (N,)."""
    import torch

    from striate.memory import keep_large_buffers

    keep_large_buffers()
    kind = getattr(torch, dtype)
    module, image = trained(name, args.size)
    module = module.to(memory_format=torch.channels_last, dtype=kind)
    image = image.to(memory_format=torch.channels_last, dtype=kind)
    places = corners(args.size, args.positions)

    @torch.inference_mode()
    def run(batch: int, places: list[tuple[int, int]]) -> Any:
        clean = module(image)[0, TARGET].float()
        scores = []
        for i in range(0, len(places), batch):
            mine = places[i : i + batch]
            images = image.repeat(len(mine), 1, 1, 1).contiguous(memory_format=torch.channels_last)
            for one, (r, c) in zip(images, mine, strict=True):
                one[:, r : r + PATCH, c : c + PATCH] = 0.0
            scores.append(module(images)[:, TARGET].float())
        return (clean - torch.cat(scores)).numpy()

    best = args.batch
    if best is None:
        times = {}
        for batch in BATCHES:
            run(batch, places[:batch])
            began = time.perf_counter()
            run(batch, places[:SPREAD])
            times[batch] = time.perf_counter() - began
        best = min(times, key=lambda b: times[b])
    else:
        run(best, places[:best])
    print(f"batch {best}", flush=True)
    return lambda: run(best, places)


def loop_bf16(name: str, args: argparse.Namespace) -> Map:
    """The loop in bfloat16."""
    return loop(name, args, "bfloat16")


def striate(name: str, args: argparse.Namespace, dtype: str | None = None) -> Map:
    """The drop at each position (N,)."""
    import torch

    from striate.inference.incremental import Incremental, occlusion

    module, image = trained(name, args.size)
    kind = None if dtype is None else getattr(torch, dtype)
    boxes = [((r, r + PATCH), (c, c + PATCH)) for r, c in corners(args.size, args.positions)]

    def run() -> Any:
        if args.positions is None:
            drops = occlusion(module, image, TARGET, patch=PATCH, stride=STRIDE, dtype=kind)
            assert isinstance(drops, torch.Tensor)
            return drops.flatten().numpy()
        session = Incremental(module, image, dtype=kind)
        return (session.score(TARGET) - session.scores(boxes, 0.0, TARGET)).numpy()

    occlusion(module, image[..., :64, :64], TARGET, patch=PATCH, stride=STRIDE, dtype=kind)
    return run


def striate_bf16(name: str, args: argparse.Namespace) -> Map:
    """Striate in bfloat16."""
    return striate(name, args, "bfloat16")


CONTESTANTS = {
    "captum": captum, "loop": loop, "loop-bf16": loop_bf16, "striate": striate, "striate-bf16": striate_bf16,
}  # fmt: skip


def serve(args: argparse.Namespace) -> None:
    """A contestant: one map for each path on standard input, written there; answers with its seconds."""
    import numpy as np
    import torch

    torch.set_num_threads(THREADS)
    run = CONTESTANTS[args.serve](args.models, args)
    print("ready", flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - began
        np.save(line.strip(), found)
        print(seconds, flush=True)


class Contestant:
    """A process that draws maps."""

    def __init__(
        self, name: str, model: str, args: argparse.Namespace, batch: int | None = None
    ) -> None:
        command = [sys.executable, __file__, "--serve", name, "--models", model, "--size", str(args.size)]  # fmt: skip
        if args.positions is not None:
            command += ["--positions", str(args.positions)]
        if batch is not None:
            command += ["--batch", str(batch)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
        self.name = name
        self.batch = batch
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        line = self._line()
        if line.startswith("batch"):
            self.batch = int(line.split()[1])
            self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with status {self.process.wait()}")
        return line

    def run(self, path: Path) -> tuple[Any, float]:
        """One map, and its seconds."""
        import numpy as np

        assert self.process.stdin is not None
        print(path, file=self.process.stdin, flush=True)
        seconds = float(self._line())
        return np.load(path), seconds

    def end(self) -> None:
        """Let the process finish."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def averaged(drops: Any, size: int) -> Any:
    """What Captum makes of a map: for each pixel the mean drop of the patches that hide it."""
    import numpy as np

    total, count = np.zeros((size, size)), np.zeros((size, size))
    for (r, c), drop in zip(corners(size, None), drops, strict=True):
        total[r : r + PATCH, c : c + PATCH] += drop
        count[r : r + PATCH, c : c + PATCH] += 1
    return total / np.maximum(count, 1)


def bound(model: str, args: argparse.Namespace) -> tuple[float, float]:
    """The arithmetic bound, and the share of the arithmetic that Striate's boxes save."""
    from striate.inference.incremental import Incremental

    module, image = trained(model, args.size)
    boxes = [((r, r + PATCH), (c, c + PATCH)) for r, c in corners(args.size, args.positions)]
    costs = Incremental(module, image).costs(boxes)
    return costs.bound, costs.ratio


def compare(
    model: str, args: argparse.Namespace, earlier: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The rounds of one network, each with everyone's seconds and largest difference from the loop."""
    import numpy as np

    what = {"model": model, "precision": args.precision, "size": args.size, "positions": args.positions}  # fmt: skip
    batches = next((r["batches"] for r in earlier if r["what"] == what), {})
    ours = "striate" if args.precision == "fp32" else "striate-bf16"
    names = ["loop", ours] if args.precision == "fp32" else ["loop", "loop-bf16", ours]
    if args.captum_rounds and args.positions is None:
        names = ["captum", *names]
    contestants = [Contestant(name, model, args, batches.get(name)) for name in names]
    most, planned = bound(model, args)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            maps, seconds = {}, {}
            for c in contestants:
                if c.name != "captum" or turn < args.captum_rounds:
                    maps[c.name], seconds[c.name] = c.run(Path(folder) / f"{c.name}.npy")
            difference = {}
            for name, found in maps.items():
                wanted = averaged(maps["loop"], args.size) if name == "captum" else maps["loop"]
                difference[name] = float(np.abs(found - wanted).max())
            said = ", ".join(f"{name} {s:.2f} s" for name, s in seconds.items())
            print(f"{model}, round {turn + 1}: {said}", file=sys.stderr, flush=True)
            yield {
                "what": what, "ours": ours, "bound": most, "planned": planned, "seconds": seconds,
                "difference": difference, "span": float(np.ptp(maps["loop"])),
                "batches": {c.name: c.batch for c in contestants if c.batch is not None},
            }  # fmt: skip
    for c in contestants:
        c.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--captum-rounds", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--positions", type=int)
    parser.add_argument("--append", type=Path, metavar="FILE")
    parser.add_argument("--summarise", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args)
    found = read(args.summarise) if args.summarise else []
    if args.summarise is None:
        earlier = read(args.append) if args.append else []
        for model in args.models.split(","):
            for one in compare(model, args, earlier):
                found.append(one)
                if args.append:
                    append(args.append, one)
    results = summaries(found)
    print(json.dumps(results) if args.json else table(results))


if __name__ == "__main__":
    main()
