"""The characters of a layer pattern, cut into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from striate.errors import PatternError

Kind = Literal["word", "number", "[", "]", "*", "-", "end"]

# "->" and its printed arrows, and "x" as a multiplication sign: the lectures' own spelling.
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<word>[A-Za-z]+)|(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"|(?P<dash>->|-|→|–>|–)|(?P<bracket>[\[\]])|(?P<star>[*×])"
)


@dataclass(frozen=True)
class Token:
    """A piece of the pattern: its kind, its text in lower case, and the index of its first
    character.
    """

    kind: Kind
    text: str
    position: int


def tokenize(pattern: str) -> list[Token]:
    """The tokens of `pattern`, closed by one of kind "end". Raises PatternError at a character that
    has no meaning.
    """
    tokens = []
    at = 0
    while at < len(pattern):
        match = _TOKEN.match(pattern, at)
        if match is None:
            raise PatternError(
                f"a layer pattern has no {pattern[at]!r}; it is made of layers such as conv32, "
                "'-', '[', ']' and '*'",
                pattern,
                at,
            )
        kind = match.lastgroup
        if kind != "space":
            text = match.group().lower()
            if kind == "bracket":
                kind = text
            elif kind == "dash":
                kind, text = "-", "-"
            elif kind == "star":
                kind, text = "*", "*"
            tokens.append(Token(kind, text, at))  # type: ignore[arg-type]
        at = match.end()
    tokens.append(Token("end", "", len(pattern)))
    return tokens
