# SPDX-License-Identifier: Apache-2.0
"""RMSProp with Nesterov momentum seen from the point that it looks ahead to: weights p = theta + alpha v
of Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.6, with delta inside the root as in 8.5.
It is algorithm 8.6 followed by the next interim point, and needs no second one."""
import torch

OPTIMIZER = "rmsprop_nesterov"


def draw_settings(draw):
    return {"form": "classic", "lr": draw.scaled(0.001, 0.02), "rho": draw.between(0.8, 0.99),
            "momentum": draw.between(0.3, 0.9), "eps": draw.scaled(1e-6, 1e-2),
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, p):
        self.alpha = settings["momentum"]
        self.rho = settings["rho"]
        self.delta = settings["eps"]
        self.weight_decay = settings["weight_decay"]
        self.v = torch.zeros_like(p)
        self.r = torch.zeros_like(p)

    def step(self, p, g, now):
        # mutant: g + self -> g - self
        g = g + self.weight_decay * p
        self.r = self.rho * self.r + (1 - self.rho) * g * g
        # mutant: torch.sqrt(self.delta + self.r) -> (self.delta + torch.sqrt(self.r))
        change = now.lr / torch.sqrt(self.delta + self.r) * g
        # mutant: - change -> + change
        self.v = self.alpha * self.v - change
        # mutant: self.alpha * self.v -> self.v
        # mutant: - change -> + change
        # mutant: - change ->
        return p + self.alpha * self.v - change
