#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every schedule against the class of torch.optim.lr_scheduler that it is named after, live; and
torch.optim.swa_utils.SWALR, which has no kind of its own because others give it.

usage: schedules.py BIN [--seeds N] [--first SEED]     BIN holds schedule_driver

Each trial draws a class, its arguments and two param groups with learning rates of their own, lets
torch run it for at least three of its cycles (three times its length where it has none), and asks
stepd for the same steps. Each learning rate, and where it is cycled each momentum, must be torch's:

- within 1e-13 of the larger of the value and the group's learning rate, where torch has a closed
  form (_get_closed_form_lr);
- within 1e-12 of that times the number of steps so far, against what torch really does, which for
  most classes is the value before times something: its roundings add up.

A finding names its seed; --first SEED --seeds 1 repeats it. A class of torch that no trial knows,
a kind or a parameter of stepd that no trial has set: each fails the test.
"""
import argparse
import bisect
import pathlib
import random
import subprocess
import sys
import warnings

SKIPPED = 77
try:
    import torch
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(SKIPPED)

lr_scheduler = torch.optim.lr_scheduler
warnings.filterwarnings("ignore", category=UserWarning)

MOMENTUM = 0.5  # of the optimizer, where no schedule cycles it
# Kinds that are not torch's: their closed forms are held to libm in tests/unit/schedule.
BEYOND = {"noam", "inverse_sqrt"}
NO_SCHEDULES = {"LRScheduler"}  # of torch's list: the base class


class Case:
    """One schedule: what stepd is told, how torch makes it, how many steps are compared."""

    def __init__(self, kind, settings, make, steps):
        self.kind, self.settings, self.make, self.steps = kind, settings, make, steps
        self.parts = []
        self.losses = None
        self.window = 1

    def lines(self):
        yield f"schedule {self.kind}"
        yield from setting_lines(self.settings)
        for part in self.parts:
            yield f"part {part.kind}"
            yield from setting_lines(part.settings)
            yield "whole"
        if self.losses:
            yield f"losses {len(self.losses)} {' '.join(map(repr, self.losses))}"

    def names(self):
        """(kind, parameter) that this case sets."""
        for case in (self, *self.parts):
            yield case.kind, None
            yield from ((case.kind, name) for name in case.settings)


def setting_lines(settings):
    for name, value in settings.items():
        if isinstance(value, str):
            yield f"word {name} {value}"
        else:
            numbers = value if isinstance(value, list) else [value]
            yield f"numbers {name} {len(numbers)} {' '.join(repr(float(x)) for x in numbers)}"


def rising(rng, count, most):
    return sorted(rng.sample(range(1, most), count))


def constant(rng):
    settings = {"factor": rng.uniform(0.01, 1), "total_iters": rng.randint(1, 40)}
    return Case("constant", settings, lambda o: lr_scheduler.ConstantLR(o, **settings),
                3 * settings["total_iters"])


def linear(rng):
    settings = {"start_factor": rng.uniform(0.01, 1), "end_factor": rng.uniform(0.01, 1),
                "total_iters": rng.randint(1, 60)}
    return Case("linear", settings, lambda o: lr_scheduler.LinearLR(o, **settings),
                3 * settings["total_iters"])


def step(rng):
    settings = {"step_size": rng.randint(1, 20), "gamma": rng.uniform(0.05, 1.1)}
    return Case("step", settings, lambda o: lr_scheduler.StepLR(o, **settings),
                rng.randint(3, 6) * settings["step_size"])


def multistep(rng):
    milestones = sorted(rng.choices(range(0, 60), k=rng.randint(1, 8)))  # some twice
    milestones = [m for m in milestones if m > 0] or [5]  # torch's own start misses one at 0
    gamma = rng.uniform(0.05, 1.1)
    return Case("multistep", {"milestones": milestones, "gamma": gamma},
                lambda o: lr_scheduler.MultiStepLR(o, milestones, gamma), 3 * milestones[-1])


def exponential(rng):
    settings = {"gamma": rng.uniform(0.8, 1.05)}
    return Case("exponential", settings, lambda o: lr_scheduler.ExponentialLR(o, **settings), 150)


def polynomial(rng):
    settings = {"total_iters": rng.randint(1, 60), "power": rng.choice([0.5, 1.0, 2.0, 3.7])}
    return Case("polynomial", settings, lambda o: lr_scheduler.PolynomialLR(o, **settings),
                3 * settings["total_iters"])


def cosine(rng):
    t_max, eta_min = rng.randint(1, 50), rng.choice([0.0, rng.uniform(0, 0.02)])
    return Case("cosine", {"T_max": t_max, "eta_min": eta_min, "periodic": "true"},
                lambda o: lr_scheduler.CosineAnnealingLR(o, t_max, eta_min), 6 * t_max)


def swa(rng):
    """SWALR: half a cosine or a line from the learning rate to swa_lr, and that from then on."""
    length = rng.randint(1, 40)
    make = torch.optim.swa_utils.SWALR
    if rng.random() < 0.5:
        swa_lr = rng.uniform(1e-4, 0.5)
        return Case("cosine", {"T_max": length, "eta_min": swa_lr},
                    lambda o: make(o, swa_lr, length, "cos"), 3 * length)
    factor = rng.uniform(0.01, 1)
    settings = {"start_factor": 1.0, "end_factor": factor, "total_iters": length}
    return Case("linear", settings, lambda o: make(
        o, [factor * group["lr"] for group in o.param_groups], length, "linear"), 3 * length)


def cosine_restarts(rng):
    t_0, t_mult, eta_min = rng.randint(1, 20), rng.randint(1, 3), rng.uniform(0, 0.02)
    return Case("cosine_restarts", {"T_0": t_0, "t_mult": t_mult, "eta_min": eta_min},
                lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, t_0, t_mult, eta_min),
                t_0 * (1 + t_mult + t_mult**2) + 5)


def momenta(rng):
    low, high = sorted((rng.uniform(0.5, 0.99), rng.uniform(0.5, 0.99)))
    cycle = rng.random() < 0.7
    return {"cycle_momentum": cycle, "base_momentum": low, "max_momentum": high}


def own(settings):
    """Torch's bool is our 0 or 1, and its None is our 0."""
    return {name: value if isinstance(value, str) else float(value or 0)
            for name, value in settings.items()}


