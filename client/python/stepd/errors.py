# SPDX-License-Identifier: Apache-2.0
"""What can go wrong: one exception for each status of the protocol.

All are :class:`Error`, and where Python has an exception of the same meaning, that too: who catches
``TimeoutError`` or ``ConnectionError`` catches the like of this package.
"""
from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """The numbers that the server says; <stepd/status.h> says what each means."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16
    ROLLED_BACK = 17


class Error(RuntimeError):
    """Whatever stepd refuses or fails at. ``code`` says it to programs, the text to people."""

    code: Status = Status.UNKNOWN


class Cancelled(Error):
    """The client was closed, or the wait was given up."""

    code = Status.CANCELLED


class InvalidArgument(Error, ValueError):
    """An argument is malformed: the text names it, and the tensor that it belongs to."""

    code = Status.INVALID_ARGUMENT


class DeadlineExceeded(Error, TimeoutError):
    """What was waited for has not happened in time; the text names who or what it is."""

    code = Status.DEADLINE_EXCEEDED


class NotFound(Error):
    """There is no such job, group or setting."""

    code = Status.NOT_FOUND


class AlreadyExists(Error):
    """The rank is taken by a living worker."""

    code = Status.ALREADY_EXISTS


class PermissionDenied(Error):
    """Not for this client: an observer changes nothing."""

    code = Status.PERMISSION_DENIED


class ResourceExhausted(Error):
    """No memory here or at the server, or one of its limits."""

    code = Status.RESOURCE_EXHAUSTED


class FailedPrecondition(Error):
    """Not now: something must be done before, and the text says what."""

    code = Status.FAILED_PRECONDITION


class Aborted(Error):
    """Given up in favour of something else."""

    code = Status.ABORTED


class OutOfRange(Error):
    """Beyond what there is."""

    code = Status.OUT_OF_RANGE


class Unimplemented(Error):
    """The server does not know this."""

    code = Status.UNIMPLEMENTED


class Internal(Error):
    """A mistake of stepd's own."""

    code = Status.INTERNAL


class Unavailable(Error, ConnectionError):
    """The server cannot be reached; after a lost connection the client has given up."""

    code = Status.UNAVAILABLE


class DataLoss(Error):
    """A checkpoint cannot be read."""

    code = Status.DATA_LOSS


class Unauthenticated(Error):
    """The server wants credentials."""

    code = Status.UNAUTHENTICATED


class RolledBack(Error):
    """The server went back to an earlier state, or has begun the job anew.

    What was computed is of weights that are no more: call :meth:`Client.define` again with the same
    arguments, then :meth:`Client.pull`, and go on from there.
    """

    code = Status.ROLLED_BACK


_KINDS: dict[int, type[Error]] = {
    int(kind.code): kind
    for kind in (Cancelled, InvalidArgument, DeadlineExceeded, NotFound, AlreadyExists,
                 PermissionDenied, ResourceExhausted, FailedPrecondition, Aborted, OutOfRange,
                 Unimplemented, Internal, Unavailable, DataLoss, Unauthenticated, RolledBack)
}


def error_of(code: int, text: str) -> Error:
    """The exception of a status that is not OK."""
    return _KINDS.get(code, Error)(text)
