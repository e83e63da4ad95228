# SPDX-License-Identifier: Apache-2.0
"""One trial of a PyTorch optimizer: a problem, two or more groups, and the three runs of it.

    float64 run     gradients at its own weights, rounded to float32: what all runs are given
    float32 run     PyTorch on the same gradients, one tensor at a time (foreach=False)
    stepd           the job with the same groups, on the same gradients

A group of the trial is one param group here and one there. Each has a torch optimizer of its own,
because PyTorch's schedulers give all groups of an optimizer the same schedule.
"""
import contextlib
import fnmatch
import math
import random

import torch

import criterion
import problems
import stepd

STEPS = 220


class Draw(random.Random):
    """Random hyperparameters; a seed gives the same ones everywhere."""

    def between(self, least, most):
        return round(self.uniform(least, most), 6)

    def scaled(self, least, most):
        """Between the two, evenly on a logarithmic scale."""
        return float(f"{math.exp(self.uniform(math.log(least), math.log(most))):.4g}")

    def perhaps(self, value, otherwise=0.0):
        return value if self.random() < 0.5 else otherwise


class Group:
    """The same param group for stepd and for PyTorch."""

    def __init__(self, match, optimizer, settings, kind, arguments, ndim=None):
        self.match = match
        self.ndim = ndim
        self.optimizer = optimizer
        self.settings = settings        # of the config file
        self.kind = kind                # class of torch.optim
        self.arguments = arguments      # its keyword arguments
        self.schedule = None            # of the config file
        self.scheduler = None           # from a torch optimizer to a scheduler

    def takes(self, name, tensor):
        return fnmatch.fnmatchcase(name, self.match) and self.ndim in (None, tensor.ndim)

    def climbs(self):
        return bool(self.arguments.get("maximize"))

    def config(self, name):
        entry = {"name": name, "match": self.match, "optimizer": self.optimizer, **self.settings}
        if self.ndim is not None:
            entry["ndim"] = self.ndim
        if self.schedule:
            entry["schedule"] = self.schedule
        return entry

    def torch_arguments(self, dtype):
        """PyTorch's defaults that depend on the type are float32's in both runs."""
        arguments = dict(self.arguments)
        eps = arguments.get("eps")
        if dtype == torch.float64 and isinstance(eps, tuple) and eps[0] is None:
            arguments["eps"] = (torch.finfo(torch.float32).eps, eps[1])
        return arguments


def draw_cycle(draw, group):
    """One of the two schedules that state learning rates of their own and cycle the momentum."""
    kinds, lr = torch.optim.lr_scheduler, group.arguments["lr"]
    least, most = draw.between(0.5, 0.75), draw.between(0.8, 0.97)
    if draw.random() < 0.5:
        settings = {"max_lr": lr * draw.between(1.0, 2.0), "total_steps": draw.randint(STEPS, 2 * STEPS),
                    "pct_start": draw.between(0.1, 0.6), "base_momentum": least, "max_momentum": most}
        return ({"kind": "one_cycle", **settings},
                lambda optimizer: kinds.OneCycleLR(optimizer, **settings))
    settings = {"base_lr": lr * draw.between(0.1, 0.5), "max_lr": lr * draw.between(1.0, 2.0),
                "step_size_up": draw.randint(5, 60), "step_size_down": draw.randint(5, 60),
                "mode": draw.choice(("triangular", "triangular2")),
                "base_momentum": least, "max_momentum": most}
    return {"kind": "cyclic", **settings}, lambda optimizer: kinds.CyclicLR(optimizer, **settings)


def draw_schedule(draw, group):
    """A schedule for most groups, by PyTorch's scheduler and by its name in stepd."""
    kinds = torch.optim.lr_scheduler
    gamma, size = draw.between(0.5, 0.9), draw.randint(15, 70)
    decay, bottom = draw.between(0.985, 0.999), draw.between(0.05, 0.5)
    period = draw.randint(STEPS, 2 * STEPS)
    choices = [
        (None, None),
        ({"kind": "step", "step_size": size, "gamma": gamma},
         lambda optimizer: kinds.StepLR(optimizer, size, gamma)),
        ({"kind": "exponential", "gamma": decay},
         lambda optimizer: kinds.ExponentialLR(optimizer, decay)),
        ({"kind": "linear", "start_factor": bottom, "end_factor": 1.0, "total_iters": size},
         lambda optimizer: kinds.LinearLR(optimizer, bottom, 1.0, size)),
        ({"kind": "cosine", "t_max": period},
         lambda optimizer: kinds.CosineAnnealingLR(optimizer, period)),
    ]
    # A momentum of 0 is not cycled here: see server/schedule/kinds_cycle.c.
    if group.arguments.get("momentum") or "betas" in group.arguments:
        choices += [draw_cycle(draw, group)] * 2
    group.schedule, group.scheduler = draw.choice(choices)


