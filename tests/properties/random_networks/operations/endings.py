"""How a network ends: a map, a classifier, or several results in some form."""

import math

from random_networks.drawing import Draw


def plain(d: Draw) -> None:
    d.run("return x")


def segmenter(d: Draw) -> None:
    _, c, _, _ = d.map()
    d.run(f"return {d.new(f'nn.Conv2d({c}, {d.int(1, 3)}, 1)')}(x)")


def full_size(d: Draw) -> None:
    d.map()
    size = (d.int(4, 24), d.int(4, 24))
    d.run(f"return F.interpolate(x, size={size}, mode='bilinear', align_corners={d.coin()})")


def pooled(d: Draw) -> None:
    _, c, _, _ = d.map()
    pool = d.pick(
        "x.mean((2, 3))",
        "F.adaptive_avg_pool2d(x, 1).flatten(1)",
        "x.amax((-2, -1))",
        "x.flatten(2).mean(-1)",
        "F.adaptive_max_pool2d(x, (1, 1)).view(x.size(0), -1)",
        "x.mean(-1).mean(-1)",
        "x.sum(dim=(2, 3)) / 9",
        "x.flatten(2).logsumexp(2)",
        "x.mean(2).amax(-1)",
    )
    d.run(f"return {d.new(f'nn.Linear({c}, {d.int(2, 4)})')}({pool})")


def flattened(d: Draw) -> None:
    entries = math.prod(d.shape[1:])
    d.need(entries <= 3000)
    flat = d.pick(
        "x.flatten(1)",
        "torch.flatten(x, 1)",
        "x.reshape(x.shape[0], -1)",
        "x.contiguous().view(x.size(0), -1)",
    )
    d.run(f"return {d.new(f'nn.Linear({entries}, {d.int(2, 4)})')}({flat})")


def pooled_parts(d: Draw) -> None:
    _, c, _, _ = d.map()
    linear = d.new(
        f"nn.Sequential(nn.Flatten(), nn.Linear({c * 4}, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, {d.int(2, 3)}))"
    )
    d.run(f"x = F.adaptive_{d.pick('avg', 'max')}_pool2d(x, 2)", f"return {linear}(x)")


def last_state(d: Draw) -> None:
    _, c, h, w = d.map()
    d.need(h * w <= 30)  # torch takes recurrent layers apart into one call a step
    name = d.new(f"nn.LSTM({c}, 3, batch_first=True)")
    d.run(f"_, (h, _) = {name}(x.flatten(2).transpose(1, 2))", "return h[-1]")


def softmax_result(d: Draw) -> None:
    d.need(d.rank >= 2)
    d.run("return x.softmax(1)")


def classes(d: Draw) -> None:
    d.need(d.rank >= 3 and d.coin(0.3))
    d.run("return x.argmax(1)")


def pair(d: Draw) -> None:
    d.need(d.rank >= 2)
    d.run(f"return x, {d.pick('x.mean(-1)', 'x.tanh()', 'x.flatten(1)', 'None')}")


def mapping(d: Draw) -> None:
    d.run(f"return {{'out': x, 'aux': {d.pick('x * 2', 'x.abs()', 'x.flatten(1)[:, :1]')}}}")


def sequence(d: Draw) -> None:
    d.run(f"return {d.pick('[x, [x.relu()]]', 'list(x.chunk(2, -1))', '(x, (x + 1, 3))')}")


def named(d: Draw) -> None:
    d.run("return Result(x, x.tanh())")


def saved_and_last(d: Draw) -> None:
    d.need(d.saved)
    d.run(f"return x, {d.pick(*d.saved)}")


def scalar(d: Draw) -> None:
    d.run(
        f"return {d.pick('x.flatten(1).mean(1)', 'x.flatten(1).norm(dim=1)', 'x.flatten(1).amax(1)')}"
    )


ENDINGS = {
    f.__name__: f
    for f in (
        plain, segmenter, full_size, pooled, flattened, pooled_parts, last_state, softmax_result, classes, pair,
        mapping, sequence, named, saved_and_last, scalar,
    )
}  # fmt: skip
