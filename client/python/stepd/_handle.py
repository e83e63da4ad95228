# SPDX-License-Identifier: Apache-2.0
"""The client of libstepd, and how its functions are called.

Every call releases the GIL. A call that waits asks 20 times a second whether it is interrupted:
then Python runs its signal handlers, in the main thread, and what they raise (KeyboardInterrupt)
ends the wait and goes on from the call.
"""
from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Optional

from stepd._arguments import number
from stepd._stepd import ffi, lib
from stepd.errors import (Cancelled, Error, FailedPrecondition, InvalidArgument, Status,
                          error_of)

_CLOSE_S = 5.0  # for calls of other threads to end
_MOST_MS = 0xFFFFFFFF


class Event(NamedTuple):
    """What has become of the connections, for ``on_event`` of :func:`stepd.connect`."""

    kind: str
    """``"lost"`` (being made again; operations wait), ``"back"``, ``"rolled_back"``, ``"ended"``
    (given up: everything fails from now on), ``"unshared"`` (memory that a server on this host
    shares cannot be mapped, and all goes by the socket) or ``"waiting"`` (a push has waited here
    for seconds for a tensor that travels in one slice with its own). Without an ``on_event`` this
    last one is a warning."""
    code: Optional[Status]
    """Why; None for ``"back"``."""
    text: str
    """The same for people."""
    attempts: int
    """At connecting again, since the loss."""
    down: float
    """Seconds since the loss; 0 without one."""


_EVENTS = {
    lib.STEPD_EVENT_LOST: "lost",
    lib.STEPD_EVENT_BACK: "back",
    lib.STEPD_EVENT_ROLLED_BACK: "rolled_back",
    lib.STEPD_EVENT_ENDED: "ended",
    lib.STEPD_EVENT_UNSHARED: "unshared",
    lib.STEPD_EVENT_WAITING: "waiting",
}

# ---- What C calls ------------------------------------------------------------------------------

# .exception: what a signal handler raised while its thread waited
# .in_event: this thread is in on_event, and perhaps a client's own
_raised = threading.local()


class Signals:
    """What C is told of a client: whether its calls are to end, and who hears of events."""

    def __init__(self, on_event: Optional[Callable[[Event], None]]) -> None:
        self.closing = False
        self.on_event = on_event


def _keep(kind: type[BaseException], exception: BaseException,
          trace: Optional[TracebackType]) -> None:
    _raised.exception = exception


@ffi.def_extern(error=True, onerror=_keep)  # type: ignore[untyped-decorator]
def ask_interrupted(user: Any) -> bool:
    closing = False
    for _ in range(2):  # Python looks for signals where a loop begins again
        closing = ffi.from_handle(user).closing
    return closing


@ffi.def_extern()  # type: ignore[untyped-decorator]
def tell_event(user: Any, event: Any) -> None:
    on_event = ffi.from_handle(user).on_event
    if on_event is None:
        if event.kind == lib.STEPD_EVENT_WAITING:
            warnings.warn(f"stepd: {text_of(event.text)}", RuntimeWarning, stacklevel=1)
        return
    _raised.in_event = True
    try:
        on_event(Event(_EVENTS.get(event.kind, "unknown"),
                       Status(event.code) if event.code != lib.STEPD_OK else None,
                       text_of(event.text), event.attempts, event.down_ms / 1000))
    finally:
        _raised.in_event = False


# ---- Values ------------------------------------------------------------------------------------


def text_of(chars: Any) -> str:
    """A C string, or an array of chars."""
    return bytes(ffi.string(chars)).decode("utf-8", "replace")


def milliseconds(seconds: Optional[float], what: str) -> int:
    """Seconds as the library counts them; None is 0, which means the longest there is."""
    if seconds is None:
        return 0
    given = number(seconds, what)
    if not given >= 0:
        raise InvalidArgument(f"{what} is {given}: give seconds, from 0 on")
    return max(1, round(min(_MOST_MS, given * 1000)))


def check(status: int, error: Any) -> None:
    """Raises what a call came to: what a signal handler raised meanwhile, before all."""
    exception: Optional[BaseException] = getattr(_raised, "exception", None)
    if exception is not None:
        _raised.exception = None
        raise exception
    if status != lib.STEPD_OK:
        raise error_of(status, text_of(error.text))


# ---- The client --------------------------------------------------------------------------------


_open: weakref.WeakSet[Handle] = weakref.WeakSet()


class Handle:
    """Owns a ``struct stepd_client``. Any number of threads may call; none when it is closed."""

    def __init__(self, options: Any, signals: Signals) -> None:
        self._signals = signals
        self._user = ffi.new_handle(signals)
        self._pid = os.getpid()
        self._calls = 0
        self._idle = threading.Condition()
        self._client: Any = None
        _open.add(self)
        options.event_user = self._user
        options.interrupted = lib.ask_interrupted
        options.on_event = lib.tell_event
        error = ffi.new("struct stepd_error *")
        client = ffi.new("struct stepd_client **")
        status = lib.stepd_connect(options, client, error)
        if status == lib.STEPD_OK:
            self._client = client[0]
        try:
            check(status, error)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Any:
        """The client, for as long as the block lasts."""
        if os.getpid() != self._pid:
            raise FailedPrecondition(
                f"this client belongs to process {self._pid}, and its connections do not survive a "
                f"fork: call stepd.connect in process {os.getpid()} as well")
        with self._idle:
            if self._client is None or self._signals.closing:
                raise Cancelled("the client is closed")
            self._calls += 1
            return self._client

    def __exit__(self, *_: object) -> None:
        with self._idle:
            self._calls -= 1
            if self._calls == 0:
                self._idle.notify_all()

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        """Calls function(client, arguments..., error), and raises as it fails."""
        error = ffi.new("struct stepd_error *")
        with self as client:
            status = function(client, *arguments, error)
        check(status, error)

    @property
    def closed(self) -> bool:
        return self._client is None or self._signals.closing

    def close(self) -> None:
        """Ends calls of other threads and the client. In another process than its own, which has
        none of its threads, and again, it does nothing."""
        if os.getpid() != self._pid:
            return
        with self._idle:
            client = self._client
            if client is None or self._signals.closing:
                return
            self._signals.closing = True
            if not self._idle.wait_for(lambda: self._calls == 0, _CLOSE_S):
                print("stepd: a call has not ended, and its client stays open", file=sys.stderr)
                return
            self._client = None
        lib.stepd_close(client)

    def __del__(self) -> None:
        """Closes a client that was forgotten; a client's own thread cannot wait for its own end."""
        if getattr(self, "_client", None) is None:
            return
        if getattr(_raised, "in_event", False):
            threading.Thread(target=self.close).start()
        else:
            self.close()


@atexit.register
def _close_all() -> None:
    """No thread of a client is to meet an interpreter that ends."""
    for handle in list(_open):
        handle.close()


__all__ = ["Error", "Event", "Handle", "Signals", "check", "ffi", "lib", "milliseconds", "text_of"]
