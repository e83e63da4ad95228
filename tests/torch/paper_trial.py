# SPDX-License-Identifier: Apache-2.0
"""One trial of a reference that is written from its paper: as trial.py's, with the reference in
PyTorch's place. What a reference's module says of itself:

    OPTIMIZER                   stepd's name of it; a setting "optimizer" stands before it
    draw_settings(draw)         the settings of a group, as in the config file
    Rule(settings, theta)       its state; settings are all of the group's, the schedule's among them
    Rule.step(theta, g, now)    the next theta
    Rule.<view>(theta, now)     for each view of VIEWS but "evaluation", which is theta
    draw_schedule, draw_phases  instead of a random schedule; the group's later phases
    SCHEDULED = False           the learning rate is constant
    WHOLE_GROUP                 theta is all of the group's tensors, one after another
    NEEDS_LOSS, NEEDS_HESSIAN   pushes bring them: now.loss, now.hessian
    LOSS_SCALES                 what gradients are multiplied by in turn: now.loss_scale
    TRIALS                      at least so many, where mutants need them
    FACTOR                      of criterion.py, where it is another, and why
    GRADIENT_SCALE              gradients are so many times those of the problem

A rule is one and the same for both types: it takes the type of theta. The float64 run's training view
is where gradients are computed.
"""
import fnmatch

import torch

import criterion
import problems
import stepd
from trial import STEPS, Draw, Group, draw_schedule

DUMMY = torch.optim.SGD


class Now:
    """What a step knows beside its gradient."""

    def __init__(self, t, lr, base_lr):
        self.t = t                # 1 first
        self.lr = lr              # by the schedule
        self.base_lr = base_lr
        self.loss = None
        self.loss_scale = 1.0
        self.hessian = None


class PaperGroup:
    """A group of the config file, and its learning rates."""

    def __init__(self, module, draw, match):
        self.match = match
        settings = dict(module.draw_settings(draw))
        self.optimizer = settings.pop("optimizer", module.OPTIMIZER)
        self.settings = settings
        self.phases = module.draw_phases(draw) if hasattr(module, "draw_phases") else None
        self.schedule, self.scheduler = None, None
        if hasattr(module, "draw_schedule"):
            self.schedule = module.draw_schedule(draw)
        elif getattr(module, "SCHEDULED", True):
            borrowed = Group(match, None, None, None, {})
            draw_schedule(draw, borrowed)
            self.schedule, self.scheduler = borrowed.schedule, borrowed.scheduler

    def known(self):
        """What a rule is made from."""
        return {**self.settings, "schedule": self.schedule, "phases": self.phases}

    def config(self, name):
        entry = {"name": name, "match": self.match, "optimizer": self.optimizer, **self.settings}
        for key in ("schedule", "phases"):
            if getattr(self, key):
                entry[key] = getattr(self, key)
        return entry

    def rates(self, steps):
        """The schedule's learning rates, from PyTorch's scheduler."""
        lr = self.settings.get("lr", 1.0)
        optimizer = DUMMY([torch.zeros(())], lr=lr)
        scheduler = self.scheduler(optimizer) if self.scheduler else None
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if scheduler:
                scheduler.step()
        return rates


class PaperRun:
    """The reference's run in one type, step by step."""

    def __init__(self, trial, module, dtype):
        self.trial = trial
        self.theta = [t.to(dtype) for t in trial.problem.start]
        self.rules = [module.Rule(trial.groups[owner].known(), self.gather(unit))
                      for unit, owner in trial.units]
        self.dtype = dtype
        self.now = [trial.now(owner, 0) for _, owner in trial.units]

    def gather(self, unit, tensors=None):
        tensors = self.theta if tensors is None else tensors
        if len(unit) == 1:
            return tensors[unit[0]]
        return torch.cat([tensors[index].reshape(-1) for index in unit])

    def scatter(self, unit, value, tensors):
        if len(unit) == 1:
            tensors[unit[0]] = value.reshape(tensors[unit[0]].shape)
            return
        parts = value.split([tensors[index].numel() for index in unit])
        for index, part in zip(unit, parts):
            tensors[index] = part.reshape(tensors[index].shape)

    def view(self, name):
        if name == "evaluation":
            return list(self.theta)
        tensors = list(self.theta)
        for (unit, _), rule, now in zip(self.trial.units, self.rules, self.now):
            self.scatter(unit, getattr(rule, name)(self.gather(unit), now), tensors)
        return tensors

    def step(self, number, push):
        """The views after a step. push: a stepd.Step, with gradients times its loss scale."""
        grads = [grad.to(self.dtype) for grad in push.grads]
        for place, ((unit, owner), rule) in enumerate(zip(self.trial.units, self.rules)):
            now = self.now[place] = self.trial.now(owner, number)
            now.loss, now.loss_scale = push.loss, push.loss_scale or 1.0
            if unit[0] in push.extras:
                now.hessian = push.extras[unit[0]].to(self.dtype)
            self.scatter(unit, rule.step(self.gather(unit), self.gather(unit, grads), now),
                         self.theta)
        return {name: self.view(name) for name in self.trial.views}


