# SPDX-License-Identifier: Apache-2.0
"""`stepd.torch.LocalSteps`: many steps of each worker's own, and then one of the server's.

After `sync_every` steps of an optimizer of PyTorch on its own batches, each worker pushes how far it
has moved, old weights minus new ones, as if that were a gradient. The server's optimizer makes its
step of the mean of all workers', and all go on from the weights that come of it. So a worker
exchanges its model once in `sync_every` steps, and the methods of the papers are settings:

    local SGD (Stich 2019), FedAvg (McMahan et al. 2017)    outer="sgd", lr=1.0
    FedAdam (Reddi et al. 2021)                             outer="adam", lr=0.01, betas=(0.9, 0.99), eps=1e-3
    DiLoCo (Douillard et al. 2023)                          outer="nesterov", lr=0.7, momentum=0.9
"""
from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy
import stepd
import torch

from . import checks
from .exchange import Slot
from .job import Job, frozen_groups, job_groups
from .parameters import plain_name, read, split_frozen
from .warn import warn
from .worker import Worker, world

WITH_MOMENTUM = ("momentum", "nesterov")


class LocalSteps:
    """Steps of `inner` on this worker alone, and every `sync_every` of them one of the server.

    model: whose parameters and buffers are broadcast from rank 0, and whose parameters are exchanged.
    inner: an optimizer of PyTorch over the model's parameters; its state stays this worker's. Schedulers
        of PyTorch, GradScaler and clipping work on it as ever.
    sync_every: steps of inner from one exchange to the next (H).
    outer: the server's optimizer, by name; lr, momentum and further hyperparameters are its own, and
        `schedule` counts exchanges. momentum: None is 0.9 for "momentum" and "nesterov".
    on_rollback: as of Optimizer.
    What stands at Optimizer about client, address, job, rank, workers, connect, mode, settings and
    broadcast_buffers holds here as well.

    It takes the optimizer's place in a loop: zero_grad(), step(), param_groups, and state_dict(), which is
    inner's. Steps that no exchange has followed at the end are exchanged by close(), which the end of the
    program does by itself.
    """

    def __init__(self, model: torch.nn.Module, inner: torch.optim.Optimizer, sync_every: int,
                 outer: str = "nesterov", lr: float = 0.7, momentum: float | None = None, *,
                 schedule: stepd.Schedule | None = None, client: Any = None, address: str | None = None,
                 job: str | None = None, rank: int | None = None, workers: int | None = None,
                 connect: Mapping[str, Any] | None = None, mode: str = "sync",
                 settings: Mapping[str, Any] | None = None, broadcast_buffers: bool = True,
                 on_rollback: str = "continue", **hyper: Any) -> None:
        if not isinstance(model, torch.nn.Module):
            raise TypeError(f"model is a torch.nn.Module, and not {type(model).__name__}")
        checks.one_of(checks.ROLLBACKS, on_rollback, "on_rollback")
        checks.optimizer_name(outer, str)
        self.inner, self.sync_every, self.on_rollback = inner, checks.count(sync_every, "sync_every", 1), on_rollback
        named, frozen = split_frozen(read(model, None)[1])
        check_same(named[0].parameters, inner)
        if momentum is None and outer in WITH_MOMENTUM:
            momentum = 0.9
        common = checks.settings({"optimizer": outer, "lr": lr, "momentum": momentum, "schedule": schedule, **hyper})
        self._slots = [Slot(name, p, i) for i, (name, p) in enumerate(named[0].parameters.items())]
        buffers = {plain_name(name, model): b for name, b in model.named_buffers()} if broadcast_buffers else {}
        groups = frozen_groups(list(frozen), named, bool(buffers)) + job_groups(named, common)
        self._worker = Worker(client, address, job, rank, connect)
        self._worker.belong(self)
        self.client = self._worker.client
        self._job = Job(self.client, self._slots, frozen, buffers, {
            "groups": groups, "mode": mode, "workers": world(workers), **(settings or {})}, self._worker.version)
        self._worker.before_leaving = self._finish
        self.outcome: Any = None
        self._steps = self._examples = 0  # since the last exchange
        self._loaded = False  # somebody has called the model's load_state_dict() since then
        self._handles = watch_loads(model, self)
        self._worker.after = self._unwatch
        try:
            with self._worker.waiting:
                self._job.begin()
            self._job.say_where()
        except BaseException:
            self._worker.close(leave=False)
            raise
        # Where the workers stand together: the weights that they last had of the server.
        self._base = {slot.name: slot.weights.array.copy() for slot in self._slots}

    def step(self, closure: Callable[[], Any] | None = None, *, examples: int = 1) -> Any:
        """A step of inner, and after every sync_every-th the exchange, which it waits for.

        examples: of this step's batch; their sum since the last exchange is the worker's weight in the
            mean.
        """
        if self._worker.closed:
            raise RuntimeError("these local steps are closed, and their connections have ended: make others")
        if self._loaded and not self._stands():
            raise RuntimeError(
                "the model has loaded weights since its last exchange, and how far they are from the server's would "
                "count as what this worker has learned: load weights before LocalSteps is made; refresh() takes "
                "the server's weights again")
        self._loaded = False
        self._job.check_frozen()
        examples = checks.count(examples, "examples")
        value = self.inner.step() if closure is None else self.inner.step(closure)
        self._steps += 1
        self._examples += examples
        if self._steps >= self.sync_every:
            self.sync()
        return value

    def sync(self) -> Any:
        """Exchanges now, whatever the count: pushes how far this worker has moved since the last time,
        and takes the server's weights. All workers of a sync job must do it. Returns the outcome."""
        moved = {}
        for slot in self._slots:
            slot.weights.check_place()
            slot.weights.take()
            moved[slot.name] = numpy.subtract(self._base[slot.name], slot.weights.array,
                                              out=self._base[slot.name])
        try:
            with self._worker.waiting:
                done = self.client.step(moved, out={slot.name: slot.weights.array for slot in self._slots},
                                        examples=self._examples)
            self.outcome = done.outcome
            for slot in self._slots:
                slot.weights.deliver()
        except stepd.RolledBack:
            if self.on_rollback == "raise":
                raise
            self._job.begin_again()
        self._start_over()
        return self.outcome

    def refresh(self) -> None:
        """Takes the server's weights into the model; steps since the last exchange are given up."""
        self._job.pull()
        self._start_over()

    def _start_over(self) -> None:
        for slot in self._slots:
            numpy.copyto(self._base[slot.name], slot.weights.array)
        self._steps = self._examples = 0
        self._loaded = False

    def _stands(self) -> bool:
        """Is the model where the last exchange has left it?"""
        return self._steps == 0 and all(slot.weights.holds(self._base[slot.name]) for slot in self._slots)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of inner."""
        self.inner.zero_grad(set_to_none)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of inner."""
        return self.inner.param_groups

    def state_dict(self) -> dict[str, Any]:
        """Of inner; the outer state is the server's, in its checkpoints."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of inner."""
        self.inner.load_state_dict(state_dict)

    def _finish(self) -> None:
        if self._steps > 0 and self._loaded:
            warn(f"the last {self._steps} local steps are not exchanged, as the model has loaded other weights since: "
                 "call sync() before")
        elif self._steps > 0:
            self.sync()

    def _unwatch(self) -> None:
        for handle in self._handles:
            handle.remove()

    def close(self, leave: bool = True) -> None:
        """Exchanges what has not been exchanged yet, leaves the job and ends the connections."""
        self._worker.close(leave)

    def __enter__(self) -> LocalSteps:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.close(leave=kind is None)


def watch_loads(model: torch.nn.Module, steps: LocalSteps) -> list[Any]:
    """Hooks that note where the model, or a part of it, loads weights."""
    reference = weakref.ref(steps)

    def note(*_: Any) -> None:
        alive = reference()
        if alive is not None:
            alive._loaded = True
    modules: list[Any] = list(model.modules())
    return [module.register_load_state_dict_post_hook(note) for module in modules]


def check_same(trained: Mapping[str, torch.Tensor], inner: torch.optim.Optimizer) -> None:
    """ValueError where inner's parameters are not the model's."""
    if not isinstance(inner, torch.optim.Optimizer):
        raise TypeError(f"inner is an optimizer of torch.optim, and not {type(inner).__name__}")
    own = {id(p) for group in inner.param_groups for p in group["params"]}
    strange = own - {id(p) for p in trained.values()}
    if strange:
        raise ValueError(f"inner has {len(strange)} parameters that are not the model's, or are not trained: make "
                         "it of model.parameters()")
