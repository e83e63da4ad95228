# SPDX-License-Identifier: Apache-2.0
"""Nesterov momentum with the interim point. Goodfellow, Bengio and Courville, Deep Learning,
algorithm 8.3: workers compute gradients at theta + alpha v, which a training pull hands out; the
weights, and what an evaluation pull hands out, are theta. Weight decay, which the algorithm has not, is
part of the objective: its gradient, too, is that of the interim point."""
import torch

OPTIMIZER = "nesterov"
VIEWS = ("training", "evaluation")


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.01, 0.1), "momentum": draw.between(0.5, 0.95),
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, theta):
        self.alpha = settings["momentum"]
        self.weight_decay = settings["weight_decay"]
        self.v = torch.zeros_like(theta)

    def training(self, theta, _now):
        # mutant: + self.alpha -> - self.alpha
        # mutant: self.alpha * self.v -> self.v
        return theta + self.alpha * self.v

    def step(self, theta, g, now):
        # mutant: (theta + self.alpha * self.v) -> theta
        # mutant: g + self -> g - self
        g = g + self.weight_decay * (theta + self.alpha * self.v)
        # mutant: - now.lr -> + now.lr
        # mutant: now.lr -> now.base_lr
        self.v = self.alpha * self.v - now.lr * g
        # mutant: + self.v -> - self.v
        # mutant: self.v -> self.alpha * self.v - now.lr * g
        return theta + self.v
