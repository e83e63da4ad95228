# SPDX-License-Identifier: Apache-2.0
"""RMSProp with Nesterov momentum. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.6:
gradients at the interim point theta + alpha v. Printed without delta, which is 0/0 for g = 0; here
delta is inside the root, as in algorithm 8.5. Weight decay is added to the gradient, of the point at
which it was computed."""
import torch

OPTIMIZER = "rmsprop_nesterov"
VIEWS = ("training", "evaluation")


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.001, 0.02), "rho": draw.between(0.8, 0.99),
            "momentum": draw.between(0.3, 0.9), "eps": draw.scaled(1e-6, 1e-2),
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, theta):
        self.alpha = settings["momentum"]
        self.weight_decay = settings["weight_decay"]
        self.rho = settings["rho"]
        self.delta = settings["eps"]
        self.v = torch.zeros_like(theta)
        self.r = torch.zeros_like(theta)

    def training(self, theta, _now):
        # mutant: + self.alpha -> - self.alpha
        return theta + self.alpha * self.v

    def step(self, theta, g, now):
        # mutant: (theta + self.alpha * self.v) -> theta
        # mutant: g + self -> g - self
        g = g + self.weight_decay * (theta + self.alpha * self.v)
        # mutant: (1 - self.rho) -> 1
        self.r = self.rho * self.r + (1 - self.rho) * g * g
        # mutant: torch.sqrt(self.delta + self.r) -> (self.delta + torch.sqrt(self.r))
        # mutant: - now.lr -> + now.lr
        # mutant: now.lr -> now.base_lr
        self.v = self.alpha * self.v - now.lr / torch.sqrt(self.delta + self.r) * g
        # mutant: + self.v -> - self.v
        return theta + self.v
