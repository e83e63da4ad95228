# SPDX-License-Identifier: Apache-2.0
"""AdaGrad. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.4: delta outside the root."""
import torch

OPTIMIZER = "adagrad"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.02, 0.5), "eps": draw.scaled(1e-7, 1e-2)}


class Rule:
    def __init__(self, settings, theta):
        self.delta = settings["eps"]
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: g * g -> g.abs()
        # mutant: self.r + -> 0.9 * self.r +
        self.r = self.r + g * g
        # mutant: - now.lr -> now.lr
        # mutant: self.delta + torch.sqrt(self.r) -> torch.sqrt(self.delta + self.r)
        delta_theta = - now.lr / (self.delta + torch.sqrt(self.r)) * g
        return theta + delta_theta
