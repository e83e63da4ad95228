# SPDX-License-Identifier: Apache-2.0
"""What is under way between a model's parameters and the server.

A Slot is a parameter and its tensor of the job; an Exchange is one step of some of them: their
gradients go out, and the weights that come of it arrive, both by libstepd's own thread. Until it is
finished its gradients may not be written, nor its weights read.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch

from .arrays import Weights, gradient, sample_of
from .waiting import Waiting

LARGE_ELEMENTS = 32768
"""Tensors of so many elements are sent as soon as their gradient is there. Smaller ones share slices
with others of their group, which libstepd sends when the last has been given: they go together."""


WRITTEN = ("parameter '{}' has been written to since its weights came from the server (by model.load_state_dict(), "
           "in place, by Embedding(max_norm=...)), and the server, which makes the steps, does not know of it: "
           "load weights before the optimizer is made, as rank 0's are the job's first; the weights of a job "
           "that goes on are in the server's checkpoints (stepctl import); optimizer.refresh() takes the "
           "server's weights in the place of what was written")


class Slot:
    """A parameter that is trained. whole: all elements are looked at for what others write."""

    def __init__(self, name: str, parameter: torch.Tensor, place: int, whole: bool = False) -> None:
        self.name, self.parameter, self.whole = name, parameter, whole
        self.weights = Weights(name, parameter, whole)
        self.priority = -place  # the next forward pass needs the first ones first
        self.large = parameter.numel() >= LARGE_ELEMENTS
        self.exchange: Exchange | None = None  # under way
        self.sent = False  # its gradient of this step
        self.fired = 0  # times that backward has brought a gradient since the last step
        self.brought: tuple[torch.Tensor, int, bytes | None] | None = None  # the gradient then, its version, a sample

    def mark(self, looks: bool) -> None:
        """Backward has brought a gradient. looks: changed() will be asked."""
        self.fired += 1
        grad = self.parameter.grad
        self.brought = None
        if grad is not None and looks and grad.layout is torch.strided:
            self.brought = (grad, int(grad._version), sample_of(grad, self.whole))

    def changed(self) -> bool:
        """Has somebody changed the gradient since backward brought it?"""
        if self.brought is None:
            return self.parameter.grad is not None
        grad, version, noted = self.brought
        return (self.parameter.grad is not grad or grad._version != version or
                (noted is not None and sample_of(grad, self.whole) != noted))

    def forget(self) -> None:
        self.sent, self.fired, self.brought = False, 0, None


class Exchange:
    """One step of some slots. examples: 0 is a contribution without gradients, which are not read.
    waiting: to be entered by what waits. aside: weights that come change no parameter before finish()."""

    def __init__(self, client: Any, slots: Sequence[Slot], waiting: Waiting, *, examples: int,
                 loss: float | None = None, loss_scale: float | None = None, aside: bool = False) -> None:
        self.slots, self.waiting, self.examples, self.aside = slots, waiting, examples, aside
        grads, out = {}, {}
        for slot in slots:
            slot.weights.check_place()
            grads[slot.name] = self.gradient_of(slot)
            out[slot.name] = slot.weights.aside() if aside else slot.weights.array
        options = {"out": out, "examples": examples, "loss": loss, "loss_scale": loss_scale,
                   "priority": max(s.priority for s in slots)}
        if not aside:
            for slot in slots:
                slot.weights.announce()
        self.future = client.step_start(grads, **options)
        for slot in slots:
            slot.exchange, slot.sent = self, True

    def gradient_of(self, slot: Slot) -> numpy.ndarray:
        grad = gradient(slot.name, slot.parameter) if self.examples else None
        return numpy.zeros_like(slot.weights.array) if grad is None else grad

    def finish(self) -> Any:
        """Waits until the weights are there, and returns the outcome. A wait that is interrupted by the
        keyboard may go on."""
        try:
            with self.waiting:
                step = self.future.result()
        except Exception:
            self.release()
            raise
        self.release()
        self.arrived(step)
        return self.outcome

    def arrived(self, step: Any) -> None:
        """RuntimeError where somebody has written into a parameter meanwhile."""
        self.outcome = step.outcome
        written = [slot.name for slot in self.slots if not slot.weights.deliver(self.aside)]
        if written:
            raise RuntimeError(WRITTEN.format(written[0]))

    def release(self) -> None:
        """Nothing is under way any more."""
        for slot in self.slots:
            if slot.exchange is self:
                slot.exchange = None
