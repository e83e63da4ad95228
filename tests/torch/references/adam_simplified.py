# SPDX-License-Identifier: Apache-2.0
"""Adam as the lecture simplifies it first: no bias correction, eps inside the root."""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"preset": "lecture", "bias_correction": False, "lr": draw.scaled(0.001, 0.02),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-8, 1e-2)}


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)

    def step(self, theta, g, now):
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        # mutant: g * g -> g.abs()
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: self.m / -> self.m / (1 - self.beta1 ** now.t) /
        # mutant: torch.sqrt(self.v -> torch.sqrt(self.v / (1 - self.beta2 ** now.t)
        # mutant: - now.lr -> + now.lr
        # mutant: torch.sqrt(self.v + self.eps) -> (torch.sqrt(self.v) + self.eps)
        return theta - now.lr * self.m / torch.sqrt(self.v + self.eps)
