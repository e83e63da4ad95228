# SPDX-License-Identifier: Apache-2.0
"""Adam with eps-hat. Kingma and Ba 2015, the remark at the end of section 2: alpha_t carries both
corrections, and eps-hat stands beside the root of the uncorrected moment."""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"eps_mode": "hat", "lr": draw.scaled(0.001, 0.05),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-6, 1e-2)}


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.eps_hat = settings["eps"]
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)

    def step(self, theta, g, now):
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: (1 - self.beta2 ** now.t) ** 0.5 -> 1
        # mutant: / (1 - self.beta1 ** now.t) ->
        alpha_t = now.lr * (1 - self.beta2 ** now.t) ** 0.5 / (1 - self.beta1 ** now.t)
        # mutant: + self.eps_hat -> + self.eps_hat * (1 - self.beta2 ** now.t) ** 0.5
        # mutant: torch.sqrt(self.v) + self.eps_hat -> torch.sqrt(self.v + self.eps_hat)
        # mutant: - alpha_t -> + alpha_t
        return theta - alpha_t * self.m / (torch.sqrt(self.v) + self.eps_hat)
