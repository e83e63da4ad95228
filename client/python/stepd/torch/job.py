# SPDX-License-Identifier: Apache-2.0
"""The job of a model: its tensors, its groups, and what becomes of them when the server went back.

The tensors are the parameters that are trained, those that are not (as a frozen group), and the
model's buffers, as `buffers/NAME`, frozen too: all workers begin with rank 0's. Integers and switches
among the buffers travel as floats, and are refused where these are too coarse for them.
"""
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
import stepd
import torch

from .arrays import Weights
from .exchange import Slot
from .grouping import Pattern, literal, patterns
from .parameters import Named
from .warn import warn

log = logging.getLogger("stepd.torch")

BUFFERS = "buffers/"
FROZEN = "frozen"
ANEW = ("the server was started anew and has lost the job's state: training goes on from the weights that the workers "
        "have (rank 0's)")
OR_RAISE = "(on_rollback='raise' makes this an error of step(), stepd.RolledBack, for the program to deal with.)"
EXACT = 1 << 24
"""Up to here each whole number is a float32."""


def buffer_array(name: str, buffer: torch.Tensor) -> numpy.ndarray:
    """A buffer's values as float32. ValueError where they cannot be."""
    values = buffer.detach().to("cpu")
    if values.is_complex() or values.layout is not torch.strided:
        raise ValueError(f"buffer '{name}' is {values.dtype}, {values.layout}, which stepd cannot carry; make "
                         "the optimizer with broadcast_buffers=False")
    if not values.is_floating_point() and values.numel() and int(values.abs().max() if
                                                                values.dtype is not torch.bool else 1) > EXACT:
        raise ValueError(f"buffer '{name}' has whole numbers above {EXACT}, which float32 is too coarse for; "
                         "make the optimizer with broadcast_buffers=False and let each worker have its own")
    return values.to(torch.float32).contiguous().clone().numpy()


def frozen_groups(frozen: Sequence[str], trained: Sequence[Named], buffers: bool) -> list[stepd.Group]:
    """Groups of what is not trained; they come first."""
    groups = []
    if buffers:
        groups.append(stepd.Group(match=f"{literal(BUFFERS)}*", name="buffers", frozen=True))
    if frozen:
        own = [{name: 0 for name in frozen}, {name: 0 for group in trained for name in group.parameters}]
        groups += [stepd.Group(match=pattern.match, name=f"{FROZEN} {pattern.match}", frozen=True)
                   for pattern in patterns(own)[0]]
    return groups


def job_groups(groups: Sequence[Named], common: Mapping[str, Any]) -> list[stepd.Group]:
    """Each param group as groups of stepd. common: what all have, and a group may say otherwise."""
    shapes = [{name: p.dim() for name, p in group.parameters.items()} for group in groups]
    made = []
    for number, (group, found) in enumerate(zip(groups, patterns(shapes))):
        settings = {**common, **group.said}
        for pattern in found:
            name = settings.get("name") or (f"group {number}" if len(groups) > 1 else pattern.match)
            if len(found) > 1:
                name = f"{name} of {pattern.match}"
            made.append(stepd.Group(
                match=pattern.match, ndim=pattern.ndim, name=name,
                **{key: value for key, value in settings.items() if key != "name" and value is not None}))
    return made


def owner(groups: Sequence[stepd.Group], name: str, ndim: int) -> int | None:
    """Which group has a tensor: the first that takes it."""
    return next((i for i, group in enumerate(groups)
                 if Pattern(group.match or "*", tuple(group.ndim)).takes(name, ndim)), None)


class Job:
    """definition: the keyword arguments of stepd.Client.define(). version: of its weights, as the server says;
    None: it is not known."""

    def __init__(self, client: Any, slots: Sequence[Slot], frozen: Mapping[str, torch.Tensor],
                 buffers: Mapping[str, torch.Tensor], definition: Mapping[str, Any],
                 version: Callable[[], int | None] = lambda: None) -> None:
        self.client, self.slots, self.definition = client, slots, definition
        self.frozen = [Weights(name, tensor) for name, tensor in frozen.items()]
        self.fixed = [weights for weights in self.frozen if not weights.parameter.requires_grad]
        self.told: set[str] = set()  # of which a warning has been given
        self.buffers, self.version = dict(buffers), version

    def begin(self) -> None:
        """Defines the job and brings its weights and buffers into the model: rank 0's, or those that
        the server has already."""
        held = [*(slot.weights for slot in self.slots), *self.frozen]
        for weights in held:
            weights.take()
        carried = {BUFFERS + name: buffer_array(name, buffer) for name, buffer in self.buffers.items()}
        arrays = {weights.name: weights.array for weights in held} | carried
        self.client.define(arrays, **self.definition)
        self.client.pull(out=arrays)
        for weights in held:
            weights.deliver()
        for name, buffer in self.buffers.items():
            with torch.no_grad():
                buffer.copy_(torch.from_numpy(carried[BUFFERS + name]))

    def say_where(self) -> None:
        """A log line where the job is one that has begun: whoever starts a program anew may not expect that."""
        version = self.version() if self.definition.get("mode") == "sync" else None
        if version:
            log.warning("stepd: the job is at version %d already: training goes on from the weights, moments and "
                        "schedule that the server has. A job that all its workers have left is begun anew", version)

    def pull(self) -> None:
        """The server's weights into the parameters that are trained."""
        self.client.pull(out={slot.name: slot.weights.array for slot in self.slots})
        for slot in self.slots:
            slot.weights.deliver()

    def check_frozen(self) -> None:
        """RuntimeError where a parameter began to require a gradient; a warning where one has ceased to."""
        for weights in self.fixed:
            if weights.parameter.requires_grad:
                raise RuntimeError(
                    f"'{weights.name}' requires a gradient now, and did not when the optimizer was made: it is in a "
                    "frozen group of the job, and would stay as it is. What is to be trained later has "
                    "requires_grad=True when the optimizer is made, in a group of its own with lr=0, and "
                    "optimizer.change(group=..., lr=...) when its time comes")
        for slot in self.slots:
            if not slot.parameter.requires_grad and slot.name not in self.told:
                self.told.add(slot.name)
                warn(f"'{slot.name}' requires no gradient any more, and contributes zeros from now on: momentum and "
                     "weight decay go on with it; optimizer.change(group=..., lr=0) stops a group")

    def begin_again(self) -> None:
        """After the server went back: takes its weights, which are older, or gives it this worker's,
        where it has none any more."""
        self.begin()
        version = self.version()
        if version == 0:
            warn(f"{ANEW}, but the optimizer's moments and the learning-rate schedule begin anew, from step 0. A "
                 f"daemon with --checkpoint-dir goes on from its last checkpoint instead. {OR_RAISE}")
        elif version is None:
            warn("the server went back to a checkpoint, or has lost the job's state: training goes on from the "
                 f"weights, moments and schedule that it has now, and later steps are lost. {OR_RAISE}")
        else:
            warn(f"the server went back to a checkpoint: training goes on from the weights, moments and schedule that "
                 f"it has now, of version {version}, and later steps are lost. {OR_RAISE}")
