# SPDX-License-Identifier: Apache-2.0
"""What a job is made of, as :meth:`Client.define` and :meth:`Client.change` take it.

The names of optimizers, schedules and settings are the server's (``stepctl optimizers``, ``stepctl
schedules``, TRAINING.md), and it is the server that checks them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np

from stepd import _arguments
from stepd._handle import ffi, lib

Value = Union[float, int, bool, str, Sequence[float]]
"""Of a setting: a number, a word, or some numbers (``betas=(0.9, 0.999)``)."""


class Schedule:
    """A learning-rate schedule.

    kind: its name, such as ``"cosine"``.
    items: of ``"sequential"`` and ``"chained"``, the schedules that it is made of.
    params: its settings, such as ``warmup=100``.
    """

    def __init__(self, kind: str, items: Sequence[Schedule] = (), **params: Value) -> None:
        self.kind = kind
        self.items = tuple(items)
        self.params = params

    def __repr__(self) -> str:
        return _repr("Schedule", self.kind, items=self.items, **self.params)


class Phase:
    """What a group does from a step on: "Adam first, SGD later".

    from_step: how many steps come before it.
    optimizer: its name.
    params: its settings, over the group's own.
    """

    def __init__(self, from_step: int, optimizer: str, **params: Value) -> None:
        self.from_step = from_step
        self.optimizer = optimizer
        self.params = params

    def __repr__(self) -> str:
        return _repr("Phase", self.from_step, optimizer=self.optimizer, **self.params)


class Group:
    """A param group: tensors that share an optimizer and a schedule.

    match: glob on tensor names, where ``*`` matches dots too; of several groups the first that
        matches a tensor has it.
    name: for people; None: the glob.
    optimizer: its name; None: that of the job's defaults.
    schedule: of its learning rate; None: constant. A string is a schedule without settings.
    frozen: its tensors are never updated.
    ndim: numbers of dimensions that it takes; empty: any.
    phases: what comes after ``optimizer``.
    params: settings of the optimizer, such as ``lr=0.1, momentum=0.9``.
    """

    def __init__(self, match: Optional[str] = "*", name: Optional[str] = None,
                 optimizer: Optional[str] = None, schedule: Union[Schedule, str, None] = None,
                 frozen: bool = False, ndim: Sequence[int] = (), phases: Sequence[Phase] = (),
                 **params: Value) -> None:
        self.match = match
        self.name = name
        self.optimizer = optimizer
        self.schedule = Schedule(schedule) if isinstance(schedule, str) else schedule
        self.frozen = frozen
        self.ndim = tuple(ndim)
        self.phases = tuple(phases)
        self.params = params

    def __repr__(self) -> str:
        return _repr("Group", self.match, name=self.name, optimizer=self.optimizer,
                     schedule=self.schedule, frozen=self.frozen, ndim=self.ndim,
                     phases=self.phases, **self.params)


class Defaults(Group):
    """What every group of a job starts from: optimizer, schedule and settings."""

    def __init__(self, optimizer: Optional[str] = None,
                 schedule: Union[Schedule, str, None] = None, **params: Value) -> None:
        super().__init__(None, None, optimizer, schedule)
        self.params = params


class Init:
    """First weights that the server makes: :class:`Constant`, :class:`Uniform`, :class:`Normal`.

    shape: of the tensor, in elements.
    """

    def __init__(self, kind: int, shape: Sequence[int], a: float, b: float, seed: int) -> None:
        self.kind = kind
        self.shape = tuple(int(n) for n in shape)
        self.a = a
        self.b = b
        self.seed = seed


class Constant(Init):
    """The same value everywhere."""

    def __init__(self, shape: Sequence[int], value: float = 0.0) -> None:
        super().__init__(lib.STEPD_TENSOR_CONSTANT, shape, value, 0.0, 0)


class Uniform(Init):
    """Evenly from [low, high)."""

    def __init__(self, shape: Sequence[int], low: float = 0.0, high: float = 1.0, *,
                 seed: int = 0) -> None:
        super().__init__(lib.STEPD_TENSOR_UNIFORM, shape, low, high, seed)


class Normal(Init):
    """Normally, of this mean and standard deviation."""

    def __init__(self, shape: Sequence[int], mean: float = 0.0, std: float = 1.0, *,
                 seed: int = 0) -> None:
        super().__init__(lib.STEPD_TENSOR_NORMAL, shape, mean, std, seed)


def _repr(kind: str, *first: object, **rest: object) -> str:
    said = [repr(value) for value in first]
    said += [f"{name}={value!r}" for name, value in rest.items()
             if value is not None and value is not False and value != ()]
    return f"{kind}({', '.join(said)})"


# ---- As C has it -------------------------------------------------------------------------------


class Draft:
    """Structs of C, and all that they point to, for as long as this lives."""

    def __init__(self) -> None:
        self._owned: list[Any] = []

    def own(self, cdata: Any) -> Any:
        self._owned.append(cdata)
        return cdata

    def text(self, text: Optional[str], what: str = "a name") -> Any:
        """A string, or NULL; ``what`` says whose it is where it is neither."""
        checked = _arguments.text(text, what)
        return (ffi.NULL if checked is None else
                self.own(ffi.new("char[]", checked.encode("utf-8"))))

    def array(self, kind: str, count: int) -> Any:
        return self.own(ffi.new(f"{kind}[]", count)) if count else ffi.NULL

    def params(self, params: Mapping[str, Value]) -> Any:
        """``struct stepd_param[]`` of settings by name."""
        made = self.array("struct stepd_param", len(params))
        for i, (name, value) in enumerate(params.items()):
            made[i].name = self.text(name)
            self._fill_value(made[i], name, value)
        return made

    def _fill_value(self, param: Any, name: str, value: Value) -> None:
        if isinstance(value, str):
            param.word = self.text(value)
        elif isinstance(value, (bool, int, float, np.number, np.bool_)):
            param.value = float(value)
        elif isinstance(value, (Sequence, np.ndarray)):
            numbers = [float(number) for number in value]
            if not numbers:
                raise ValueError(f"setting '{name}' is an empty list")
            param.list = self.own(ffi.new("double[]", numbers))
            param.count = len(numbers)
        else:
            raise TypeError(f"setting '{name}' is a {type(value).__name__}: give a number, a word "
                            "or a list of numbers")

    def group(self, made: Any, group: Group) -> None:
        """Fills a ``struct stepd_param_group``."""
        made.name = self.text(group.name)
        made.match = self.text(group.match)
        made.optimizer = self.text(group.optimizer)
        made.params, made.params_count = self.params(group.params), len(group.params)
        made.frozen = group.frozen
        made.ndim_count = len(group.ndim)
        if group.ndim:
            made.ndim = self.own(ffi.new("uint32_t[]", list(group.ndim)))
        if group.schedule is not None:
            self._fill_schedule(made, group.schedule)
        phases = self.array("struct stepd_param_phase", len(group.phases))
        made.phases, made.phases_count = phases, len(group.phases)
        for i, phase in enumerate(group.phases):
            setattr(phases[i], "from", phase.from_step)
            phases[i].optimizer = self.text(phase.optimizer)
            phases[i].params = self.params(phase.params)
            phases[i].params_count = len(phase.params)

    def _fill_schedule(self, made: Any, schedule: Schedule) -> None:
        made.schedule = self.text(schedule.kind)
        made.schedule_params = self.params(schedule.params)
        made.schedule_params_count = len(schedule.params)
        items = self.array("struct stepd_schedule_item", len(schedule.items))
        made.schedule_items, made.schedule_items_count = items, len(schedule.items)
        for i, item in enumerate(schedule.items):
            if item.items:
                raise ValueError(f"schedule '{schedule.kind}': its item '{item.kind}' is made of "
                                 "schedules itself; items are plain")
            items[i].kind = self.text(item.kind)
            items[i].params, items[i].params_count = self.params(item.params), len(item.params)


_MODES = {"sync": lib.STEPD_SYNC, "async": lib.STEPD_ASYNC, "bounded": lib.STEPD_BOUNDED}


def job_of(draft: Draft, mode: str, workers: int, groups: Sequence[Group],
           defaults: Optional[Group], strict: bool, settings: Mapping[str, Value]) -> Any:
    """A ``struct stepd_job_options``; the draft owns what it points to."""
    if mode not in _MODES:
        raise ValueError(f"mode is '{mode}': give one of {', '.join(_MODES)}")
    if not groups:
        if defaults is None:
            raise ValueError("the job has no optimizer: give groups=[stepd.Group(optimizer=\"sgd\", "
                             "lr=0.1)], or groups=None where the job is defined elsewhere")
        groups = [Group()]
    job = draft.own(ffi.new("struct stepd_job_options *", lib.default_job_options()))
    job.mode = _MODES[mode]
    job.workers = workers
    job.strict = strict
    made = draft.array("struct stepd_param_group", len(groups))
    job.groups, job.groups_count = made, len(groups)
    for i, group in enumerate(groups):
        draft.group(made[i], group)
    if defaults is not None:
        job.defaults = draft.array("struct stepd_param_group", 1)
        draft.group(job.defaults[0], defaults)
    job.params, job.params_count = draft.params(settings), len(settings)
    return job