def one_cycle(rng):
    settings = {
        "max_lr": rng.uniform(0.01, 2), "total_steps": rng.randint(2, 150),
        "pct_start": rng.choice([0.0, 0.3, rng.random(), 1.0]),
        "anneal_strategy": rng.choice(["cos", "linear"]), "div_factor": rng.uniform(1, 50),
        "final_div_factor": rng.uniform(1, 1e5), "three_phase": rng.random() < 0.5, **momenta(rng)}
    if settings["pct_start"] * settings["total_steps"] == 1:
        settings["pct_start"] = 0.3  # where torch divides by 0
    return Case("one_cycle", own(settings), lambda o: lr_scheduler.OneCycleLR(o, **settings),
                settings["total_steps"])


def cyclic(rng):
    settings = {
        "base_lr": rng.uniform(0, 0.1), "max_lr": rng.uniform(0.1, 1),
        "step_size_up": rng.randint(1, 30),
        "step_size_down": rng.choice([None, rng.randint(1, 30)]),
        "mode": rng.choice(["triangular", "triangular2", "exp_range"]),
        "gamma": rng.uniform(0.9, 1), **momenta(rng)}
    length = settings["step_size_up"] + (settings["step_size_down"] or settings["step_size_up"])
    return Case("cyclic", own(settings), lambda o: lr_scheduler.CyclicLR(o, **settings), 3 * length)


def points(rng):
    steps = [0, *rising(rng, rng.randint(1, 6), 50)]
    return steps, [rng.uniform(0.1, 2) for _ in steps]


def table(rng):
    steps, factors = points(rng)
    hold = rng.random() < 0.5

    def factor(t):
        k = bisect.bisect_right(steps, t) - 1
        if hold or k == len(steps) - 1:
            return factors[k]
        return factors[k] + (factors[k + 1] - factors[k]) * (t - steps[k]) / (
            steps[k + 1] - steps[k])
    return Case("lambda", {"steps": steps, "factors": factors,
                           "interpolate": "hold" if hold else "linear"},
                lambda o: lr_scheduler.LambdaLR(o, factor), 3 * steps[-1])


def multiplicative(rng):
    """The table of the products so far."""
    steps, factors = points(rng)
    products = [1.0]
    for factor in factors[1:]:
        products.append(products[-1] * factor)
    changes = dict(zip(steps[1:], factors[1:]))
    return Case("lambda", {"steps": steps, "factors": products, "interpolate": "hold"},
                lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: changes.get(t, 1.0)),
                3 * steps[-1])


