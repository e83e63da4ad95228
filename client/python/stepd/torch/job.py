# SPDX-License-Identifier: Apache-2.0
"""The job of a model: its tensors, its groups, and what becomes of them when the server went back.

The tensors are the parameters that are trained, those that are not (as a frozen group), and the
model's buffers, as `buffers/NAME`, frozen too: all workers begin with rank 0's. Integers and switches
among the buffers travel as floats, and are refused where these are too coarse for them.
"""
from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
import stepd
import torch

from .arrays import Weights
from .exchange import Slot
from .grouping import Pattern, literal, patterns
from .parameters import Named

BUFFERS = "buffers/"
FROZEN = "frozen"
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
    """definition: the keyword arguments of stepd.Client.define()."""

    def __init__(self, client: Any, slots: Sequence[Slot], frozen: Mapping[str, torch.Tensor],
                 buffers: Mapping[str, torch.Tensor], definition: Mapping[str, Any]) -> None:
        self.client, self.slots, self.definition = client, slots, definition
        self.frozen = [Weights(name, tensor) for name, tensor in frozen.items()]
        self.buffers = dict(buffers)

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

    def begin_again(self, why: Exception) -> None:
        """After the server went back: takes its weights, which are older, or gives it this worker's,
        where it has none any more."""
        self.begin()
        warnings.warn(f"the server went back, and training goes on from the weights that it has now: {why}",
                      RuntimeWarning, stacklevel=4)
