# SPDX-License-Identifier: Apache-2.0
"""A rank that is taken, perhaps by a worker that has died: until its lease runs out the server keeps the
place for it, and a program that is started again comes too early.

So it is tried again for as long as nothing is heard of who has it. One that lives shows up a few times
in each lease.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import stepd

AGAIN_S = 0.5
LONGEST_S = 600.0
NOT_OBSERVERS = ("rank", "worker", "lease", "push_dtype", "on_event")  # words of connect() that mean workers

log = logging.getLogger("stepd.torch")


class Taken:
    """said: how to connect. error: what that came to."""

    def __init__(self, address: str, job: str, said: Mapping[str, Any], error: stepd.Error) -> None:
        self.address, self.job, self.said, self.error = address, job, said, error
        self.silent_ms: dict[int, int] = {}
        """Of those who have what is wanted."""
        self.live: set[int] = set()

    def connect(self) -> Any:
        """The connection, or the error that it came to at first."""
        seen = {name: value for name, value in self.said.items() if name not in NOT_OBSERVERS}
        until, told = time.monotonic() + LONGEST_S, False
        with stepd.connect(self.address, job=self.job, observer=True, **seen) as asks:
            while not self.all_live(asks) and time.monotonic() < until:
                if not told:
                    told = True
                    log.warning("stepd: %s. If that worker has died, its lease runs out by itself: trying again until "
                                "then", self.error)
                try:
                    return stepd.connect(self.address, job=self.job, **self.said)
                except (stepd.ResourceExhausted, stepd.AlreadyExists) as taken:
                    self.error = taken
                time.sleep(AGAIN_S)
        raise self.error

    def all_live(self, asks: Any) -> bool:
        """Has each of them been heard of, since we look?"""
        jobs, wanted = asks.status(self.job)["jobs"], self.said.get("rank")
        now = {member["rank"]: member["silent_ms"] for job in jobs for member in job["members"]
               if member["state"] == "present" and wanted in (None, member["rank"])}
        self.live = {rank for rank, silent_ms in now.items() if silent_ms < self.silent_ms.get(rank, 0)} | self.live
        self.silent_ms = now
        return bool(now) and set(now) <= self.live