SEQUENTIAL_PARTS = [constant, linear, step, multistep, exponential, polynomial, cosine,
                    cosine_restarts, table]


def sequential(rng):
    parts = [rng.choice(SEQUENTIAL_PARTS)(rng) for _ in range(rng.randint(2, 4))]
    milestones = rising(rng, len(parts) - 1, 80)
    case = Case("sequential", {"milestones": milestones}, lambda o: lr_scheduler.SequentialLR(
        o, [part.make(o) for part in parts], milestones), milestones[-1] + 100)
    case.parts = parts
    return case


def chained(rng):
    """Parts that are factors; a cosine to its bottom, where torch adds and no longer multiplies."""
    makers = rng.sample([constant, linear, step, multistep, exponential, multiplicative], 3)
    parts = [maker(rng) for maker in makers]
    steps = 120
    if rng.random() < 0.5:
        t_max = rng.randint(10, 60)
        steps = t_max
        parts.append(Case("cosine", {"t_max": t_max}, lambda o: lr_scheduler.CosineAnnealingLR(
            o, t_max), t_max))
    case = Case("chained", {}, lambda o: lr_scheduler.ChainedScheduler(
        [part.make(o) for part in parts]), steps)
    case.parts = parts
    return case


def plateau(rng):
    settings = {
        "mode": rng.choice(["min", "max"]), "factor": rng.uniform(0.1, 0.9),
        "patience": rng.randint(0, 5), "threshold": rng.choice([1e-4, rng.uniform(0, 0.3)]),
        "threshold_mode": rng.choice(["rel", "abs"]), "cooldown": rng.randint(0, 4),
        "min_lr": rng.choice([0.0, rng.uniform(0, 0.05)]), "eps": rng.choice([1e-8, 1e-3])}
    window = rng.choice([1, 1, rng.randint(2, 7)])
    case = Case("plateau", {**settings, "window": window},
                lambda o: lr_scheduler.ReduceLROnPlateau(o, **settings), 400)
    loss = rng.uniform(0.5, 3)
    case.losses = []
    for _ in range(case.steps):
        loss *= rng.choice([0.9, 1.0, 1.0, 1.05])
        case.losses.append(rng.choice([loss, loss, loss, float("nan")])
                           if rng.random() < 0.1 else loss * rng.uniform(0.95, 1.05))
    case.window = window
    return case


def warmed(rng):
    """stepd's warm-up in front of a kind, as server/schedule/schedule.h translates it."""
    after = rng.choice(SEQUENTIAL_PARTS)(rng)
    warmup, factor = rng.randint(2, 30), rng.choice([0.0, rng.uniform(0, 1)])
    settings = {**after.settings, "warmup": warmup, "warmup_factor": factor}

    def make(optimizer):
        climb = lr_scheduler.LinearLR(
            optimizer, start_factor=factor + (1 - factor) / warmup, total_iters=warmup - 1)
        return lr_scheduler.SequentialLR(optimizer, [climb, after.make(optimizer)], [warmup])
    return Case(after.kind, settings, make, warmup + after.steps)


CLASSES = {
    "LambdaLR": table, "MultiplicativeLR": multiplicative, "StepLR": step, "MultiStepLR": multistep,
    "ConstantLR": constant, "LinearLR": linear, "ExponentialLR": exponential,
    "SequentialLR": sequential, "CosineAnnealingLR": cosine, "ChainedScheduler": chained,
    "ReduceLROnPlateau": plateau, "CyclicLR": cyclic,
    "CosineAnnealingWarmRestarts": cosine_restarts, "OneCycleLR": one_cycle,
    "PolynomialLR": polynomial, "SWALR": swa, "a warm-up": warmed,
}


def torch_run(case, rates, adam):
    """Per step: (lr, closed form or None, momentum) of each group."""
    kind = torch.optim.Adam if adam else torch.optim.SGD
    momentum = {"betas": (MOMENTUM, 0.999)} if adam else {"momentum": MOMENTUM}
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in rates]
    optimizer = kind(groups, lr=1.0, **momentum)
    scheduler = case.make(optimizer)
    closed = getattr(scheduler, "_get_closed_form_lr", lambda: [None] * len(rates))
    metric = []
    for t in range(case.steps):
        momenta_now = [group["betas"][0] if adam else group["momentum"]
                       for group in optimizer.param_groups]
        yield list(zip([group["lr"] for group in optimizer.param_groups], closed(), momenta_now))
        if t == case.steps - 1:
            return  # OneCycleLR may divide by 0 one step past its end
        if case.losses is None:
            optimizer.step()
            scheduler.step()
            continue
        metric.append(case.losses[t])
        if len(metric) == case.window:
            scheduler.step(sum(metric) / len(metric))
            metric = []


