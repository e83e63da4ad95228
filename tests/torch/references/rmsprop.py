# SPDX-License-Identifier: Apache-2.0
"""RMSProp. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.5: delta inside the root."""
import torch

OPTIMIZER = "rmsprop"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.001, 0.02), "alpha": draw.between(0.8, 0.99),
            "eps": draw.scaled(1e-6, 1e-2)}


class Rule:
    def __init__(self, settings, theta):
        self.rho = settings["alpha"]
        self.delta = settings["eps"]
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: (1 - self.rho) -> 1
        # mutant: (1 - self.rho) -> self.rho
        self.r = self.rho * self.r + (1 - self.rho) * g * g
        # mutant: torch.sqrt(self.delta + self.r) -> (self.delta + torch.sqrt(self.r))
        # mutant: - now.lr -> now.lr
        delta_theta = - now.lr / torch.sqrt(self.delta + self.r) * g
        return theta + delta_theta
