# SPDX-License-Identifier: Apache-2.0
"""What the launcher of a worker says in its environment: ``stepctl launch``, torchrun, Slurm or
Open MPI. So one script runs under any of them, and by hand."""
from __future__ import annotations

import os
from typing import Optional

from stepd.errors import InvalidArgument

ADDRESS = "127.0.0.1:7070"
WORKERS_MAX = 4096

# Who says ranks, and under which names; the first that says both counts.
_NAMES = (
    ("STEPD_RANK", "STEPD_WORLD"),
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)


def _number(name: str, least: int, most: int) -> int:
    text = os.environ[name]
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not least <= number <= most:
        raise InvalidArgument(f"the environment says {name}='{text}', which is no number from "
                              f"{least} to {most}")
    return number


def _said() -> tuple[Optional[int], Optional[int]]:
    """Rank and number of workers. Half a pair is an error: who guesses its rank wrongly takes
    another worker's place, and nobody finds out why."""
    for pair in _NAMES:
        missing = [name for name in pair if not os.environ.get(name)]
        if len(missing) == 1:
            said = pair[0] if missing[0] == pair[1] else pair[1]
            raise InvalidArgument(f"{said} is set in the environment, but {missing[0]} is not")
        if not missing:
            world = _number(pair[1], 1, WORKERS_MAX)
            return _number(pair[0], 0, world - 1), world
    return None, None


def rank() -> Optional[int]:
    """This worker's rank; None: the environment does not say."""
    return _said()[0]


def world() -> Optional[int]:
    """The number of workers; None: the environment does not say."""
    return _said()[1]


def address() -> str:
    """The server's: ``STEPD_ADDRESS``, or where a daemon on this machine listens by default."""
    return os.environ.get("STEPD_ADDRESS") or ADDRESS


def token() -> Optional[str]:
    """The token that the server asks for: ``STEPD_TOKEN``; None: the environment does not say."""
    return os.environ.get("STEPD_TOKEN") or None


def of_tls(server: str, name: str) -> Optional[str]:
    """What a variable (``STEPD_CA``, ...) says of TLS, where that address wants it; else None."""
    return os.environ.get(name) or None if server.startswith("tls:") else None


def job() -> Optional[str]:
    """The job's name: ``STEPD_JOB``; None: the environment does not say."""
    return os.environ.get("STEPD_JOB") or None
