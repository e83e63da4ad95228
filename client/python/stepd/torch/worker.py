# SPDX-License-Identifier: Apache-2.0
"""This process as a worker of a job: its connection, and how it ends.

A program that ends well leaves the job by itself, so that nobody waits for it; one that ends by an
error only closes its connections, and may come back under its rank. Until then a worker is kept, also
where the program has dropped its optimizer, as one does who makes it in a function.
"""
from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import stepd
from stepd import launcher

from . import ending
from .taken import Taken
from .waiting import Waiting

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
        self.pid = os.getpid()
        self.job = job
        """Its name; None: only the caller knows."""
        self.owner: Callable[[], Any] = lambda: self
        """Whose it is; None: it was dropped."""
        self.address = launcher.address() if address is None else address
        if client is None:
            self.job = job or launcher.job() or JOB
            client = self.connect(launcher.rank() if rank is None else rank, connect)
        self.client = client
        self.waiting = Waiting(client, self.job)
        self.closed = False
        self.before_leaving: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        _open.add(self)
        self.take_back = ending.at_exit(self.end)

    def belong(self, owner: Any) -> None:
        self.owner = weakref.ref(owner)

    def connect(self, rank: int | None, connect: Mapping[str, Any] | None) -> Any:
        ours = [other for other in list(_open) if other.owned and other.pid == self.pid and
                (other.job, other.address) == (self.job, self.address)]
        for other in ours:
            if other.owner() is None:
                other.close(leave=True)
        said: dict[str, Any] = {**({} if rank is None else {"rank": rank}), **(connect or {})}
        try:
            return stepd.connect(self.address, job=self.job, **said)
        except (stepd.ResourceExhausted, stepd.AlreadyExists) as taken:
            if not all(other.closed for other in ours):
                raise type(taken)(f"{taken}: job '{self.job}' has an optimizer in this process already; close() that "
                                  "one before another is made for the same job, or say job= for each of several"
                                  ) from None
            return Taken(self.address, self.job or JOB, said, taken).connect()

    def version(self) -> int | None:
        """The greatest version of the job's weights, as the server says. None: the job's name is not known."""
        jobs = [] if self.job is None else self.client.status(self.job)["jobs"]
        return next((int(job["version_max"]) for job in jobs), None)

    def close(self, leave: bool) -> None:
        """Again is fine. In a process that was forked from the worker's it does nothing."""
        if self.closed or os.getpid() != self.pid:
            return
        self.closed = True
        self.take_back()
        _open.discard(self)
        try:
            if leave:
                self.leave()
        finally:
            self.waiting.close()
            self.after()
            if self.owned:
                self.client.close()

    def leave(self) -> None:
        """Also where the last step has failed: nobody is to wait for another one."""
        failure = None
        try:
            self.before_leaving()
        except stepd.Error as error:
            failure = error
        if self.owned:
            self.client.leave()
        if failure is not None:
            raise failure

    def end(self, well: bool | None) -> None:
        """The program ends."""
        if well is None and self.owned:
            print("stepd: the program was ended by SystemExit, with a status that is not known here, and so its "
                  f"worker of job '{self.job}' only disconnects: end it by sys.exit(status), or call "
                  "optimizer.close() to leave the job", file=sys.stderr)
        try:
            self.close(leave=bool(well))
        except stepd.Error as error:
            print(f"stepd: the job could not be left in good order: {error}", file=sys.stderr)


_open: set[Worker] = set()
"""Kept until they are closed."""
