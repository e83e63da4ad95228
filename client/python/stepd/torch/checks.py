# SPDX-License-Identifier: Apache-2.0
"""What an optimizer is told, checked where it is told: a TypeError or ValueError that names the argument
and says what it may be, before any server is asked."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import stepd
import torch

WAITS = ("step", "forward", "layer")
ROLLBACKS = ("continue", "raise")
BY_LOSS = ("plateau",)
"""Schedules that go by the loss of each step, and"""
SEARCHES = ("backtracking",)
"""line searches of lbfgs that do."""


def one_of(known: Sequence[str], value: Any, what: str) -> None:
    if value not in known:
        raise ValueError(f"{what} is {', '.join(map(repr, known[:-1]))} or {known[-1]!r}, and not {value!r}")


def optimizer_name(optimizer: Any, translated: type) -> None:
    """An optimizer is said by its name, or is what from_torch() has made."""
    if optimizer is None or isinstance(optimizer, (str, translated)):
        return
    if isinstance(optimizer, torch.optim.Optimizer) or (isinstance(optimizer, type) and
                                                       issubclass(optimizer, torch.optim.Optimizer)):
        raise TypeError("optimizer is one of PyTorch: hand it in as from_torch(optimizer), or say it in stepd's "
                        "words, as 'adam'")
    raise TypeError(f"optimizer is the name of one of stepd's, as 'adam', or what from_torch() has made, and not "
                    f"{type(optimizer).__name__}")


def is_scheduler(value: Any) -> bool:
    kinds = (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    return isinstance(value, kinds) or (isinstance(value, type) and issubclass(value, kinds))


def schedule(value: Any) -> None:
    if value is None or isinstance(value, (str, stepd.Schedule)):
        return
    if is_scheduler(value):
        raise TypeError("schedule is a scheduler of PyTorch: make it of PyTorch's optimizer and hand both in as "
                        "from_torch(optimizer, [scheduler]), or say it in stepd's words, as "
                        "schedule=stepd.Schedule('step', step_size=30, gamma=0.1)")
    raise TypeError(f"schedule is a stepd.Schedule, or a schedule's name, and not "
                    f"{value.__name__ if isinstance(value, type) else type(value).__name__}")


def setting(name: str, value: Any) -> Any:
    """A hyperparameter as stepd takes it: a number (a tensor with one element is one), a word, a switch, or
    numbers."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [setting(f"{name}[{i}]", each) for i, each in enumerate(value)]
    if isinstance(value, torch.Tensor):
        if value.numel() != 1 or value.dtype.is_complex:
            raise TypeError(f"{name} is a tensor of shape {tuple(value.shape)}, and stepd takes a number there")
        value = value.item()
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is a number, a word or a list of numbers, and not "
                        f"{type(value).__name__}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}")
    return value


def settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters and a schedule of a group, without what is None."""
    schedule(said.get("schedule"))
    plain = ("schedule", "optimizer", "name", "phases")
    rate = said.get("lr")
    if isinstance(rate, (str, bool, list, tuple)):
        raise TypeError(f"lr is a number, and not {rate!r}")
    return {name: value if name in plain else setting(name, value) for name, value in said.items()
            if value is not None}


def count(value: Any, what: str, least: int = 0) -> int:
    """A whole number from `least` on."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = least - 1
    if isinstance(value, (bool, str)) or number < least or number != value:
        raise ValueError(f"{what} is a whole number from {least} on, and not {value!r}")
    return number


def loss_of(loss: Any) -> float:
    """A loss as a number."""
    if isinstance(loss, torch.Tensor):
        if loss.numel() != 1:
            raise ValueError(f"loss is one number, the mean over the examples, and not a tensor of shape "
                             f"{tuple(loss.shape)}")
        return float(loss.detach())
    try:
        return float(loss)
    except (TypeError, ValueError):
        raise TypeError(f"loss is a number, and not {type(loss).__name__}") from None


def scale_of(scale: Any) -> float | None:
    """What a GradScaler has multiplied gradients by."""
    if scale is None:
        return None
    number = float(scale)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"the loss was scaled by {number}, which nobody can take off the gradients: a GradScaler "
                         "that has come to 0 has halved its scale at each step, as no gradient was finite; look "
                         "for NaN in the model or its input")
    return number


def goes_by_loss(groups: Sequence[stepd.Group]) -> str | None:
    """What of the groups takes each step by its loss; None: nothing."""
    for group in groups:
        if isinstance(group.schedule, stepd.Schedule) and group.schedule.kind in BY_LOSS:
            return f"schedule '{group.schedule.kind}'"
        steps = [(group.optimizer, group.params), *((phase.optimizer, {**group.params, **phase.params})
                                                    for phase in group.phases)]
        for name, params in steps:
            if name == "lbfgs" and params.get("line_search") in SEARCHES:
                return f"line search '{params['line_search']}' of lbfgs"
    return None
