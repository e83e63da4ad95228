# SPDX-License-Identifier: Apache-2.0
"""stepd: ``optimizer.step()`` as a network service, from Python.

    import numpy, stepd

    with stepd.connect("127.0.0.1:7070", job="line") as c:
        c.define({"w": numpy.zeros(3, numpy.float32)}, groups=[stepd.Group(optimizer="sgd", lr=0.1)])
        w = c.pull()["w"]
        for _ in range(100):
            w = c.step({"w": 2 * (w - 1)}).weights["w"]

Weights and gradients are float32 arrays of numpy, by the tensors' names. A call that fails raises
:class:`Error`, by one of its subclasses. :func:`local` starts a server of one's own.
"""
from importlib.metadata import version as _version

from stepd import tree
from stepd._handle import Event
from stepd.arrays import Tensor
from stepd.client import Change, Checkpoint, Client, Lent, connect
from stepd.definition import (Constant, Defaults, Group, Init, Normal, Phase, Schedule, Uniform)
from stepd.errors import (Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, Error,
                          FailedPrecondition, Internal, InvalidArgument, NotFound, OutOfRange,
                          PermissionDenied, ResourceExhausted, RolledBack, Status, Unauthenticated,
                          Unavailable, Unimplemented)
from stepd.futures import Future, Outcome, Step
from stepd.local_daemon import LocalDaemon, local

__version__ = _version("stepd")

__all__ = [
    "Aborted", "AlreadyExists", "Cancelled", "Change", "Checkpoint", "Client", "Constant",
    "DataLoss", "DeadlineExceeded", "Defaults", "Error", "Event", "FailedPrecondition", "Future",
    "Group", "Init", "Internal", "InvalidArgument", "Lent", "LocalDaemon", "Normal", "NotFound", "OutOfRange",
    "Outcome", "PermissionDenied", "Phase", "ResourceExhausted", "RolledBack", "Schedule", "Status",
    "Step", "Tensor", "Unauthenticated", "Unavailable", "Unimplemented", "Uniform", "connect",
    "local", "tree",
]
