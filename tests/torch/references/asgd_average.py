# SPDX-License-Identifier: Apache-2.0
"""Averaged SGD and its average, which torch.optim.ASGD leaves in its state as ax. Polyak and Juditsky
1992; the rate of Xu 2011, which comes a step late in PyTorch. The swa view of a group whose swa_start
is t0 + 2 is that average."""
import torch

OPTIMIZER = "asgd"
VIEWS = ("evaluation", "swa")


def draw_settings(draw):
    t0 = draw.randint(0, 100)
    return {"lr": draw.scaled(0.005, 0.1), "lambd": draw.scaled(1e-4, 1e-2),
            "alpha": draw.between(0.5, 1.0), "t0": float(t0), "swa_start": t0 + 2}


class Rule:
    def __init__(self, settings, w):
        self.lambd, self.alpha, self.t0 = settings["lambd"], settings["alpha"], settings["t0"]
        self.eta, self.mu = None, 1
        self.ax = torch.zeros_like(w)

    def swa(self, _theta, _now):
        return self.ax

    def step(self, w, g, now):
        if self.eta is None:
            self.eta = now.lr
        # mutant: 1 - self.lambd -> 1 + self.lambd
        # mutant: - self.eta * g -> + self.eta * g
        w = w * (1 - self.lambd * self.eta) - self.eta * g
        # mutant: (w - self.ax) -> w
        # mutant: self.mu * ->
        self.ax = self.ax + self.mu * (w - self.ax)
        # mutant: ** self.alpha ->
        # mutant: * now.t ->
        self.eta = now.lr / (1 + self.lambd * now.lr * now.t) ** self.alpha
        # mutant: now.t - self.t0 -> now.t + 1 - self.t0
        self.mu = 1 / max(1, now.t - self.t0)
        return w
