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

from .arrays import Weights, gradient

LARGE_ELEMENTS = 32768
"""Tensors of so many elements are sent as soon as their gradient is there. Smaller ones share slices
with others of their group, which libstepd sends when the last has been given: they go together."""


class Slot:
    """A parameter that is trained."""

    def __init__(self, name: str, parameter: torch.Tensor, place: int) -> None:
        self.name, self.parameter = name, parameter
        self.weights = Weights(name, parameter)
        self.priority = -place  # the next forward pass needs the first ones first
        self.large = parameter.numel() >= LARGE_ELEMENTS
        self.exchange: Exchange | None = None  # under way
        self.sent = False  # its gradient of this step
        self.fired = 0  # times that backward has brought a gradient since the last step
        self.brought: tuple[torch.Tensor, int] | None = None  # the gradient then, and its version

    def mark(self) -> None:
        """Backward has brought a gradient."""
        self.fired += 1
        grad = self.parameter.grad
        self.brought = None if grad is None else (grad, int(grad._version))

    def changed(self) -> bool:
        """Has somebody changed the gradient since backward brought it?"""
        if self.brought is None:
            return self.parameter.grad is not None
        grad, version = self.brought
        return self.parameter.grad is not grad or grad._version != version

    def forget(self) -> None:
        self.sent, self.fired, self.brought = False, 0, None


class Exchange:
    """One step of some slots. examples: 0 is a contribution without gradients, which are not read.
    at_once: waits for the weights here, in which libstepd's own thread need not be woken."""

    def __init__(self, client: Any, slots: Sequence[Slot], *, examples: int, loss: float | None = None,
                 loss_scale: float | None = None, at_once: bool = False) -> None:
        self.slots, self.examples = slots, examples
        grads = {}
        for slot in slots:
            if slot.exchange is not None:
                slot.exchange.finish()
            slot.weights.check_place()
            grads[slot.name] = self.gradient_of(slot)
        options = {"out": {slot.name: slot.weights.array for slot in slots}, "examples": examples,
                   "loss": loss, "loss_scale": loss_scale, "priority": max(s.priority for s in slots)}
        if at_once:
            self.arrived(client.step(grads, **options))
            return
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
            step = self.future.result()
        except Exception:
            self.release()
            raise
        self.release()
        self.arrived(step)
        return self.outcome

    def arrived(self, step: Any) -> None:
        self.outcome = step.outcome
        for slot in self.slots:
            slot.weights.deliver()

    def release(self) -> None:
        """Nothing is under way any more."""
        for slot in self.slots:
            if slot.exchange is self:
                slot.exchange = None
