"""Results of several tensors in classes of the network's own: dataclasses, dicts, tuples, and these in each other."""

from random_networks.drawing import Draw

PARTS = ("x", "x.tanh()", "x * 2", "x.flatten(1)[:, :1]", "x.flatten(1).mean(1)", "x.abs()")


def record(d: Draw) -> None:
    d.run(f"return Output({d.pick(*PARTS)}, {d.pick(*PARTS, 'None')})")


def record_in_record(d: Draw) -> None:
    d.run(f"return Output(Output({d.pick(*PARTS)}), {d.pick(*PARTS)})")


def record_of_containers(d: Draw) -> None:
    d.run(
        f"return Output({{'a': {d.pick(*PARTS)}, 'b': [{d.pick(*PARTS)}, 3]}}, ({d.pick(*PARTS)}, None))"
    )


def containers_of_records(d: Draw) -> None:
    d.run(
        d.pick(
            f"return [Output({d.pick(*PARTS)}), {d.pick(*PARTS)}]",
            f"return {{'out': Output({d.pick(*PARTS)})}}",
        )
    )


def own_dict(d: Draw) -> None:
    d.run(f"return Mapping(logits={d.pick(*PARTS)}, hidden={d.pick(*PARTS)})")


def ordered(d: Draw) -> None:
    d.run(f"return OrderedDict(out={d.pick(*PARTS)}, more={{'deep': ({d.pick(*PARTS)},)}})")


def same_twice(d: Draw) -> None:
    d.run(d.pick("return x, x", "return {'a': x, 'b': x}", "return Output(x, x)"))


def with_a_number(d: Draw) -> None:
    d.run("return Output(x, x.shape[-1])")


STRUCTURED = {
    f"structured_{f.__name__}": f
    for f in (
        record, record_in_record, record_of_containers, containers_of_records, own_dict, ordered, same_twice,
        with_a_number,
    )
}  # fmt: skip
