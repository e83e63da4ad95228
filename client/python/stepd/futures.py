# SPDX-License-Identifier: Apache-2.0
"""Operations under way, and what they come to."""
from __future__ import annotations

import collections
import threading
import warnings
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Optional, TypeVar

from stepd._handle import Handle, check, ffi, lib, milliseconds, text_of
from stepd.arrays import Array, Batch
from stepd.errors import Cancelled, DeadlineExceeded

T = TypeVar("T")

_LONGEST_MS = 0x7FFFFFFF


class Outcome(NamedTuple):
    """What became of an operation, in slices of tensors, over all its tensors."""

    slices: int
    """The operation's."""
    applied: int
    """Are in the weights."""
    duplicate: int
    """Had been counted before a lost connection."""
    dropped: int
    """Came too late, were computed of too old weights, or of a rank that somebody else has."""
    skipped: int
    """Their round closed without an update, because a gradient in it was not finite."""
    accumulated: int
    """Count, and their step needs further pushes of this worker."""
    version_min: int
    """The least version of the weights that came; after a push, that it went into."""
    version_max: int
    """The greatest."""
    durable_version: int
    """The least that would survive a crash of the server; 0: none."""
    clock: int
    """How many steps this worker has taken, as far as they were sent or counted: where to go on from
    after :class:`RolledBack`, in every mode."""

    @property
    def version(self) -> int:
        """That all weights have at least: for ``min_version`` of a later pull."""
        return self.version_min

    @property
    def step(self) -> int:
        """The number of the newest step in it, from 1."""
        return self.version_max


class Step(NamedTuple):
    """What :meth:`Client.step` returns."""

    weights: dict[str, Array]
    """By the tensors' names."""
    outcome: Outcome


class Orphans:
    """Operations that nobody waits for any more; their arrays stay until they are over. Without a
    lock, since the collector of garbage may come here from anywhere."""

    def __init__(self) -> None:
        self._left: collections.deque[tuple[Any, Batch]] = collections.deque()

    def add(self, operation: Any, batch: Batch) -> None:
        self._left.append((operation, batch))

    def free(self, handle: Handle) -> None:
        """Those that are over; of one that has failed nobody else hears."""
        for _ in range(len(self._left)):
            try:
                operation, batch = self._left.popleft()
            except IndexError:
                return  # another thread is at it
            with handle:
                over = lib.stepd_done(operation)
                if over:
                    error = ffi.new("struct stepd_error *")
                    status = lib.stepd_wait(operation, ffi.NULL, error)
            if not over:
                self._left.append((operation, batch))
            elif status != lib.STEPD_OK:
                warnings.warn("stepd: an operation whose future was dropped has failed: "
                              f"{text_of(error.text)}", RuntimeWarning, stacklevel=2)

    def clear(self) -> None:
        """The client is closed, and has freed them."""
        self._left.clear()


class Future(Generic[T]):
    """An operation that was started. Its arrays are kept, and must not be written to (gradients) or
    read (weights), until it is done. One that is dropped goes on all the same; should
    it fail, a warning says so at the client's next operation or its end."""

    def __init__(self, handle: Handle, orphans: Orphans, operation: Any, batch: Batch,
                 finish: Callable[[Outcome], T]) -> None:
        self._handle = handle
        self._orphans = orphans
        self._operation = operation
        self._batch: Optional[Batch] = batch
        self._finish = finish
        self._result: Optional[T] = None
        self._error: Optional[BaseException] = None
        self._lock = threading.RLock()

    def done(self) -> bool:
        """Whether it is over; never waits."""
        if self._operation is None or self._handle.closed:
            return True
        with self._handle:
            return bool(lib.stepd_done(self._operation))

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is over, at most ``timeout`` seconds; whether it is.

        Ctrl-C ends the wait and not the operation, which may be waited for again.
        """
        with self._lock:
            if self._operation is None:
                return True
            left_ms = _LONGEST_MS if timeout is None else milliseconds(timeout, "timeout")
            with self._handle:
                status = lib.stepd_wait_for(self._operation, 0 if timeout == 0 else left_ms)
            check(lib.STEPD_OK, None)
            if status == lib.STEPD_CANCELLED:
                raise Cancelled("the client was closed while an operation was waited for")
            return bool(status == lib.STEPD_OK)

    def result(self, timeout: Optional[float] = None) -> T:
        """Waits until it is over, and returns what it came to, or raises as it failed.

        timeout: in seconds; then :class:`DeadlineExceeded`, and the operation goes on.
        """
        with self._lock:
            while not self.wait(timeout):
                if timeout is not None:
                    raise DeadlineExceeded(f"the operation is not over after {timeout} s; it goes "
                                           "on, and may be waited for again")
            if self._operation is not None:
                self._take()
            if self._error is not None:
                raise self._error
            assert self._result is not None
            return self._result

    def _take(self) -> None:
        """Of an operation that is over: keeps its result, and lets go of its arrays."""
        error = ffi.new("struct stepd_error *")
        counts = ffi.new("struct stepd_outcome_counts *")
        with self._handle:
            operation, self._operation = self._operation, None
            status = lib.stepd_wait(operation, counts, error)
        self._batch = None
        try:
            check(status, error)
            self._result = self._finish(Outcome(
                counts.slices, counts.applied, counts.duplicate, counts.dropped, counts.skipped,
                counts.accumulated, counts.version_min, counts.version_max,
                counts.durable_version, counts.clock))
        except Exception as failure:
            self._error = failure

    def __del__(self) -> None:
        operation = getattr(self, "_operation", None)
        if operation is not None and self._batch is not None:
            self._orphans.add(operation, self._batch)
