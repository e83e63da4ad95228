# SPDX-License-Identifier: Apache-2.0
"""Nesterov momentum seen from the point that it looks ahead to: weights p = theta + alpha v of
algorithm 8.3, which needs no second point. Keras, keras/src/optimizers/sgd.py: m <- alpha m - lr g,
p <- p + alpha m - lr g. Weight decay is added to the gradient."""
import torch

OPTIMIZER = "nesterov"


def draw_settings(draw):
    return {"form": "classic", "lr": draw.scaled(0.01, 0.1), "momentum": draw.between(0.5, 0.95),
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, theta):
        self.alpha = settings["momentum"]
        self.weight_decay = settings["weight_decay"]
        self.m = torch.zeros_like(theta)

    def step(self, p, g, now):
        # mutant: + self -> - self
        g = g + self.weight_decay * p
        # mutant: - now.lr -> + now.lr
        self.m = self.alpha * self.m - now.lr * g
        # mutant: self.alpha * self.m -> self.m
        # mutant: - now.lr * g ->
        # mutant: now.lr -> now.base_lr
        return p + self.alpha * self.m - now.lr * g
