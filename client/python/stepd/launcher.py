# SPDX-License-Identifier: Apache-2.0
"""What the launcher of a worker says in its environment: ``stepctl launch``, torchrun, Slurm or
Open MPI. So one script runs under any of them, and by hand."""
from __future__ import annotations

import os
from typing import NamedTuple, Optional

from stepd.errors import InvalidArgument

PORT = 7070
ADDRESS = f"127.0.0.1:{PORT}"
WORKERS_MAX = 4096


class _Launcher(NamedTuple):
    """Its variables; "": it has none. client/lib/launcher.c has the same."""

    rank: str
    world: str
    local_rank: str  # among those of its host
    local_world: str = ""  # how many these are
    hosts: str = ""  # how many hosts there are
    first_host: str = ""  # name or address of the one from which all were started


# The first that says a rank counts.
_LAUNCHERS = (
    _Launcher("STEPD_RANK", "STEPD_WORLD", "STEPD_LOCAL_RANK", "STEPD_LOCAL_WORLD"),
    _Launcher("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", first_host="MASTER_ADDR"),
    _Launcher("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", hosts="SLURM_STEP_NUM_NODES",
              first_host="SLURM_LAUNCH_NODE_IPADDR"),
    _Launcher("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
              "OMPI_COMM_WORLD_LOCAL_SIZE"),
)


def _number(name: str, least: int, most: int) -> int:
    text = os.environ[name]
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not least <= number <= most:
        raise InvalidArgument(f"the environment says {name}='{text}', which is no number from "
                              f"{least} to {most}")
    return number


def _launcher() -> Optional[_Launcher]:
    """The first that says who this worker is, be it in half."""
    return next((launcher for launcher in _LAUNCHERS
                 if os.environ.get(launcher.rank) or os.environ.get(launcher.world)), None)


def _said() -> tuple[Optional[int], Optional[int]]:
    """Rank and number of workers. Half a pair is an error: who guesses its rank wrongly takes
    another worker's place, and nobody finds out why."""
    launcher = _launcher()
    if launcher is None:
        return None, None
    pair = (launcher.rank, launcher.world)
    for name, other in (pair, pair[::-1]):
        if not os.environ.get(other):
            raise InvalidArgument(f"{name} is set in the environment, but {other} is not")
    world = _number(launcher.world, 1, WORKERS_MAX)
    return _number(launcher.rank, 0, world - 1), world


def _count(name: str) -> int:
    """A variable that holds a number; 0 where it does not, or where the launcher has none."""
    text = os.environ.get(name, "") if name else ""
    return int(text) if text.isascii() and text.isdigit() else 0


def _first_host() -> Optional[str]:
    """The host that all workers were started from, where they are on several."""
    launcher = _launcher()
    if launcher is None or not launcher.first_host:
        return None
    several = _count(launcher.hosts) > 1 or (
        0 < _count(launcher.local_world) < _count(launcher.world))
    return os.environ.get(launcher.first_host) or None if several else None


def rank() -> Optional[int]:
    """This worker's rank; None: the environment does not say."""
    return _said()[0]


def world() -> Optional[int]:
    """The number of workers; None: the environment does not say."""
    return _said()[1]


def local_rank() -> Optional[int]:
    """This worker's number among those of its host; None: the environment does not say."""
    launcher = _launcher()
    if launcher is None or not os.environ.get(launcher.local_rank):
        return None
    return _number(launcher.local_rank, 0, WORKERS_MAX - 1)


def address() -> str:
    """The server's: ``STEPD_ADDRESS``, or where a daemon listens by default: on this machine, or,
    where the launcher says that the workers are on several, on the one that it started them from."""
    said, host = os.environ.get("STEPD_ADDRESS"), _first_host()
    if said or host is None:
        return said or ADDRESS
    return f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"


def token() -> Optional[str]:
    """The token that the server asks for: ``STEPD_TOKEN``; None: the environment does not say."""
    return os.environ.get("STEPD_TOKEN") or None


def of_tls(server: str, name: str) -> Optional[str]:
    """What a variable (``STEPD_CA``, ...) says of TLS, where that address wants it, or other daemons
    may that serve beside the one behind a Unix socket; else None."""
    wants = server.startswith(("tls:", "unix:"))
    return os.environ.get(name) or None if wants else None


def job() -> Optional[str]:
    """The job's name: ``STEPD_JOB``; None: the environment does not say."""
    return os.environ.get("STEPD_JOB") or None
