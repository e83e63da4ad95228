# SPDX-License-Identifier: Apache-2.0
"""Schedulers of torch.optim.lr_scheduler as schedules of stepd.

    schedule_of(scheduler, group, every=1) -> stepd.Schedule

PyTorch's schedulers change `group["lr"]` when the program calls their step(); stepd's schedules are
functions of the update that the server counts. `every` says how many updates lie between two calls
of step(): 1 where it is called after each, the batches of an epoch where it is called once an
epoch. What a scheduler of another kind than these computes, or one that has been stepped already,
is refused, with the reason and what can be done.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from stepd import Schedule
from torch.optim import lr_scheduler

POINTS = 256
"""So many numbers a list of stepd's may have."""


class Refused(ValueError):
    """What stepd cannot honour: the text says what it is of, why, and what to do instead."""


def whole(value: float, what: str) -> int:
    """A number of steps, as stepd takes it."""
    if value != math.floor(value):
        raise Refused(f"{what} is {value}, and stepd takes whole steps")
    return int(value)


def constant(s: Any, group: int, every: int) -> Schedule:
    return Schedule("constant", factor=float(s.factor), total_iters=whole(s.total_iters, "total_iters")
                    * every)


def step(s: Any, group: int, every: int) -> Schedule:
    return Schedule("step", step_size=s.step_size * every, gamma=float(s.gamma))


def multistep(s: Any, group: int, every: int) -> Schedule:
    milestones = sorted(s.milestones.elements())
    if not milestones:
        return Schedule("constant")
    return Schedule("multistep", milestones=[whole(m, "a milestone") * every for m in milestones],
                    gamma=float(s.gamma))


def exponential(s: Any, group: int, every: int) -> Schedule:
    if every > 1:
        return Schedule("step", step_size=every, gamma=float(s.gamma))
    return Schedule("exponential", gamma=float(s.gamma))


def table(factors: list[float], every: int) -> Schedule:
    """A factor for each call of step(), which holds until the next."""
    for factor in factors:
        if not 0.0 <= factor <= 1e6:
            raise Refused(f"it would multiply the learning rate by {factor}; stepd's tables take 0 to "
                          "1000000")
    return Schedule("lambda", steps=[i * every for i in range(len(factors))], factors=factors,
                    interpolate="hold")


def linear(s: Any, group: int, every: int) -> Schedule:
    total = whole(s.total_iters, "total_iters")
    start, end = float(s.start_factor), float(s.end_factor)
    if every == 1:
        return Schedule("linear", start_factor=start, end_factor=end, total_iters=total)
    fits(total, "total_iters", every)
    return table([start + (end - start) * i / total for i in range(total + 1)], every)


def polynomial(s: Any, group: int, every: int) -> Schedule:
    total = whole(s.total_iters, "total_iters")
    if every == 1:
        return Schedule("polynomial", total_iters=total, power=float(s.power))
    fits(total, "total_iters", every)
    return table([(1.0 - i / total) ** s.power for i in range(total + 1)], every)


def fits(count: int, what: str, every: int) -> None:
    if count >= POINTS:
        raise Refused(f"with every={every} its rates are a table, which has at most {POINTS} numbers, and "
                      f"{what} is {count}: call its step() after each update instead, with {what} "
                      "counted in updates, and leave out every=")


def annealed(s: Any, group: int, way: float) -> float:
    """Half a wave as a factor of the group's learning rate."""
    base = float(s.base_lrs[group])
    if base == 0.0:
        raise Refused("the group's learning rate is 0")
    low = float(s.eta_min)
    return (low + (base - low) * (1 + math.cos(math.pi * way)) / 2) / base


def cosine(s: Any, group: int, every: int) -> Schedule:
    t_max = whole(s.T_max, "T_max")
    if every == 1:
        return Schedule("cosine", t_max=t_max, eta_min=float(s.eta_min), periodic=True)
    fits(t_max, "T_max", every)
    return table([annealed(s, group, i / t_max) for i in range(POINTS)], every)


