# SPDX-License-Identifier: Apache-2.0
"""When gradients are sent and weights waited for: as early and as late as the training loop allows.

Backward comes to the last layer first and the next forward to the first layer first. So a gradient
leaves when backward has brought it, while the earlier layers' are computed. Weights change in step()
and nowhere else, as any program may read them before and after it: what has come earlier waits aside.
Where the user says so they are waited for when the next forward begins, or when a module's forward is
about to use them. All that needs the loop to be of a kind that can be
seen, not known beforehand. So the first two steps learn, in which nothing leaves before step():

- how often backward brings each gradient. In later steps it leaves with the last time: a loop that
  accumulates over several backward passes sends its sum once. A step with fewer passes sends in
  step(); one with more is an error, before anything is added to what is being sent.
- whether gradients are changed between backward and step(), as clipping and unscaling do, or step()
  is told what must travel with them (loss, examples, a loss scale). Then they always leave in step().
- by layer, in the forward after it, which parameters are used without their own module being called.
  These are waited for before any module runs. One that is used in both ways is not recognized.

What departs from what was learned later is an error with its remedy, as far as PyTorch's versions of
tensors tell, and a sample of their elements: a gradient that is changed after it was sent, weights that are used before
they are there, and such that somebody else has written.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy
import stepd
import torch

from .exchange import WRITTEN, Exchange, Slot
from .waiting import Waiting

LEARNS = 2
"""So many steps are watched. The second shows what comes between two: a pass for another model's optimizer
brings gradients, too, as in adversarial training."""


class Traffic:
    """overlap: None learns; False sends all in step(); True sends from the first backward pass on.
    wait: "step": weights are waited for in step(); "forward": by a hook where the model's forward begins;
        "layer": each module waits for its own.
    still: the server's weights change by steps alone in which this worker has a part."""

    def __init__(self, client: Any, slots: Sequence[Slot], waiting: Waiting, overlap: bool | None, wait: str,
                 still: bool) -> None:
        self.client, self.slots, self.waiting, self.still = client, slots, waiting, still
        self.overlap, self.lazy, self.by_layer = overlap, wait != "step", wait == "layer"
        self.steps = 0  # that were begun
        self.examples = 1  # behind each gradient that is sent
        self.per_step = {slot.name: 1 for slot in slots}  # times that backward brings each
        self.eager = set(slots)  # waited for before any module runs; by_layer learns those that must be
        self.seen: set[Slot] = set()  # whose own module was called since the last step
        self.entered = False  # a module was called since the last step
        self.outcome: Any = None
        self.rolled_back: Exception | None = None  # the server went back: nothing counts until step()
        self.handles: list[Any] = []
        self.places: list[tuple[Slot, Any, str]] = []  # a parameter, its module, and its name there

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
        self.places = [(owned[id(p)], module, key) for module in model.modules()
                       for key, p in module._parameters.items() if id(p) in owned]
        if not self.lazy:
            return
        for module in model.modules():
            own = [owned[id(p)] for p in module.parameters(recurse=False) if id(p) in owned]
            if own or module is model:
                self.handles.append(module.register_forward_pre_hook(
                    lambda *_, own=own: self.before_forward(own)))
        whole: Any = model
        self.handles += [whole.register_state_dict_pre_hook(lambda *_: wait()),
                         whole._register_load_state_dict_pre_hook(lambda *_: wait())]

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
                f"already: in the first steps it came {self.per_step[slot.name]} times. If the number of "
                "backward passes varies, or step() is left out now and then, make the optimizer with overlap=False; "
                "after an interruption by the keyboard call step() once, to end the step that was begun")
        if slot.exchange is not None:
            raise RuntimeError(
                f"'{slot.name}' was used before its weights had arrived: it was read outside of the modules' "
                "forward, or a step was interrupted by the keyboard. Call optimizer.wait() before, or make the "
                "optimizer with wait='step'")

    def on_gradient(self, slot: Slot) -> None:
        """Backward has added to a gradient."""
        slot.mark(looks=self.overlap is None or (self.overlap and slot.large))
        if self.overlap and slot.large and slot.fired == self.per_step[slot.name]:
            self.guarded(lambda: self.send([slot], self.examples, aside=not self.lazy))

    def before_forward(self, own: Sequence[Slot]) -> None:
        if not self.entered:
            self.entered = True
            self.guarded(self.wait, self.eager)
        self.seen.update(own)
        self.guarded(self.wait, own)

    def guarded(self, call: Callable[..., Any], *arguments: Any) -> None:
        """In the middle of a pass nothing can be done about a server that went back: step() will."""
        if self.rolled_back is None:
            try:
                call(*arguments)
            except stepd.RolledBack as rolled_back:
                self.rolled_back = rolled_back

    # ---- Steps -------------------------------------------------------------------------------------

    def send(self, slots: Sequence[Slot], examples: int, **options: Any) -> None:
        for slot in slots:
            if slot.exchange is not None:
                slot.exchange.finish()
            if slot.weights.written():
                self.check_written(slot)
        Exchange(self.client, slots, self.waiting, examples=examples, **options)

    def check_written(self, slot: Slot) -> None:
        """RuntimeError where a parameter has other values now than the server. Averages that were swapped in
        for an evaluation and out again have not changed it."""
        weights = slot.weights
        if self.still or not weights.alike():
            theirs = weights.array if weights.beside else numpy.empty_like(weights.array)
            if not weights.beside:
                self.client.pull(out={slot.name: theirs})
            if not weights.holds(theirs):
                raise RuntimeError(WRITTEN.format(slot.name))
        weights.mark()

    def check_places(self) -> None:
        """RuntimeError where the model has another parameter now in the place of one of ours."""
        for slot, module, key in self.places:
            if module._parameters.get(key) is not slot.parameter:
                raise RuntimeError(
                    f"parameter '{slot.name}' of the model is another one now than when the optimizer was made "
                    "(load_state_dict(assign=True), a layer's parameter was replaced), and the one that the "
                    "model uses would not be trained: do that before the optimizer is made")

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
        self.check_places()
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
            self.send(rest, count, loss=loss, loss_scale=loss_scale)
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
        if self.steps < LEARNS and self.overlap is None:
            counts = {slot.name: slot.fired for slot in self.slots}
            if travels or any(slot.changed() for slot in self.slots) or (self.steps and counts != self.per_step):
                self.overlap = False
            self.per_step = counts
            if self.steps == LEARNS - 1 and self.overlap is None:
                self.overlap = True
        if self.steps == 1 and self.by_layer:
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
        """After a failure: waits for what is under way, which may fail as well, and forgets it."""
        self.rolled_back = None
        for slot in self.slots:
            if slot.exchange is not None:
                try:
                    slot.exchange.finish()
                except stepd.Error:
                    pass
            slot.forget()