@contextlib.contextmanager
def all_in_float64():
    """Makes a float64 run one. PyTorch keeps some scalars of the state (NAdam, ASGD) in the default
    type, and Muon iterates in bfloat16 whatever the type of the weights: its two runs then differ
    only where a rounding falls on the other side, and by 2^-8 where it does. So does stepd's, which
    rounds as PyTorch does. What all of them approximate is the iteration without that rounding."""
    type_before, bfloat16 = torch.get_default_dtype(), torch.Tensor.bfloat16
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = torch.Tensor.clone
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = bfloat16
        torch.set_default_dtype(type_before)


# They have one path only, and no such switch as foreach.
SINGLE = (torch.optim.Muon, torch.optim.SparseAdam)


def all_present(grad):
    """A gradient for SparseAdam, which leaves elements alone that are not in it: with all of them."""
    places = torch.ones_like(grad, dtype=torch.bool).nonzero().T
    return torch.sparse_coo_tensor(places, grad.reshape(-1), grad.shape, is_coalesced=True,
                                   check_invariants=False)


class TorchRun:
    """PyTorch's run in one type, step by step."""

    def __init__(self, trial, dtype):
        self.params = [t.to(dtype, copy=True).requires_grad_() for t in trial.problem.start]
        self.kinds = [trial.groups[owner].kind for owner in trial.owner]
        self.optimizers, self.schedulers = [], []
        for number, group in enumerate(trial.groups):
            members = [p for p, owner in zip(self.params, trial.owner) if owner == number]
            single = {} if group.kind in SINGLE else {"foreach": False}
            optimizer = group.kind(members, **single, **group.torch_arguments(dtype))
            self.optimizers.append(optimizer)
            if group.scheduler:
                self.schedulers.append(group.scheduler(optimizer))

    def step(self, grads):
        for param, grad, kind in zip(self.params, grads, self.kinds):
            grad = grad.to(param.dtype)
            param.grad = all_present(grad) if kind is torch.optim.SparseAdam else grad
        for turn in self.optimizers + self.schedulers:
            turn.step()
        return [p.detach().clone() for p in self.params]


class Trial:
    """Judged by run(). A group takes the tensors that no group before it takes."""

    def __init__(self, problem, groups, steps=STEPS):
        self.problem = problem
        self.groups = groups
        self.steps = steps
        self.owner = [next(number for number, group in enumerate(groups) if group.takes(*tensor))
                      for tensor in zip(problem.names, problem.start)]

    def run_float64(self):
        """(gradients of all steps, weights after them)."""
        grads, weights = [], []
        with all_in_float64():
            run = TorchRun(self, torch.float64)
            for step in range(self.steps):
                _, grad = problems.gradients(self.problem, run.params, step)
                grad = [-g if self.groups[owner].climbs() else g
                        for g, owner in zip(grad, self.owner)]
                grads.append(grad)
                weights.append(run.step(grad))
        return grads, weights

    def run_float32(self, grads):
        run = TorchRun(self, torch.float32)
        return [run.step(grad) for grad in grads]

    def config(self):
        return [group.config(f"group{number}") for number, group in enumerate(self.groups)]

    def run_stepd(self, server, grads):
        return server.train(self.config(), self.problem.names, self.problem.start,
                            [stepd.Step(grad) for grad in grads])["evaluation"]

    def run(self, server, factor=criterion.FACTOR):
        """A Verdict for each tensor."""
        grads, float64 = self.run_float64()
        float32 = self.run_float32(grads)
        tensors = list(zip(self.problem.names, self.problem.start))
        return criterion.judge(tensors, self.run_stepd(server, grads), float32, float64, factor)
