# SPDX-License-Identifier: Apache-2.0
"""An optimizer of PyTorch, its param groups and its schedulers, in stepd's words.

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10_000)
    optimizer = stepd.torch.Optimizer(model, stepd.torch.from_torch(optimizer, [scheduler]))

Whatever of it stepd cannot honour is an error that says what, why, and what can be done; nothing is
left out in silence. No server is asked here, and PyTorch's objects stay as they are.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from stepd import Schedule

from . import classes
from .schedulers import COMPOUND, Refused, agreed, base_lr, check, schedule_of

SPARSE = ("its gradients are sparse, and stepd takes whole ones: use Adam, with which rows that were not "
          "looked up decay as well")


class ParamGroup(NamedTuple):
    """A param group in stepd's words."""

    params: tuple[torch.Tensor, ...]
    names: tuple[str, ...] | None
    """Of the parameters, where PyTorch's optimizer was given them."""
    optimizer: str
    settings: dict[str, Any]
    """Hyperparameters by stepd's names, the learning rate among them."""
    schedule: Schedule | None


class Settings(NamedTuple):
    """What `stepd.torch.Optimizer` takes in the place of an optimizer's name."""

    groups: tuple[ParamGroup, ...]
    schedulers: tuple[Any, ...]
    """PyTorch's, which are the server's now."""
    every: int
    """Updates between two calls of their step()."""


