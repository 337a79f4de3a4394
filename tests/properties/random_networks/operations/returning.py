"""Ways back to a map: more of them, so that convolutions go on after a detour."""

from random_networks.drawing import Draw
from random_networks.operations.shaping import back_to_a_map


def to_a_map(d: Draw) -> None:
    d.need(d.rank != 4)
    back_to_a_map(d)


def rows_to_a_map(d: Draw) -> None:
    d.need(d.rank == 3)
    d.x(d.pick("x.unsqueeze(1)", "x[:, :, None]", "x.unsqueeze(-1)", "x.unsqueeze(2)"))


def five_to_four(d: Draw) -> None:
    d.need(d.rank == 5)
    d.x(
        d.pick(
            "x.flatten(1, 2)",
            "x.flatten(2, 3)",
            "x.flatten(3)",
            "x.flatten(0, 1)",
            "x.mean(2)",
            "x[:, :, 0]",
        )
    )


RETURNING = {f.__name__: f for f in (to_a_map, rows_to_a_map, five_to_four)}
