# SPDX-License-Identifier: Apache-2.0
"""`stepd.torch.Optimizer`: an optimizer of PyTorch whose step a server takes, for all workers.

    optimizer = stepd.torch.Optimizer(model, "adam", lr=1e-3)
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()             # gradients leave, the last layer's first
        optimizer.step()            # the rest leaves, and the weights that come of all are in the model

Every worker runs the same script. In mode sync a step is made of the mean of all workers' gradients.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import stepd
import torch

from . import checks
from .exchange import Slot
from .job import Job, frozen_groups, job_groups, owner
from .parameters import Named, named_groups, plain_name, read, split_frozen
from .schedulers import calls_made
from .traffic import Traffic
from .translate import Settings
from .worker import Worker, world

WITHOUT = {"backup", "close_examples"}  # settings by which a round may close without a worker
NOT_SETTINGS = ("params", "param_names")


class Optimizer(torch.optim.Optimizer):
    """An optimizer of PyTorch whose step a server takes, for all workers of a job.

    params: the model, model.named_parameters(), or param groups as of PyTorch, dicts with such pairs:
        [{"params": model.head.named_parameters(prefix="head"), "lr": 1e-3}, ...]. With the model (here
        or as model=) its buffers are broadcast. Names are the plain ones, also of a model of
        torch.compile() (without "_orig_mod.") or in DistributedDataParallel (without "module.").
        Parameters are float32; of float16 and bfloat16 the server keeps float32 masters.
    optimizer: one of stepd's, by name ('stepctl optimizers' lists them), or what `from_torch` made of
        one of PyTorch's. None: the job is defined in the server's file.
    lr, **hyper: its hyperparameters, by name, and what else a group has: clip_value, ema_decay, ...
    groups: stepd.Group(match="*.bias", weight_decay=0), ...: by names, in the place of param groups; the
        first that matches a tensor has it, and what it does not say is as said for all.
    schedule: stepd.Schedule("cosine", t_max=10_000, warmup=500): of the learning rate, by updates.
    client: a stepd.Client that is connected, and stays the caller's to close. Without it one is made:
        address: the server's; None: STEPD_ADDRESS, or 127.0.0.1:7070.
        job: its name; None: STEPD_JOB, or "torch".
        rank, workers: None: as the launcher says (stepctl launch, torchrun, Slurm, Open MPI), or one
            worker alone.
        connect: further arguments of stepd.connect(): {"push_dtype": "bf16", "token": ...}.
    mode, settings: how gradients become steps, "sync", "async" or "bounded", and what stands beside it:
        {"clip_global_norm": 1.0, "nonfinite": "skip", ...}.
    broadcast_buffers: all workers begin with rank 0's buffers (the running statistics of BatchNorm, ...);
        later on each keeps its own, as under DistributedDataParallel(broadcast_buffers=False).
    overlap: whether gradients are sent while backward goes on. None: found out in the first two steps; where
        gradients are clipped or unscaled, or step() says examples= or loss=, they leave in step().
    wait: "step": when step() returns the new weights are in the model, and nothing else changes them. For who
        has work between step() and the next forward (loading a batch, say) that weights may arrive behind,
        where the model is given: "forward": they are waited for where its next forward begins;
        "layer": each module waits for its own when forward comes to it, which is for models that read
        no parameter but in its own module's forward. With these two, weights are of no step in particular
        from backward until that forward: nothing may read or write them meanwhile (averages of them, norms,
        functional_call, a copy) unless wait() has been called; model.state_dict() and load_state_dict() call it.
    check: looks at all elements of gradients that were sent and of weights for what others have written
        there, and not at 64 of each: finds every write by `.data`, for a pass over them in each step.
    on_rollback: "continue": when the server went back to a checkpoint, or lost its state, training goes
        on from what it has, with a warning; "raise": step() raises stepd.RolledBack.

    Raises stepd.Error where the server refuses something, with its reason: another model or other
    settings than the job has, NaN in a gradient, a server that is gone for too long.

    The weights are the server's. What somebody else writes into a parameter (load_state_dict(), an
    initialization, clipping) is an error of the next step; load weights before the optimizer is made, or
    call refresh() to have the server's again. So is a parameter that begins to require a gradient.

    Learning rates and other hyperparameters are the server's. A scheduler of PyTorch cannot drive them:
    translate it with from_torch. Whatever changes param_groups is an error of the next step();
    `change()` is the way.
    """

    _step_supports_amp_scaling = True  # torch.amp.GradScaler then hands in its scale and what it found

    def __init__(self, params: Any, optimizer: str | Settings | None = "sgd", lr: float | None = None,
                 groups: Sequence[stepd.Group] | None = None, schedule: stepd.Schedule | None = None, *,
                 model: torch.nn.Module | None = None, client: Any = None, address: str | None = None,
                 job: str | None = None, rank: int | None = None, workers: int | None = None,
                 connect: Mapping[str, Any] | None = None, mode: str = "sync",
                 settings: Mapping[str, Any] | None = None, broadcast_buffers: bool = True,
                 overlap: bool | None = None, wait: str = "step", check: bool = False,
                 on_rollback: str = "continue", **hyper: Any) -> None:
        checks.one_of(checks.WAITS, wait, "wait")
        checks.one_of(checks.ROLLBACKS, on_rollback, "on_rollback")
        checks.optimizer_name(optimizer, Settings)
        self.on_rollback = on_rollback
        common: dict[str, Any] = {"lr": lr, "schedule": schedule, **hyper}
        model, named, frozen = self._parameters(params, model, optimizer, common, groups)
        if wait != "step" and model is None:
            raise ValueError(f"wait={wait!r} waits in the model's forward, and the model is not given: "
                             "Optimizer(model, ...), or model=")
        named = [Named(group.parameters, checks.settings(group.said)) for group in named]
        common = checks.settings(common)
        translated = optimizer if isinstance(optimizer, Settings) else None
        self._schedulers = () if translated is None else translated.schedulers
        self._every = 1 if translated is None else translated.every
        made = None
        if optimizer is not None:
            if translated is None:
                common["optimizer"] = optimizer
            made = self._by_names(groups, common) if groups is not None else job_groups(named, common)
        super().__init__(self._torch_groups(named, made, common), {"lr": lr})
        self._said = [self._settings(group) for group in self.param_groups]

        slots = [Slot(name, p, i, check) for i, (name, p) in enumerate(
            (name, p) for group in named for name, p in group.parameters.items())]
        buffers = {plain_name(name, model): buffer for name, buffer in model.named_buffers()} \
            if model is not None and broadcast_buffers and made else {}
        definition: dict[str, Any] = {"groups": None}
        if made is not None:
            definition = {"groups": frozen_groups(list(frozen), named, bool(buffers)) + made, "mode": mode,
                          "workers": world(workers), **(settings or {})}
        self._worker = Worker(client, address, job, rank, connect)
        self._worker.belong(self)
        self.client = self._worker.client
        self._job = Job(self.client, slots, frozen, buffers, definition, self._worker.version)
        self._by_loss = None if made is None else checks.goes_by_loss(made)
        self._traffic = Traffic(self.client, slots, self._worker.waiting, self._overlap(overlap, made), wait,
                                still=mode == "sync" and made is not None and not WITHOUT & set(settings or ()))
        self._updates = 0  # steps that step() has made here
        self._worker.before_leaving = self._traffic.wait
        self._worker.after = self._traffic.unwatch
        try:
            with self._worker.waiting:
                self._job.begin()
            self._job.say_where()
        except BaseException:
            self.close(leave=False)
            raise
        self._traffic.watch(model, self.wait)

    # ---- What it is made of ------------------------------------------------------------------------

    @staticmethod
    def _parameters(params: Any, model: torch.nn.Module | None, optimizer: Any, common: dict[str, Any],
                    groups: Any) -> tuple[torch.nn.Module | None, list[Named], dict[str, torch.Tensor]]:
        """The model, the groups of what is trained, and what is not."""
        model, named = read(params, model)
        left: dict[str, torch.Tensor] = {}
        if isinstance(optimizer, Settings):
            said = [name for name in ("lr", "schedule") if common[name] is not None]
            said += ["groups"] if groups is not None else []
            said += ["params"] if len(named) > 1 or named[0].said else []
            if said:
                raise ValueError(f"{', '.join(said)}: what from_torch() made says all of a group's settings; "
                                 "change them in PyTorch's optimizer before it is translated")
            named, left = named_groups(named, optimizer)
        if groups is not None and (len(named) > 1 or named[0].said):
            raise ValueError("both params and groups= say what the groups are: give one of them")
        named, frozen = split_frozen(named)
        return model, named, {**left, **frozen}

    @staticmethod
    def _by_names(groups: Sequence[stepd.Group], common: Mapping[str, Any]) -> list[stepd.Group]:
        """Groups as given, with what is said for all where they do not say otherwise."""
        made = []
        for group in groups:
            own: dict[str, Any] = {"optimizer": group.optimizer, "schedule": group.schedule, **group.params}
            own = {**common, **{key: value for key, value in own.items() if value is not None}}
            made.append(stepd.Group(match=group.match, name=group.name, frozen=group.frozen, ndim=group.ndim,
                                    phases=group.phases, **({} if group.frozen else own)))
        return made

    @staticmethod
    def _torch_groups(named: Sequence[Named], made: Sequence[stepd.Group] | None,
                      common: Mapping[str, Any]) -> list[dict[str, Any]]:
        """param_groups, for people and for what goes through them (GradScaler, clipping)."""
        taken: dict[Any, dict[str, Any]] = {}
        for number, group in enumerate(named):
            for name, parameter in group.parameters.items():
                key: Any = number
                said = {**common, **group.said}
                if made is not None and len(named) == 1 and not group.said:
                    key = owner(made, name, parameter.dim())
                    if key is not None:
                        said = {"optimizer": made[key].optimizer, "schedule": made[key].schedule,
                                **made[key].params}
                entry = taken.setdefault(key, {"params": [], "names": [], **said})
                entry["params"].append(parameter)
                entry["names"].append(name)
        return list(taken.values())

    @staticmethod
    def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in group.items() if key not in NOT_SETTINGS}

    def _overlap(self, overlap: bool | None, made: Sequence[stepd.Group] | None) -> bool | None:
        """Where the loss must travel with each gradient, it is not known during backward."""
        if made is None and overlap is None:
            return False  # who knows what the server's file says
        if self._by_loss is None:
            return overlap
        if overlap:
            raise ValueError(f"overlap=True: {self._by_loss} goes by the loss of each step, which is only known in "
                             "step()")
        return False

    # ---- Training ----------------------------------------------------------------------------------

    @property
    def examples(self) -> int:
        """How many examples are behind this worker's gradients: its weight in the mean of a sync step.
        To be set before backward; 1 unless set, so that all workers weigh the same."""
        return self._traffic.examples

    @examples.setter
    def examples(self, count: int) -> None:
        self._traffic.examples = checks.count(count, "examples")

    @property
    def rank(self) -> int:
        """This worker's, from 0: to choose its part of the data by."""
        return int(self.client.rank)

    @property
    def world(self) -> int:
        """How many workers the job has."""
        return int(self.client.world)

    @property
    def outcome(self) -> Any:
        """What the newest finished step came to (stepd.Outcome); None before there is one."""
        return self._traffic.outcome

    def step(self, closure: Callable[[], Any] | None = None, *, loss: Any = None,
             examples: int | None = None) -> Any:
        """Sends what gradients have not left yet, and waits for the weights that come of them.

        closure: computes the loss and its gradients; called once, and its value returned.
        loss: of this worker's batch, the mean over its examples, for schedules and optimizers that go
            by it; a closure's is taken. In other jobs it is for status and people.
        examples: as the attribute, for this step; overlap goes by the attribute.

        Parameters without a gradient contribute zeros, and a step without any gradient contributes
        nothing but this worker's presence.
        """
        if self._worker.closed:
            raise RuntimeError("this optimizer is closed, and its connections have ended: make another one")
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
            loss = value if loss is None else loss
        self._refuse_changes()
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        spoiled = found_inf is not None and float(found_inf) > 0
        number = None if loss is None else checks.loss_of(loss)
        self._need_loss(number, spoiled)
        count = None if examples is None else checks.count(examples, "examples")
        travels = None if self._traffic.overlap or spoiled else number
        try:
            self._traffic.step(count, travels, checks.scale_of(scale), spoiled)
            self._updates += 1
            for scheduler in self._schedulers:  # whose step() warns where its optimizer has made none
                scheduler.optimizer._opt_called = True
            if number is not None and closure is None and travels is None:  # its gradients are gone already
                self.client.report(self._updates, number, count or self.examples)
        except stepd.RolledBack as rolled_back:
            self._roll_back(rolled_back)
        except stepd.InvalidArgument as refused:
            self._begin_over()
            if number is not None or "Push.loss" not in str(refused):
                raise
            raise stepd.InvalidArgument(f"{refused}: say optimizer.step(loss=loss)") from None
        return value

    def _begin_over(self) -> None:
        """After a step that the server has refused, of which some tensors may have been taken: a program that
        catches the error goes on from what the server has."""
        self._traffic.drop()
        try:
            self._job.pull()
        except stepd.Error:
            pass  # the next step will say why

    def _need_loss(self, loss: float | None, spoiled: bool) -> None:
        if self._by_loss is not None and loss is None and not spoiled:
            raise ValueError(f"{self._by_loss} goes by the loss of each step: say optimizer.step(loss=loss), or give "
                             "step() a closure that returns it")

    def wait(self) -> None:
        """Until the weights of the last step are in the model; they are when step() returns, unless wait= says
        otherwise."""
        try:
            self._traffic.wait()
        except stepd.RolledBack as rolled_back:
            self._roll_back(rolled_back)

    def refresh(self) -> None:
        """Takes the server's weights into the model, in the place of whatever was written there."""
        try:
            self._traffic.wait()
            self._job.pull()
        except stepd.RolledBack as rolled_back:
            self._roll_back(rolled_back)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As PyTorch's. It waits where weights are not there: after a step that was interrupted, and with
        set_to_none=False while gradients are being sent."""
        if not (set_to_none and self._traffic.lazy):
            self.wait()
        super().zero_grad(set_to_none)

    def change(self, **change: Any) -> Any:
        """Changes hyperparameters, optimizer or schedule of the running job, for all workers at one
        version: change(lr=0.01), change(group="head", lr=0.001); as stepd.Client.change()."""
        return self.client.change(**change)

    def _roll_back(self, rolled_back: Exception) -> None:
        self._traffic.drop()
        if self.on_rollback == "raise":
            raise rolled_back
        self._job.begin_again()

    def _refuse_changes(self) -> None:
        self._job.check_frozen()
        for number, (group, said) in enumerate(zip(self.param_groups, self._said)):
            now = self._settings(group)
            if "initial_lr" in now and "initial_lr" not in said:
                raise RuntimeError(
                    "a scheduler of PyTorch drives this optimizer, whose learning rates are the server's: hand "
                    "the scheduler in, Optimizer(model, from_torch(optimizer, [scheduler])), or say it in "
                    "stepd's words, schedule=stepd.Schedule(...)")
            for key in now.keys() | said.keys():
                if now.get(key) is not said.get(key) and now.get(key) != said.get(key):
                    raise RuntimeError(
                        f"param_groups[{number}][{key!r}] was changed from {said.get(key)} to {now.get(key)}, and "
                        "the server has the settings: optimizer.change() changes them for all workers, and "
                        "schedule=stepd.Schedule(...) plans it")
        for scheduler in self._schedulers:
            calls, due = calls_made(scheduler), self._updates // self._every
            if calls not in (0, due):
                raise RuntimeError(
                    f"step() of {type(scheduler).__name__} has been called {calls} times in {self._updates} "
                    f"updates, and from_torch() was told every={self._every}: say after how many updates the loop "
                    "calls it, or take the calls out; the server follows the schedule without them")

    # ---- State -------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Its settings and where the job is; the state itself is the server's, in its checkpoints."""
        self.wait()
        saved = super().state_dict()
        saved["param_groups"] = [{key: _plain(value) for key, value in group.items()}
                                 for group in saved["param_groups"]]
        version = None if self.outcome is None else self.outcome.version
        return {**saved, "stepd": {"version": version}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Checks that the server's job is the one that state_dict() was taken of, and as far.

        ValueError: it is of another optimizer, whose state stepd cannot be handed by a worker, has
        other settings, or of a job that was farther than the server's.
        """
        if "stepd" not in state_dict or "param_groups" not in state_dict:
            if not {"state", "param_groups"} <= set(state_dict):
                raise ValueError("this is no state of an optimizer: give what state_dict() of this one returned")
            raise ValueError("this is the state of an optimizer of PyTorch, which a worker cannot give to the "
                             "server: torch_checkpoint.py makes a checkpoint of stepd of it, from which a daemon "
                             "goes on")
        saved = [self._settings(group) for group in state_dict["param_groups"]]
        if [{key: _plain(value) for key, value in group.items()} for group in saved] != \
                [{key: _plain(value) for key, value in group.items()} for group in self._said]:
            raise ValueError("the state was saved with other settings than this optimizer has: make it with the "
                             "same, and change() them afterwards")
        self.wait()
        version, here = state_dict["stepd"]["version"], self._worker.version()
        if version is not None and here is not None and here < version:
            raise ValueError(f"the state was saved at version {version}, and the server's job is at {here}: its "
                             "state is in the server's checkpoints (stepd --checkpoint-dir), and the daemon was "
                             "started without them or from an older one")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Only while it is made: a job's tensors are defined once."""
        if hasattr(self, "_job"):
            raise RuntimeError("a job's tensors are defined once, and cannot become more: give all param groups "
                               "when the optimizer is made")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("an optimizer of stepd holds connections and cannot be pickled or copied: make one in "
                        "each process; save optimizer.state_dict()")

    # ---- The end -----------------------------------------------------------------------------------

    def close(self, leave: bool = True) -> None:
        """Waits for the last weights, leaves the job and ends the connections. At the end of the program it
        happens by itself where that ends well; after an error it only disconnects, so that the worker may
        come back. Again is fine."""
        self._worker.close(leave)

    def __enter__(self) -> Optimizer:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.close(leave=kind is None)


def _plain(value: Any) -> Any:
    """A setting as torch.load() takes it without trusting the file: schedules by their text."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
