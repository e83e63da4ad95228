# SPDX-License-Identifier: Apache-2.0
"""This process as a worker of a job: its connection, and how it ends.

A program that ends without an error leaves the job by itself, so that nobody waits for it; one that
ends by an error only closes its connections, and may come back under its rank.
"""
from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import stepd
from stepd import launcher

JOB = "torch"


def world(workers: int | None) -> int:
    """How many workers the job has: as said, as the launcher says, or one alone."""
    return workers or launcher.world() or 1


class Worker:
    """client: the caller's, which stays open, or None: one is made, of what else is said.

    before_leaving: called when the job is left in good order.
    """

    def __init__(self, client: Any, address: str | None, job: str | None, rank: int | None,
                 connect: Mapping[str, Any] | None) -> None:
        self.owned = client is None
        self.job = job
        """Its name; None: only the caller knows."""
        if client is None:
            self.job = job or launcher.job() or JOB
            said: dict[str, Any] = {"address": address, "rank": launcher.rank() if rank is None else rank}
            client = stepd.connect(job=self.job, **{
                key: value for key, value in said.items() if value is not None}, **(connect or {}))
        self.client = client
        self.closed = False
        self.before_leaving: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        at_exit(self)

    def version(self) -> int | None:
        """The greatest version of the job's weights, as the server says. None: the job's name is not known."""
        jobs = [] if self.job is None else self.client.status(self.job)["jobs"]
        return next((int(job["version_max"]) for job in jobs), None)

    def close(self, leave: bool) -> None:
        """Again is fine."""
        if self.closed:
            return
        self.closed = True
        try:
            if leave:
                self.before_leaving()
                if self.owned:
                    self.client.leave()
        finally:
            self.after()
            if self.owned:
                self.client.close()


def at_exit(worker: Worker) -> None:
    """Closes it when the program ends. By then sys has last_type (or last_exc) if that is by an error."""
    reference = weakref.ref(worker)

    def end() -> None:
        alive = reference()
        if alive is None:
            return
        try:
            alive.close(leave=not (hasattr(sys, "last_type") or hasattr(sys, "last_exc")))
        except stepd.Error as error:
            print(f"stepd: the job could not be left in good order: {error}", file=sys.stderr)
    atexit.register(end)
