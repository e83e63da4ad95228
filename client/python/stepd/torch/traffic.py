# SPDX-License-Identifier: Apache-2.0
"""When gradients are sent and weights waited for: as early and as late as the training loop allows.

Backward comes to the last layer first and the next forward to the first layer first. So a gradient
leaves when backward has brought it, while the earlier layers' are computed, and weights are waited
for where the next forward begins or, where the user says so, when a module's forward is about to use
them. Both need the loop to be of a kind that can be
seen, not known beforehand. So the first step learns, in which nothing leaves before step():

- how often backward brings each gradient. In later steps it leaves with the last time: a loop that
  accumulates over several backward passes sends its sum once. A step with fewer passes sends in
  step(); one with more is an error, before anything is added to what is being sent.
- whether gradients are changed between backward and step(), as clipping and unscaling do, or step()
  is told what must travel with them (loss, examples, a loss scale). Then they always leave in step().
- by layer, in the forward after it, which parameters are used without their own module being called.
  These are waited for before any module runs. One that is used in both ways is not recognized.

What departs from what was learned later is an error with its remedy, as far as PyTorch's versions of
tensors tell: a gradient that is changed after it was sent, weights that are used before they are there.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import stepd
import torch

from .exchange import Exchange, Slot


class Traffic:
    """overlap: None learns; False sends all in step(); True sends from the first backward pass on.
    lazy: weights are waited for by forward's hooks, and not in step(); by_layer: each module waits for its
        own, instead of the model for all."""

    def __init__(self, client: Any, slots: Sequence[Slot], overlap: bool | None, lazy: bool,
                 by_layer: bool) -> None:
        self.client, self.slots = client, slots
        self.overlap, self.lazy, self.by_layer = overlap, lazy, by_layer
        self.steps = 0  # that were begun
        self.examples = 1  # behind each gradient that is sent
        self.per_step = {slot.name: 1 for slot in slots}  # times that backward brings each
        self.eager = set(slots)  # waited for before any module runs; by_layer learns those that must be
        self.seen: set[Slot] = set()  # whose own module was called since the last step
        self.entered = False  # a module was called since the last step
        self.outcome: Any = None
        self.rolled_back: Exception | None = None  # the server went back: nothing counts until step()
        self.handles: list[Any] = []

    # ---- Hooks -------------------------------------------------------------------------------------

    def watch(self, model: torch.nn.Module | None, wait: Callable[[], None]) -> None:
        """Sets the hooks. model: None where there is none to wait in. wait: before the model is saved."""
        for slot in self.slots:
            parameter: Any = slot.parameter
            self.handles += [
                parameter.register_hook(lambda _, slot=slot: self.before_gradient(slot)),
                parameter.register_post_accumulate_grad_hook(lambda _, slot=slot: self.on_gradient(slot))]
        if model is None:
            return
        owned = {id(slot.parameter): slot for slot in self.slots}
        for module in model.modules():
            own = [owned[id(p)] for p in module.parameters(recurse=False) if id(p) in owned]
            if own or module is model:
                self.handles.append(module.register_forward_pre_hook(
                    lambda *_, own=own: self.before_forward(own)))
        whole: Any = model
        self.handles.append(whole.register_state_dict_pre_hook(lambda *_: wait()))

    def unwatch(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def before_gradient(self, slot: Slot) -> None:
        """Backward is about to add to a gradient."""
        if self.rolled_back is not None:
            return  # it will be dropped
        if slot.sent:
            raise RuntimeError(
                f"backward brings another gradient of '{slot.name}', and the one of this step is on its way "
                f"already: in the first step it came {self.per_step[slot.name]} times. If the number of "
                "backward passes varies, make the optimizer with overlap=False")
        if slot.exchange is not None:
            raise RuntimeError(
                f"'{slot.name}' was used before its weights had arrived: it was read outside of the modules' "
                "forward. Call optimizer.wait() before, or make the optimizer with wait='step'")

    def on_gradient(self, slot: Slot) -> None:
        """Backward has added to a gradient."""
        slot.mark()
        if self.overlap and slot.large and slot.fired == self.per_step[slot.name]:
            torch.autograd.graph.increment_version(slot.parameter)  # who still needs it is told so
            self.guarded(self.send, [slot], self.examples)

    def before_forward(self, own: Sequence[Slot]) -> None:
        if not self.entered:
            self.entered = True
            self.guarded(self.wait, self.eager)
        self.seen.update(own)
        self.guarded(self.wait, own)

    def guarded(self, call: Callable[..., None], *arguments: Any) -> None:
        """In the middle of a pass nothing can be done about a server that went back: step() will."""
        if self.rolled_back is None:
            try:
                call(*arguments)
            except stepd.RolledBack as rolled_back:
                self.rolled_back = rolled_back

    # ---- Steps -------------------------------------------------------------------------------------

    def send(self, slots: Sequence[Slot], examples: int, **options: Any) -> None:
        Exchange(self.client, slots, examples=examples, **options)

    def wait(self, slots: Iterable[Slot] | None = None) -> None:
        """Until the weights of these have arrived; of all, unless it says which."""
        for slot in self.slots if slots is None else slots:
            if slot.exchange is not None:
                self.outcome = slot.exchange.finish()

    def step(self, examples: int | None, loss: float | None, loss_scale: float | None,
             spoiled: bool) -> None:
        """Sends what has not been sent; waits, unless forward does. spoiled: the gradients are not
        finite, and this worker contributes none. Raises stepd.RolledBack where the server went back."""
        if self.rolled_back is not None:
            raise self.rolled_back
        self.learn(examples is not None or loss_scale is not None or spoiled)
        sent = {slot for slot in self.slots if slot.sent}
        self.check_sent(sent, examples, loss_scale, spoiled)
        rest = [slot for slot in self.slots if slot not in sent]
        count = self.examples if examples is None else examples
        if spoiled or not (sent or any(slot.parameter.grad is not None for slot in rest)):
            count = 0  # present, without a gradient
        if self.lazy:
            for batch in self.batches(rest):
                self.send(batch, count, loss=loss, loss_scale=loss_scale)
        elif rest:
            self.outcome = Exchange(self.client, rest, examples=count, loss=loss, loss_scale=loss_scale,
                                    at_once=True).outcome
        self.steps += 1
        self.entered = False
        self.seen.clear()
        for slot in self.slots:
            slot.forget()
        if not self.lazy:
            self.wait()

    @staticmethod
    def batches(slots: Sequence[Slot]) -> Iterable[list[Slot]]:
        """Large tensors alone, small ones together; the first layer's first."""
        small = [slot for slot in slots if not slot.large]
        batches = [[slot] for slot in slots if slot.large] + ([small] if small else [])
        return sorted(batches, key=lambda batch: -batch[0].priority)

    def learn(self, travels: bool) -> None:
        if self.steps == 0 and self.overlap is None:
            self.per_step = {slot.name: slot.fired for slot in self.slots}
            self.overlap = not travels and not any(slot.changed() for slot in self.slots)
        elif self.steps == 1 and self.by_layer:
            self.eager = {slot for slot in self.slots if slot not in self.seen}

    def check_sent(self, sent: Iterable[Slot], examples: int | None, loss_scale: float | None,
                   spoiled: bool) -> None:
        """RuntimeError where what was sent during backward is not what step() means."""
        for slot in sent:
            if slot.changed():
                raise RuntimeError(
                    f"the gradient of '{slot.name}' was changed after it had been sent, which it was when "
                    "backward had brought it: make the optimizer with overlap=False; to clip, let the server "
                    "do it (settings={'clip_global_norm': ...}, or clip_value=...)")
        if sent and (loss_scale is not None or spoiled):
            raise RuntimeError("a GradScaler came when gradients had been sent already, as they are without "
                               "one: use it from the first step on, or make the optimizer with overlap=False")
        if sent and examples is not None and examples != self.examples:
            raise RuntimeError(
                f"gradients have been sent as those of {self.examples} examples, and step() says {examples}: "
                "say it before backward, optimizer.examples = n, or make the optimizer with overlap=False")

    def drop(self) -> None:
        """After the server went back: waits for what is under way, which fails, and forgets it."""
        self.rolled_back = None
        for slot in self.slots:
            if slot.exchange is not None:
                try:
                    slot.exchange.finish()
                except stepd.Error:
                    pass
            slot.forget()