def restarts(s: Any, group: int, every: int) -> Schedule:
    if every == 1:
        return Schedule("cosine_restarts", t_0=s.T_0, t_mult=s.T_mult, eta_min=float(s.eta_min))
    fits(s.T_0, "T_0", every)
    factors: list[float] = []
    length, at = s.T_0, 0
    while len(factors) < POINTS:
        factors.append(annealed(s, group, at / length))
        at += 1
        if at == length:
            at, length = 0, length * s.T_mult
    return table(factors, every)


def own_steps(name: str, every: int) -> None:
    if every != 1:
        raise Refused(f"{name} is made to be stepped after each update, and every={every} says that it "
                      "is not: call its step() after each, and leave out every=")


def near(number: float) -> float:
    """A quotient without its last rounding: 25.000000000000004 was 25."""
    return round(number, 12)


def one_cycle(s: Any, group: int, every: int) -> Schedule:
    own_steps("OneCycleLR", every)
    settings, phases = s.optimizer.param_groups[group], s._schedule_phases
    if not (settings["min_lr"] > 0 and settings["max_lr"] > 0):
        raise Refused("its max_lr is 0")
    momenta: dict[str, Any] = {"cycle_momentum": False}
    if s.cycle_momentum:
        momenta = {"cycle_momentum": True, "base_momentum": float(settings["base_momentum"]),
                   "max_momentum": float(settings["max_momentum"])}
    return Schedule("one_cycle", max_lr=float(settings["max_lr"]), total_steps=s.total_steps,
                    pct_start=near((phases[0]["end_step"] + 1) / s.total_steps),
                    anneal_strategy=s._anneal_func_type,
                    div_factor=near(float(settings["max_lr"] / settings["initial_lr"])),
                    final_div_factor=near(float(settings["initial_lr"] / settings["min_lr"])),
                    three_phase=len(phases) == 3, **momenta)


def cyclic(s: Any, group: int, every: int) -> Schedule:
    own_steps("CyclicLR", every)
    if s._scale_fn_custom is not None:
        raise Refused("its scale_fn is a function, which a server cannot call; give it one of the modes "
                      "triangular, triangular2 and exp_range")
    up = whole(near(s.total_size * s.step_ratio), "step_size_up")
    down = whole(near(s.total_size - up), "step_size_down")
    momenta: dict[str, Any] = {"cycle_momentum": False}
    if s.cycle_momentum:
        momenta = {"cycle_momentum": True, "base_momentum": float(s.base_momentums[group]),
                   "max_momentum": float(s.max_momentums[group])}
    return Schedule("cyclic", base_lr=float(s.base_lrs[group]), max_lr=float(s.max_lrs[group]),
                    step_size_up=up, step_size_down=down, mode=s.mode, gamma=float(s.gamma), **momenta)


def parts_of(s: Any, group: int, every: int) -> list[Schedule]:
    made = []
    for part in s._schedulers:
        name = type(part).__name__
        if type(part) in COMPOUND or type(part) in OWN_RATES:
            raise Refused(f"{name} inside of {type(s).__name__} has no schedule of stepd: parts multiply "
                          "the group's learning rate, and have no parts of their own")
        made.append(schedule_of(part, group, every))
    return made


def sequential(s: Any, group: int, every: int) -> Schedule:
    milestones = [whole(m, "a milestone") * every for m in s._milestones]
    return Schedule("sequential", parts_of(s, group, every), **(
        {"milestones": milestones} if milestones else {}))


def chained(s: Any, group: int, every: int) -> Schedule:
    """The product of the parts' factors: PyTorch's too, as long as no part adds anything."""
    for part in s._schedulers:
        if getattr(part, "eta_min", 0.0) != 0.0 or type(part) is lr_scheduler.CosineAnnealingWarmRestarts:
            raise Refused(f"{type(part).__name__} beside others pulls their product towards its own values, "
                          "which no function of the step gives; use SequentialLR, or eta_min=0 with "
                          "CosineAnnealingLR")
    return Schedule("chained", parts_of(s, group, every))


