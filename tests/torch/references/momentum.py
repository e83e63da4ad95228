# SPDX-License-Identifier: Apache-2.0
"""SGD with momentum. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.2. The learning
rate is inside the velocity, which keeps the rates of its past: not PyTorch's form. Dampening and
weight decay, which the algorithm has not, are PyTorch's: the first gradient comes in whole."""
import torch

OPTIMIZER = "momentum"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.01, 0.1), "momentum": draw.between(0.5, 0.95),
            "dampening": draw.perhaps(draw.between(0.1, 0.9)),
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, theta):
        self.alpha = settings["momentum"]
        self.tau = settings["dampening"]
        self.weight_decay = settings["weight_decay"]
        self.v = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: + self -> - self
        g = g + self.weight_decay * theta
        # mutant: now.t == 1 -> False
        # mutant: (1 - self.tau) -> self.tau
        share = 1 if now.t == 1 else (1 - self.tau)
        # mutant: - now.lr -> + now.lr
        # mutant: now.lr * share -> share
        # mutant: self.alpha -> (1 - self.alpha)
        self.v = self.alpha * self.v - now.lr * share * g
        # mutant: + self.v -> - self.v
        return theta + self.v
