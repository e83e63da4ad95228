# SPDX-License-Identifier: Apache-2.0
"""A learning rate that drops when the loss stands still, on the losses that the pushes bring: the rules
of PyTorch's ReduceLROnPlateau (mode min, relative threshold), the loss of each round being known after
its step. The optimizer is SGD."""
OPTIMIZER = "sgd"
NEEDS_LOSS = True


def draw_settings(draw):
    return {"lr": draw.scaled(0.02, 0.1)}


def draw_schedule(draw):
    return {"kind": "plateau", "factor": draw.between(0.5, 0.9), "patience": draw.randint(1, 6),
            "threshold": draw.between(0.001, 0.05), "cooldown": draw.randint(0, 5),
            "min_lr": draw.scaled(1e-4, 1e-2)}


class Rule:
    def __init__(self, settings, _theta):
        self.lr = settings["lr"]
        self.schedule = settings["schedule"]
        self.best = float("inf")
        self.bad, self.cooling = 0, 0

    def step(self, theta, g, now):
        # mutant: - self.lr -> + self.lr
        theta = theta - self.lr * g
        self.observe(now.loss, self.schedule)
        return theta

    def observe(self, loss, schedule):
        # mutant: 1 - schedule -> 1 + schedule
        if loss < self.best * (1 - schedule["threshold"]):
            self.best, self.bad = loss, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling -= 1
            # mutant: self.bad = 0 -> pass
            self.bad = 0
        # mutant: > schedule -> >= schedule
        if self.bad > schedule["patience"]:
            # mutant: * schedule["factor"] -> - 0.01
            # mutant: schedule["min_lr"] -> 0
            self.lr = max(self.lr * schedule["factor"], schedule["min_lr"])
            # mutant: schedule["cooldown"] -> 0
            self.cooling = schedule["cooldown"]
            self.bad = 0