def kind_of(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> classes.Kind:
    """The form of its class that a param group is of."""
    name = type(optimizer).__name__
    ours = getattr(torch.optim, name, None) is type(optimizer)
    if ours and name == "SparseAdam":
        raise Refused(SPARSE)
    found = [kind for kind in classes.KINDS if ours and kind.torch == name and kind.when(group)]
    if not found:
        known = ", ".join(dict.fromkeys(kind.torch for kind in classes.KINDS))
        raise Refused(f"{type(optimizer).__module__}.{name} is none of PyTorch's optimizers that stepd makes "
                      f"the same steps as: {known}. Name one of stepd's own instead, see 'stepctl optimizers'")
    return found[0]


def refuse_other_steps(kind: classes.Kind, group: dict[str, Any]) -> None:
    """Settings under which a class steps otherwise than stepd."""
    if kind.torch == "LBFGS" and (group["max_iter"] != 1 or group["line_search_fn"] is not None):
        raise Refused("an update of stepd's lbfgs is one iteration: give LBFGS max_iter=1 and no "
                      "line_search_fn, or name optimizer='lbfgs' with line_search='backtracking'")
    if group.get("differentiable"):
        raise Refused("differentiable=True: no graph leads through a server's step")
    foreign = set(group) - classes.COMMON - set(kind.settings)
    if foreign:
        raise Refused(f"stepd's {kind.stepd} has no {', '.join(sorted(map(repr, foreign)))}, which the "
                      "param group has; take it out, or say it in stepd's words")


def refuse_state(optimizer: torch.optim.Optimizer) -> None:
    """State of steps that were made: stepd begins with none."""
    for state in optimizer.state.values():
        steps = state.get("step", state.get("n_iter", 0))
        if float(steps) > 0 or state.get("momentum_buffer") is not None:
            raise Refused("it has made steps already, and its state would be lost: translate it before the "
                          "first step; to go on from a checkpoint, torch_checkpoint.py makes one of stepd's "
                          "with the state")


def chain(schedulers: tuple[Any, ...], group: int, every: int) -> Schedule | None:
    """Several schedulers that are stepped side by side are what ChainedScheduler is."""
    if len(schedulers) < 2:
        return schedule_of(schedulers[0], group, every) if schedulers else None
    for scheduler in schedulers:
        if type(scheduler) in COMPOUND or isinstance(scheduler,
                                                     torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise Refused(f"{type(scheduler).__name__} beside other schedulers: stepd has one schedule for a "
                          "group, in which it cannot be a part; hand in that one alone")
    return schedule_of(torch.optim.lr_scheduler.ChainedScheduler(list(schedulers)), group, every)


def starting_lr(group: dict[str, Any], schedulers: tuple[Any, ...], number: int) -> float:
    rate = agreed([base_lr(scheduler, number) for scheduler in schedulers],
                  f"its schedulers start param group {number}")
    return float(group["lr"]) if rate is None else rate


def translate_group(optimizer: torch.optim.Optimizer, number: int, schedulers: tuple[Any, ...],
                    every: int) -> ParamGroup:
    group = optimizer.param_groups[number]
    kind = kind_of(optimizer, group)
    refuse_other_steps(kind, group)
    names = group.get("param_names")
    return ParamGroup(
        params=tuple(group["params"]), names=None if names is None else tuple(names),
        optimizer=kind.stepd,
        settings={"lr": starting_lr(group, schedulers, number), **classes.settings_of(kind, group)},
        schedule=chain(schedulers, number, every))


def refuse_schedulers(optimizer: torch.optim.Optimizer, schedulers: tuple[Any, ...],
                      plateau: str | None) -> None:
    for scheduler in schedulers:
        check(scheduler)
        if scheduler.optimizer is not optimizer:
            raise Refused(f"{type(scheduler).__name__} is the scheduler of another optimizer")
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and plateau != "training_loss":
            raise Refused("ReduceLROnPlateau goes by a metric that your program computes, and stepd's plateau "
                          "by the loss of the steps: say plateau='training_loss' where that is as good, with "
                          "every= for how many steps one metric is the mean of, and give each step its loss: "
                          "optimizer.step(loss=loss)")
    if not schedulers and any("initial_lr" in group for group in optimizer.param_groups):
        raise Refused("a scheduler has set its learning rate; hand it in: from_torch(optimizer, [scheduler])")


def from_torch(optimizer: torch.optim.Optimizer, schedulers: Iterable[Any] = (), *, every: int = 1,
               plateau: str | None = None) -> Settings:
    """An optimizer of PyTorch and its schedulers as settings for `stepd.torch.Optimizer`.

    optimizer: of torch.optim, before its first step, with any param groups.
    schedulers: of torch.optim.lr_scheduler, before their first step. Two or more are stepped side by
        side, as by ChainedScheduler.
    every: updates between two calls of the schedulers' step(): 1 where the loop calls it after each
        optimizer.step(), the number of batches where it calls it once an epoch. Rates that change
        along a curve become tables then, of 256 calls of step() at most.
    plateau: "training_loss" lets stepd's `plateau` stand for ReduceLROnPlateau: its metric is then
        the mean loss of each `every` steps, and each step must say its loss.

    The server follows the schedule from then on. The loop may go on calling the schedulers' step(),
    as often as `every` says; another cadence is an error of the next optimizer.step().

    Raises ValueError for whatever stepd cannot honour: optimizers of other packages, functions
    (LambdaLR), state or schedulers of a training that has begun.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"from_torch takes an optimizer of torch.optim, and not {type(optimizer).__name__}")
    schedulers = tuple(schedulers) if isinstance(schedulers, Iterable) else (schedulers,)
    for scheduler in schedulers:
        if isinstance(scheduler, type):
            raise TypeError(f"{scheduler.__name__} is a class: hand in what {scheduler.__name__}(optimizer, ...) "
                            "returned")
        if not hasattr(scheduler, "step"):
            raise TypeError(f"schedulers are of torch.optim.lr_scheduler, and {scheduler!r} is none")
    if every < 1 or every != int(every):
        raise ValueError(f"every is the number of updates between two calls of a scheduler's step(), at "
                         f"least 1, and not {every}")
    try:
        refuse_schedulers(optimizer, schedulers, plateau)
        refuse_state(optimizer)
        groups = tuple(translate_group(optimizer, number, schedulers, int(every))
                       for number in range(len(optimizer.param_groups)))
    except Refused as refused:
        raise Refused(f"stepd cannot do what this {type(optimizer).__name__} does: {refused}") from None
    return Settings(groups, schedulers, int(every))
