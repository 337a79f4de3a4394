"""Occlusion maps: Captum, a tuned batched loop and Striate in turn, on the same network and image.

    python benchmarks/occlusion.py [--models vgg16,resnet18,resnet50,densenet121] [--rounds 5] [--precision fp32|bf16]
                                   [--captum-rounds 1] [--size 224] [--positions N] [--json]

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
float32. --positions: the first N positions only, without Captum: a quick look. Printed are seconds, ratios, the largest
difference from the loop's map, and the arithmetic bound: multiply-adds of the loop over those that the patches can change.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fresh import spread, three

THREADS, PATCH, STRIDE, TARGET = 2, 16, 8, 7
MODELS = ("vgg16", "resnet18", "resnet50", "densenet121")
BATCHES = (4, 8, 16, 32)
Map = Callable[[], Any]


def subject(name: str, size: int) -> tuple[Any, Any]:
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

    module, image = subject(name, args.size)
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
    module, image = subject(name, args.size)
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

    times = {}
    for batch in BATCHES:
        run(batch, places[:batch])
        began = time.perf_counter()
        run(batch, places[:64])
        times[batch] = time.perf_counter() - began
    best = min(times, key=lambda b: times[b])
    print(f"{name}: the loop takes batches of {best}", file=sys.stderr)
    return lambda: run(best, places)


def loop_bf16(name: str, args: argparse.Namespace) -> Map:
    """The loop in bfloat16."""
    return loop(name, args, "bfloat16")


def striate(name: str, args: argparse.Namespace, dtype: str | None = None) -> Map:
    """The drop at each position (N,)."""
    import torch

    from striate.inference.incremental import Incremental, occlusion

    module, image = subject(name, args.size)
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

    def __init__(self, name: str, model: str, args: argparse.Namespace) -> None:
        command = [sys.executable, __file__, "--serve", name, "--models", model, "--size", str(args.size)]  # fmt: skip
        if args.positions is not None:
            command += ["--positions", str(args.positions)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "PYTHONWARNINGS": "ignore"}
        self.name = name
        self.seconds: list[float] = []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with status {self.process.wait()}")
        return line

    def run(self, path: Path) -> Any:
        """One map; its seconds are noted."""
        import numpy as np

        assert self.process.stdin is not None
        print(path, file=self.process.stdin, flush=True)
        self.seconds.append(float(self._line()))
        return np.load(path)

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

    module, image = subject(model, args.size)
    boxes = [((r, r + PATCH), (c, c + PATCH)) for r, c in corners(args.size, args.positions)]
    costs = Incremental(module, image).costs(boxes)
    return costs.bound, costs.ratio


def compare(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one network."""
    import numpy as np

    ours = "striate" if args.precision == "fp32" else "striate-bf16"
    names = ["loop", ours] if args.precision == "fp32" else ["loop", "loop-bf16", ours]
    if args.captum_rounds and args.positions is None:
        names = ["captum", *names]
    contestants = [Contestant(name, model, args) for name in names]
    differences = dict.fromkeys(names, 0.0)
    limits = bound(model, args)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            maps = {
                c.name: c.run(Path(folder) / f"{c.name}.npy") for c in contestants
                if c.name != "captum" or turn < args.captum_rounds
            }  # fmt: skip
            for name, found in maps.items():
                wanted = averaged(maps["loop"], args.size) if name == "captum" else maps["loop"]
                differences[name] = max(differences[name], float(np.abs(found - wanted).max()))
            said = ", ".join(
                f"{c.name} {c.seconds[-1]:.2f} s" for c in contestants if c.name in maps
            )
            print(f"{model}, round {turn + 1}: {said}", file=sys.stderr, flush=True)
        span = float(np.ptp(maps["loop"]))
    for c in contestants:
        c.end()
    seconds = {c.name: c.seconds for c in contestants}
    ratios = {
        name: [a / b for a, b in zip(s, seconds[ours], strict=False)]
        for name, s in seconds.items() if name != ours
    }  # fmt: skip
    return {
        "model": model, "ours": ours, "bound": limits[0], "planned": limits[1], "seconds": seconds, "ratios": ratios,
        "difference": differences, "span": span,
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """One network's table."""
    ours = found["ours"]
    print(
        f"\n{found['model']}: bound {found['bound']:.2f}x the loop, planned {found['planned']:.2f}x"
    )
    for name, seconds in found["seconds"].items():
        line = f"  {name:13} {three(seconds, '.2f'):26} s, off by {found['difference'][name]:.1e}"
        if name != ours:
            least, median, most = spread(found["ratios"][name])
            line += f"; {ours} is {median:.2f}x ({least:.2f} - {most:.2f}) as fast"
        print(line)
    share = [r / found["bound"] for r in found["ratios"]["loop"]]
    print(f"  {three(share, '.0%')} of the bound; the map spans {found['span']:.2g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--captum-rounds", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--positions", type=int)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args)
    results = []
    for model in args.models.split(","):
        results.append(compare(model, args))
        if not args.json:
            show(results[-1])
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