class PaperTrial:
    """A problem, two groups, and the gradients of the float64 run."""

    def __init__(self, name, module, seed, steps=STEPS):
        draw = Draw(f"{name} {seed}")
        self.module = module
        self.steps = steps
        self.hessians = getattr(module, "NEEDS_HESSIAN", False)
        self.problem = problems.make(seed, steps)
        if self.hessians:
            self.problem = problems.Quadratic(seed, steps, problems.Quadratic.SMALL)
        self.views = getattr(module, "VIEWS", ("evaluation",))
        self.groups = [PaperGroup(module, draw, match) for match in self.matches()]
        self.rates = [group.rates(steps) for group in self.groups]
        self.owner = [next(number for number, group in enumerate(self.groups)
                           if fnmatch.fnmatchcase(tensor, group.match))
                      for tensor in self.problem.names]
        self.units = self.find_units()
        self.pushes, self.float64 = self.run_float64()

    def matches(self):
        if self.hessians:
            return ("first.*", "*")
        return ("*.weight", "*")

    def find_units(self):
        """[(tensors that a rule sees together, their group)]."""
        if not getattr(self.module, "WHOLE_GROUP", False):
            return [((index,), owner) for index, owner in enumerate(self.owner)]
        return [(tuple(i for i, owner in enumerate(self.owner) if owner == number), number)
                for number in range(len(self.groups))]

    def now(self, owner, step):
        lr = self.groups[owner].settings.get("lr", 1.0)
        return Now(step + 1, self.rates[owner][step], lr)

    def push(self, run, step):
        where = run.view("training") if "training" in self.views else run.theta
        loss, grads = problems.gradients(self.problem, where, step)
        scales = getattr(self.module, "LOSS_SCALES", (None,))
        scale = scales[step % len(scales)]
        factor = getattr(self.module, "GRADIENT_SCALE", 1.0)
        for (unit, owner), rule in zip(self.units, run.rules):
            sign = -1.0 if self.groups[owner].settings.get("maximize") else 1.0
            for index in unit:
                grad = sign * factor * grads[index].double()
                if hasattr(rule, "clear"):
                    grad = rule.clear(grad)
                grads[index] = (grad * (scale or 1.0)).float()
        push = stepd.Step(grads, loss_scale=scale)
        if getattr(self.module, "NEEDS_LOSS", False):
            push.loss = loss
        if self.hessians:
            push.extras = {unit[0]: self.problem.hessian(unit).float() for unit, _ in self.units}
        return push

    def run_float64(self):
        run = PaperRun(self, self.module, torch.float64)
        pushes, views = [], []
        for step in range(self.steps):
            pushes.append(self.push(run, step))
            views.append(run.step(step, pushes[-1]))
        return pushes, views

    def run_given(self, module, dtype):
        """A run of this reference, or of a mutant of it, on the same gradients."""
        run = PaperRun(self, module, dtype)
        return [run.step(step, push) for step, push in enumerate(self.pushes)]

    def config(self):
        return [group.config(f"group{number}") for number, group in enumerate(self.groups)]

    def run_stepd(self, server):
        views = server.train(self.config(), self.problem.names, self.problem.start, self.pushes,
                             self.views)
        return [{view: views[view][step] for view in self.views} for step in range(self.steps)]

    def judge(self, ours, float32, float64):
        """A Verdict for each view of each tensor."""
        verdicts = []
        factor = getattr(self.module, "FACTOR", criterion.FACTOR)
        for view in self.views:
            tensors = [(f"{name} ({view})", start)
                       for name, start in zip(self.problem.names, self.problem.start)]
            verdicts += criterion.judge(tensors, *([step[view] for step in run]
                                                 for run in (ours, float32, float64)), factor)
        return verdicts