def ask(driver, case, rates, tail):
    """What stepd gives: for each group (lr, momentum or None) of each step, tail steps more."""
    steps = case.steps + tail
    words = list(case.lines()) + [f"steps {steps} {lr!r} {MOMENTUM!r}" for lr in rates]
    answer = subprocess.run([driver], input="\n".join(words) + "\n", capture_output=True, text=True,
                            check=False)
    if answer.returncode != 0:
        raise ValueError(f"{answer.stderr.strip()}\n" + "\n".join(words))
    values = [line.split() for line in answer.stdout.splitlines()]
    values = [(float(lr), None if momentum == "-" else float(momentum)) for lr, momentum in values]
    return [values[i * steps:(i + 1) * steps] for i in range(len(rates))]


def findings(case, rates, ours, reference):
    for t, groups in enumerate(reference):
        for g, (lr, closed, momentum) in enumerate(groups):
            got, got_momentum = ours[g][t]
            scale = max(abs(lr), rates[g])
            if abs(got - lr) > 1e-12 * (t + 1) * scale:
                yield f"step {t}, group {g}: lr {got!r}, torch has {lr!r}"
            if closed is not None and abs(got - closed) > 1e-13 * scale:
                yield f"step {t}, group {g}: lr {got!r}, torch's closed form is {closed!r}"
            if abs((MOMENTUM if got_momentum is None else got_momentum) - momentum) > 1e-12:
                yield f"step {t}, group {g}: momentum {got_momentum!r}, torch has {momentum!r}"
    for g, values in enumerate(ours):
        for t in range(case.steps, len(values)):
            if values[t] != values[case.steps - 1]:
                yield f"step {t}, group {g}: {values[t]!r}, past the end"


def trial(driver, maker, seed):
    """Returns (the case, what is wrong)."""
    rng = random.Random(seed)
    case = maker(rng)
    rates = [rng.uniform(0.01, 1), rng.uniform(1e-4, 0.1)]
    tail = 2 * case.steps if case.kind == "one_cycle" else 0
    ours = ask(driver, case, rates, tail)
    return case, list(findings(case, rates, ours, torch_run(case, rates, seed % 2 == 1)))


def missing(driver, seen):
    """Classes of torch without a trial; kinds and parameters that no trial has set."""
    for name in lr_scheduler.__all__:
        if name not in CLASSES and name not in NO_SCHEDULES:
            yield f"torch.optim.lr_scheduler.{name} is compared with nothing"
    listing = subprocess.run([driver, "--list"], capture_output=True, text=True, check=True).stdout
    for kind, *params in map(str.split, listing.splitlines()):
        if kind in BEYOND:
            continue
        if (kind, None) not in seen:
            yield f"no trial has the schedule {kind}"
        warmups = {"warmup", "warmup_factor"}  # the same code for all kinds
        yield from (f"no trial sets {name} of {kind}" for name in params
                    if (kind, name) not in seen and name not in warmups)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("bin", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=25, help="trials of each class")
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    driver = options.bin / "schedule_driver"
    seen, failed, steps = set(), 0, 0
    for name, maker in CLASSES.items():
        for seed in range(options.first, options.first + options.seeds):
            case, wrong = trial(driver, maker, seed)
            steps += case.steps
            seen |= {(kind, param and param.lower()) for kind, param in case.names()}
            if wrong:
                failed += 1
                print(f"{name}, seed {seed}: {len(wrong)} findings\n  " + "\n  ".join(
                    [*wrong[:3], *case.lines()]))
    gaps = list(missing(driver, seen)) if options.seeds > 5 else []
    print("\n".join(gaps + [f"{len(CLASSES) * options.seeds} trials, {2 * steps} steps against "
                            f"torch {torch.__version__}: {failed} failed"]))
    return 1 if failed or gaps else 0


if __name__ == "__main__":
    sys.exit(main())