def plateau(s: Any, group: int, every: int) -> Schedule:
    return Schedule("plateau", mode=s.mode, factor=float(s.factor), patience=s.patience,
                    threshold=float(s.threshold), threshold_mode=s.threshold_mode, cooldown=s.cooldown,
                    min_lr=float(s.min_lrs[group]), eps=float(s.eps), window=every)


KINDS: dict[type, Callable[[Any, int, int], Schedule]] = {
    lr_scheduler.ConstantLR: constant,
    lr_scheduler.LinearLR: linear,
    lr_scheduler.PolynomialLR: polynomial,
    lr_scheduler.ExponentialLR: exponential,
    lr_scheduler.StepLR: step,
    lr_scheduler.MultiStepLR: multistep,
    lr_scheduler.CosineAnnealingLR: cosine,
    lr_scheduler.CosineAnnealingWarmRestarts: restarts,
    lr_scheduler.OneCycleLR: one_cycle,
    lr_scheduler.CyclicLR: cyclic,
    lr_scheduler.SequentialLR: sequential,
    lr_scheduler.ChainedScheduler: chained,
    lr_scheduler.ReduceLROnPlateau: plateau,
}
COMPOUND = (lr_scheduler.SequentialLR, lr_scheduler.ChainedScheduler)
OWN_RATES = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
FUNCTIONS = (lr_scheduler.LambdaLR, lr_scheduler.MultiplicativeLR)


def calls_made(s: Any) -> int:
    """How often the program has called step(). (SequentialLR takes its parts back to -1.)"""
    if isinstance(s, COMPOUND):
        return max([getattr(s, "last_epoch", 0), *(calls_made(part) for part in s._schedulers)])
    return int(s.last_epoch)


def check(s: Any) -> None:
    """Refuses what has no schedule of stepd's, before anything is asked of its fields."""
    if type(s) in FUNCTIONS:
        raise Refused("its function is part of your program, which a server cannot call; give stepd a table "
                      "of what it returns: schedule=stepd.Schedule('lambda', steps=[0, 100], factors=[1, "
                      "0.1]), see 'stepctl schedules lambda'")
    if type(s) not in KINDS:
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise Refused(f"it is none of the classes that stepd has a schedule for: {known}; for others say "
                      "schedule=stepd.Schedule(...), see 'stepctl schedules'")
    if calls_made(s) > 0:
        raise Refused(f"its step() has been called {calls_made(s)} times already, and stepd begins at step 0: "
                      "translate it before training; to go on from a checkpoint of PyTorch use "
                      "torch_checkpoint.py with --schedule")
    if isinstance(s, lr_scheduler.ReduceLROnPlateau) and s.best != s.mode_worse:
        raise Refused("it has seen metrics already, and stepd begins without any")
    for part in s._schedulers if type(s) in COMPOUND else ():
        check(part)


def schedule_of(scheduler: Any, group: int, every: int = 1) -> Schedule:
    """What a scheduler does to the param group of this number, as a schedule of stepd.

    every: updates between two calls of its step(). Raises Refused, which names the class.
    """
    try:
        check(scheduler)
        return KINDS[type(scheduler)](scheduler, group, every)
    except Refused as refused:
        raise Refused(f"{type(scheduler).__name__}: {refused}") from None


def base_lr(scheduler: Any, group: int) -> float | None:
    """The learning rate that a scheduler starts the group from; None: it has its own, or takes any.
    Raises Refused where the parts of one start from different ones."""
    if type(scheduler) in COMPOUND:
        return agreed([base_lr(part, group) for part in scheduler._schedulers],
                      f"{type(scheduler).__name__}: its parts start param group {group}")
    rates = getattr(scheduler, "base_lrs", None)
    return None if rates is None or type(scheduler) in OWN_RATES else float(rates[group])


def agreed(rates: Iterable[float | None], who: str) -> float | None:
    """The one rate that all who say one say; None: nobody does."""
    said = sorted({rate for rate in rates if rate is not None})
    if len(said) > 1:
        raise Refused(f"{who} from different learning rates, {', '.join(map(str, said))}")
    return said[0] if said else None
