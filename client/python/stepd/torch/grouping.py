# SPDX-License-Identifier: Apache-2.0
"""Param groups as stepd has them: globs on names, of which the first that matches a tensor has it.

PyTorch's groups are lists of parameters. `patterns` finds few patterns that take just the tensors
of each: `*.bias`, `encoder.*`, all with one dimension, or in the end the names themselves.
"""
from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import NamedTuple

GROUPS_MAX = 256
"""So many groups a job may have (STEPD_GROUPS_MAX)."""


class Pattern(NamedTuple):
    """What a group of stepd takes."""

    match: str
    ndim: tuple[int, ...] = ()

    def takes(self, name: str, ndim: int) -> bool:
        return (not self.ndim or ndim in self.ndim) and fnmatch.fnmatchcase(name, self.match)


def literal(name: str) -> str:
    """A glob that takes this name only."""
    return re.sub(r"([*?[])", r"[\1]", name)


def candidates(name: str) -> list[str]:
    """Globs that take a name, the widest first: its ends and its beginnings, cut at dots."""
    parts = name.split(".")
    ends = ["*." + literal(".".join(parts[i:])) for i in range(len(parts) - 1, 0, -1)]
    begins = [literal(".".join(parts[:i])) + ".*" for i in range(1, len(parts))]
    return [glob for pair in zip(ends, begins) for glob in pair]


def cover(own: dict[str, int], others: dict[str, int]) -> list[Pattern]:
    """Patterns for {name: ndim} of a group that take none of the others'."""
    def apart(pattern: Pattern) -> bool:
        return not any(pattern.takes(name, ndim) for name, ndim in others.items())

    for whole in (Pattern("*"), Pattern("*", tuple(sorted(set(own.values()))))):
        if apart(whole):
            return [whole]
    left, found = dict(own), []
    while left:
        name = next(iter(left))
        wide = [p for p in map(Pattern, candidates(name)) if apart(p)]
        best = max(wide, key=lambda p: sum(p.takes(n, d) for n, d in left.items()),
                   default=Pattern(literal(name)))
        found.append(best)
        left = {n: d for n, d in left.items() if not best.takes(n, d)}
    return found


def patterns(groups: Sequence[dict[str, int]]) -> list[list[Pattern]]:
    """For each group {name: ndim} its patterns. They hold in this order, as the groups before have
    taken theirs already. Raises ValueError where they would be too many."""
    made = []
    for i, own in enumerate(groups):
        later: dict[str, int] = {}
        for other in groups[i + 1:]:
            later |= other
        made.append(cover(own, later))
    count = sum(map(len, made))
    if count > GROUPS_MAX:
        raise ValueError(f"the param groups are so mixed that they need {count} patterns of names, and a job "
                         f"has at most {GROUPS_MAX} groups; give groups=[stepd.Group(match=...), ...] by "
                         "names instead")
    return made
