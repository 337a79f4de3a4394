"""Tokens -> tree. Every error names what was found and what fits in its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, Literal

from striate.errors import PatternError
from striate.models.pattern.syntax import (
    Activation,
    Conv,
    Dropout,
    Flatten,
    FullyConnected,
    GlobalPool,
    Group,
    Layer,
    Norm,
    Pool,
)
from striate.models.pattern.tokens import Token, tokenize

# letter -> the field it sets, for the layers that take parameters
CONV_PARAMETERS = {
    "k": "kernel",
    "s": "stride",
    "p": "padding",
    "g": "groups",
    "d": "dilation",
    "x": "growth",
}
POOL_PARAMETERS = {"k": "kernel", "s": "stride", "p": "padding"}
FC_PARAMETERS = {"x": "growth"}
PADDINGS = ("same", "valid")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "leakyrelu")
LAYERS = (
    "conv",
    "pool",
    "maxpool",
    "avgpool",
    "gap",
    "gmp",
    "fc",
    "bn",
    "ln",
    "dropout",
    "flatten",
    *ACTIVATIONS,
)
_GLUED = re.compile(r"(conv|maxpool|avgpool|pool|fc)((?:same|valid|[kspgdx])+)")
MOST_REPEATS = 1000
DEEPEST = 20
LONGEST_NUMBER = 9  # characters


def parse(pattern: str) -> Group:
    """The tree of `pattern`, as one group that stands for the whole. Raises PatternError."""
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.tokens = tokenize(pattern)
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.next
        self.at += 1
        return token

    def fail(self, message: str, position: int) -> PatternError:
        return PatternError(message, self.pattern, position)

    def found(self) -> str:
        return "the pattern ends" if self.next.kind == "end" else f"got {self.next.text!r}"

    def whole(self) -> Group:
        if self.next.text == "input":
            self.take()
            if self.next.kind != "-":
                raise self.fail(f"'-' fits after INPUT, but {self.found()}", self.next.position)
            self.take()
        items = self.sequence(None)
        if self.next.kind == "]":
            raise self.fail(
                "this ']' closes no '['; remove it or open a '[' before", self.next.position
            )
        assert self.next.kind == "end"
        return Group(position=0, items=items)

    def sequence(self, opened: Token | None) -> tuple[Layer | Group, ...]:
        items = [self.item()]
        while self.next.kind == "-":
            self.take()
            items.append(self.item())
        if self.next.kind == "end" and opened is not None:
            raise self.fail("this '[' is never closed; write ']' where it ends", opened.position)
        if self.next.kind not in ("end", "]"):
            fits = "'-' and another layer" + (", or ']'" if opened else ", or the end")
            raise self.fail(f"{fits} fits here, but {self.found()}", self.next.position)
        return tuple(items)

    def item(self) -> Layer | Group:
        if self.next.kind == "[":
            return self.group()
        if self.next.kind == "word":
            return self.layer()
        raise self.fail(
            f"a layer (conv32, relu, pool, fc ...) or '[' fits here, but {self.found()}",
            self.next.position,
        )

    def group(self) -> Group:
        opened = self.take()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"groups stand at most {DEEPEST} deep", opened.position)
        items = self.sequence(opened)
        self.depth -= 1
        assert self.next.kind == "]"
        self.take()
        count = None
        if self.next.kind == "*":
            self.take()
            count = self.whole_number("how many times the group is repeated", least=0)
            if count > MOST_REPEATS:
                raise self.fail(
                    f"a group is repeated at most {MOST_REPEATS} times, got {count}",
                    self.tokens[self.at - 1].position,
                )
        return Group(position=opened.position, items=items, count=count)

    def number(self, meaning: str) -> tuple[float, Token]:
        if self.next.kind != "number":
            raise self.fail(
                f"a number fits here ({meaning}), but {self.found()}", self.next.position
            )
        token = self.take()
        if len(token.text) > LONGEST_NUMBER:
            raise self.fail(f"{token.text[:12]}... is too large ({meaning})", token.position)
        return float(token.text), token

    def whole_number(self, meaning: str, least: int = 1) -> int:
        value, token = self.number(meaning)
        if not token.text.isdecimal() or value < least:
            raise self.fail(
                f"a whole number of at least {least} fits here ({meaning}), got {token.text}",
                token.position,
            )
        return int(token.text)

    def layer(self) -> Layer:
        token = self.take()
        name, at = token.text, token.position
        if name in ACTIVATIONS:
            slope = 0.01
            if name == "leakyrelu" and self.next.kind == "number":
                slope = self.number("the slope below zero")[0]
            return Activation(position=at, kind=name, slope=slope)
        if name not in _READ:
            name = self.split(token)
        return _READ[name](self, at)

    def split(self, token: Token) -> str:
        """The layer in a word such as `convsame` or `avgpoolk`; what follows is put back."""
        glued = _GLUED.fullmatch(token.text)
        if glued is None:
            raise self.unknown(token)
        rest = Token("word", glued[2], token.position + glued.start(2))
        self.tokens.insert(self.at, rest)
        return glued[1]

    def unknown(self, token: Token) -> PatternError:
        if token.text == "input":
            return self.fail("INPUT stands only at the start of a pattern", token.position)
        close = difflib.get_close_matches(token.text, LAYERS, n=2, cutoff=0.6)
        hint = (
            f"; did you mean {' or '.join(close)}?" if close else f"; there are {', '.join(LAYERS)}"
        )
        return self.fail(f"there is no layer {token.text!r}{hint}", token.position)

    def parameters(self, layer: str, letters: dict[str, str]) -> dict[str, Any]:
        """The letters and numbers behind a layer's name: {"kernel": 5, ...}."""
        values: dict[str, Any] = {}
        while self.next.kind == "word":
            token = self.take()
            text, offset = token.text, 0
            while offset < len(text):
                position = token.position + offset
                padding = next((p for p in PADDINGS if text.startswith(p, offset)), None)
                if padding is not None and "g" in letters:
                    self.once(values, "padding", position)
                    values["padding"] = padding
                    offset += len(padding)
                    continue
                field = letters.get(text[offset])
                if field == "padding" and text[offset + 1 :].startswith(PADDINGS):
                    offset += 1  # psame, pvalid
                    continue
                if field is None or offset + 1 < len(text):
                    raise self.no_parameter(layer, letters, text[offset:], position)
                self.once(values, field, position)
                if field == "growth":
                    values[field] = self.growth()
                else:
                    values[field] = self.whole_number(field, least=0 if field == "padding" else 1)
                offset += 1
        return values

    def no_parameter(
        self, layer: str, letters: dict[str, str], text: str, position: int
    ) -> PatternError:
        if text in LAYERS:
            return self.fail(f"write '-' between {layer} and {text}", position)
        known = ", ".join(f"{letter} ({field})" for letter, field in letters.items())
        also = ", same, valid" if "g" in letters else ""
        return self.fail(f"{text!r} is no parameter of {layer}; there are {known}{also}", position)

    def once(self, values: dict[str, Any], field: str, position: int) -> None:
        if field in values:
            raise self.fail(f"{field} is given twice", position)

    def growth(self) -> float:
        value, token = self.number("growth over the repetitions")
        if value <= 0:
            raise self.fail(f"growth must be above 0, got {token.text}", token.position)
        return value

    def optional_count(self, meaning: str) -> int | None:
        return self.whole_number(meaning) if self.next.kind == "number" else None

    def conv(self, at: int) -> Conv:
        channels = self.optional_count("output channels")
        return Conv(position=at, channels=channels, **self.parameters("conv", CONV_PARAMETERS))

    def pool(self, at: int, kind: Literal["max", "avg"]) -> Pool:
        kernel = self.optional_count("kernel")
        values = self.parameters("pool", POOL_PARAMETERS)
        if kernel is not None:
            if "kernel" in values:
                raise self.fail("kernel is given twice", at)
            values["kernel"] = kernel
        pool = Pool(position=at, kind=kind, **values)
        if pool.padding > pool.kernel // 2:
            raise self.fail(
                f"padding of a pool is at most half its kernel, got padding {pool.padding} with "
                f"kernel {pool.kernel}",
                at,
            )
        return pool

    def fc(self, at: int) -> FullyConnected:
        units = self.optional_count("units")
        return FullyConnected(position=at, units=units, **self.parameters("fc", FC_PARAMETERS))

    def dropout(self, at: int) -> Dropout:
        if self.next.kind != "number":
            return Dropout(position=at)
        value, token = self.number("the share that is dropped")
        if value >= 1:
            raise self.fail(
                f"dropout takes the share that is dropped, from 0 to below 1, got {token.text}",
                token.position,
            )
        return Dropout(position=at, probability=value)


# layer's name -> how the rest of it is read
_READ: dict[str, Callable[[_Parser, int], Layer]] = {
    "conv": _Parser.conv,
    "pool": lambda parser, at: parser.pool(at, "max"),
    "maxpool": lambda parser, at: parser.pool(at, "max"),
    "avgpool": lambda parser, at: parser.pool(at, "avg"),
    "gap": lambda parser, at: GlobalPool(position=at, kind="avg"),
    "gmp": lambda parser, at: GlobalPool(position=at, kind="max"),
    "fc": _Parser.fc,
    "bn": lambda parser, at: Norm(position=at, kind="batch"),
    "ln": lambda parser, at: Norm(position=at, kind="layer"),
    "dropout": _Parser.dropout,
    "flatten": lambda parser, at: Flatten(position=at),
}
