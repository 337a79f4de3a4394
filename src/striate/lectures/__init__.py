"""A page a lecture: every formula, table and figure of the five lectures, as code that runs."""

from __future__ import annotations

from striate.lectures.making import findings, make, run
from striate.lectures.page import LECTURES, Block, Page, read_page

__all__ = ["LECTURES", "Block", "Page", "findings", "make", "read_page", "run"]
OPEN = ("first_units",)
