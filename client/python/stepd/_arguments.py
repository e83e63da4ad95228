# SPDX-License-Identifier: Apache-2.0
"""What callers give, held to what is expected before C sees it: a refusal names the argument, what
was given and what to give. A wrong type is a TypeError, a wrong value, or what is no mapping of
arrays, an InvalidArgument, which is a ValueError."""
from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, Optional

from stepd.errors import InvalidArgument

EXAMPLES_MAX = 2**30  # behind one push

_SHOWN = 60  # characters of a value


def shown(value: object) -> str:
    """A value as a refusal names it: with its type, and not at length."""
    text = " ".join(repr(value).split())
    if len(text) > _SHOWN:
        text = text[:_SHOWN - 3] + "..."
    return text if value is None else f"{text} ({type(value).__name__})"


def whole(value: Any, what: str, least: int, most: int) -> int:
    """A whole number; those of numpy are fine."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {shown(value)}: give a whole number from {least} on") from None
    if not least <= number <= most:
        raise InvalidArgument(f"{what} is {number}: give a whole number from {least} to {most}")
    return number


def number(value: Any, what: str) -> float:
    """A number, or what turns into one without being text."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} is {shown(value)}: give a number") from None


def microseconds(value: Any, what: str) -> int:
    """Seconds, for who counts smaller ones."""
    seconds = number(value, what)
    if not 0 <= seconds <= 4294:
        raise InvalidArgument(f"{what} is {seconds}: give seconds, from 0 to 4294")
    return round(seconds * 1e6)


def text(value: Any, what: str) -> Optional[str]:
    """Text, or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{what} is {shown(value)}: give text")
    if value is not None and "\0" in value:
        raise InvalidArgument(f"{what} is {shown(value)}, with a NUL in it: leave that out")
    return value


def address(value: Any) -> str:
    """A server's."""
    expected = "give 'host:port', 'tls:host:port' or 'unix:/path'"
    if not isinstance(value, str):
        raise TypeError(f"address is {shown(value)}: {expected}, such as '127.0.0.1:7070'")
    if "://" in value:
        raise InvalidArgument(f"address is {shown(value)}, and stepd speaks a protocol of its own "
                              f"and takes no URL: {expected}")
    return value


def job(value: Any, observer: bool) -> Optional[str]:
    """A job's name, which a worker must have."""
    if not value and not observer:
        raise InvalidArgument("job is missing: a worker joins one, so give connect(job=\"name\"), "
                              "or set STEPD_JOB")
    return text(value, "job")


def one_of(known: Mapping[str, int], value: Any, what: str) -> int:
    """The number of a word."""
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidArgument(f"{what} is {shown(value)}: give one of {', '.join(known)}")
    return found


def arrays(value: Any, what: str) -> Mapping[str, Any]:
    """Arrays by the names of tensors."""
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{what} is {shown(value)}: give a mapping from the tensors' names to "
                              "arrays")
    return value


def pick(given: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """The arrays of `out` that names ask for."""
    if isinstance(names, str):
        raise InvalidArgument(f"names is the string '{names}': give a list of names")
    picked = {}
    for name in names:
        if name not in given:
            raise InvalidArgument(f"tensor '{name}' is asked for by names, and out has no array "
                                  f"for it: it has {', '.join(map(repr, given)) or 'none'}")
        picked[name] = given[name]
    return picked
