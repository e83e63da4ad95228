# SPDX-License-Identifier: Apache-2.0
"""Lion. Chen et al. 2023, Symbolic discovery of optimization algorithms, algorithm 2.

The step is a sign: where its argument is within the rounding of 0, two right programs differ by twice
the learning rate. So gradients are kept away from there (clear)."""
import torch

OPTIMIZER = "lion"


def draw_settings(draw):
    return {"lr": draw.scaled(1e-4, 1e-2), "betas": [draw.between(0.5, 0.95), draw.between(0.8, 0.995)],
            "weight_decay": draw.perhaps(draw.scaled(1e-2, 0.5))}


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.weight_decay = settings["weight_decay"]
        self.m = torch.zeros_like(theta)

    def clear(self, g):
        """The gradient, larger where the sign would hang on the last bits."""
        size = self.beta1 * self.m.abs() + (1 - self.beta1) * g.abs()
        c = self.beta1 * self.m + (1 - self.beta1) * g
        return torch.where(c.abs() < 1e-4 * size, 1.5 * g, g)

    def step(self, theta, g, now):
        # mutant: (1 - self.beta1) -> 1
        # mutant: self.beta1 * self.m + (1 - self.beta1) -> self.beta2 * self.m + (1 - self.beta2)
        c = self.beta1 * self.m + (1 - self.beta1) * g
        # mutant: (1 - self.beta2) -> 1
        # mutant: self.beta2 * self.m + (1 - self.beta2) -> self.beta1 * self.m + (1 - self.beta1)
        self.m = self.beta2 * self.m + (1 - self.beta2) * g
        # The terms in theta together, which is where the authors' lion_pytorch.py rounds, and stepd.
        # mutant: torch.sign(c) -> c
        # mutant: 1 - now.lr -> 1 + now.lr
        # mutant: - now.lr * torch -> + now.lr * torch
        return theta * (1 - now.lr * self.weight_decay) - now.lr * torch.sign(c)
