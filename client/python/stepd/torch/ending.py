# SPDX-License-Identifier: Apache-2.0
"""How a program ends: well, or by an error, which nobody tells those who are called at its exit.

A program has ended well when its main module has run to its last line, or was ended by sys.exit() with
status 0 or none. Its outermost frame is kept, and says at the exit whether it has returned. An exception
that ended the program has left sys.last_type, and sys.exit() is wrapped so that it leaves its status.
In an interactive session people see errors and go on, and its end is theirs: that is well.
"""
from __future__ import annotations

import atexit
import dis
import functools
import multiprocessing
import multiprocessing.util
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class Program:
    """This process, from when the package was imported: before anybody looks sys.exit up, as
    sys.exit(main()) does before main() is called."""

    def __init__(self) -> None:
        self.frame = outermost()
        self.exits_well: bool | None = None
        """What the newest sys.exit() said; None: there was none."""
        self.before = sys.exit

        @functools.wraps(self.before)
        def wrapped(status: Any = None, /) -> Any:
            self.exits_well = status in (None, 0)
            self.before(status)
        sys.exit = wrapped

    def ended_well(self) -> bool | None:
        """None: nobody knows; SystemExit was raised by hand."""
        if hasattr(sys, "ps1") or has_returned(self.frame):
            return True
        if hasattr(sys, "last_type") or hasattr(sys, "last_exc"):
            return False
        return self.exits_well


def outermost() -> FrameType | None:
    """The frame in which all of the program runs."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def has_returned(frame: FrameType | None) -> bool:
    """Has a frame that is over returned, and not raised?"""
    if frame is None or frame.f_lasti < 0:
        return False
    return dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN_")


def child_ended_well() -> bool:
    """The same for a process of multiprocessing, which calls its finalizers while it is being ended."""
    exception = sys.exc_info()[1]
    return exception is None or (isinstance(exception, SystemExit) and exception.code in (None, 0))


_program = Program()


def at_exit(call: Callable[[bool | None], None]) -> Callable[[], None]:
    """Has call(whether the program has ended well) called at its end; returns what takes that back. A process that
    is forked from this one does not call it."""
    pid = os.getpid()

    def end() -> None:
        if os.getpid() == pid:
            call(_program.ended_well())
    atexit.register(end)
    finalizer = None
    if multiprocessing.parent_process() is not None:  # such may end without what atexit has
        finalizer = multiprocessing.util.Finalize(None, lambda: call(child_ended_well()), exitpriority=10)

    def take_back() -> None:
        atexit.unregister(end)
        if finalizer is not None:
            finalizer.cancel()
    return take_back
