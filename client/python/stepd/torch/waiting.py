# SPDX-License-Identifier: Apache-2.0
"""Whom a worker waits for, said where the wait is long.

A wait of sync training ends when the slowest worker has come, and where one is dead, by its job's
rules after minutes. So a thread looks at the clock beside it, and after some seconds asks the server.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import stepd

PATIENCE_S = 10.0
"""So long a wait is nobody's business."""
AGAIN_S = 60.0
STATUS_S = 3.0  # for the server to answer

log = logging.getLogger("stepd.torch")


def about(job: Mapping[str, Any], rank: int) -> str:
    """What the server knows of a worker that is waited for."""
    member = next((m for m in job["members"] if m["rank"] == rank), None)
    if member is None:
        return f"rank {rank} (not connected)"
    state = "" if member["state"] == "present" else f"{member['state']}, "
    return f"rank {rank} ({member['worker']}, {state}last heard of {member['silent_ms'] / 1000:.0f} s ago)"


def reason(job: Mapping[str, Any]) -> str:
    """Whom a job waits for; empty: for nobody."""
    joined = len(job["members"])
    if job["state"] == "defined" and joined < job["workers_min"]:
        return f"for {job['workers_min'] - joined} of its {job['workers_min']} workers, which have not joined yet"
    return "for " + ", ".join(about(job, rank) for rank in job["waited_for"]) if job["waited_for"] else ""


class Waiting:
    """with waiting: a call that waits for other workers. Again and again, by one thread at a time."""

    def __init__(self, client: Any, job: str | None) -> None:
        self.client, self.job = client, job
        self.since: float | None = None
        self.over = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self.since = time.monotonic()
        if self.thread is None:
            self.thread = threading.Thread(target=self.look, name="stepd waiting", daemon=True)
            self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.since = None

    def close(self) -> None:
        self.over.set()

    def look(self) -> None:
        told, due_s = None, PATIENCE_S
        while not self.over.wait(PATIENCE_S / 4):
            since = self.since
            if since is None:
                continue
            if since != told:
                due_s = PATIENCE_S
            waited_s = time.monotonic() - since
            if waited_s >= due_s:
                told, due_s = since, waited_s + AGAIN_S
                self.tell(waited_s)

    def tell(self, waited_s: float) -> None:
        try:
            jobs = self.client.status(self.job, timeout=STATUS_S)["jobs"]
        except stepd.Error as error:
            if not self.over.is_set():
                log.warning("stepd: has waited %.0f s, and the server does not say for whom: %s", waited_s, error)
            return
        for job in jobs:
            why = reason(job)
            if why and self.since is not None:
                log.warning("stepd: has waited %.0f s %s (job '%s')", waited_s, why, job["name"])
