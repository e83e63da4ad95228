# SPDX-License-Identifier: Apache-2.0
"""Adam. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.7 as the lecture prints it: delta
inside the root, with the corrected moment."""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.001, 0.05),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-7, 1e-2)}


class Rule:
    def __init__(self, settings, theta):
        self.rho1, self.rho2 = settings["betas"]
        self.delta = settings["eps"]
        self.s = torch.zeros_like(theta)
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: (1 - self.rho1) -> 1
        self.s = self.rho1 * self.s + (1 - self.rho1) * g
        # mutant: self.rho2 * self.r -> self.rho1 * self.r
        self.r = self.rho2 * self.r + (1 - self.rho2) * g * g
        # mutant: / (1 - self.rho1 ** now.t) ->
        # mutant: ** now.t -> ** (now.t + 1)
        s_hat = self.s / (1 - self.rho1 ** now.t)
        # mutant: / (1 - self.rho2 ** now.t) ->
        # mutant: ** now.t -> ** (now.t - 1 + 1e-9)
        r_hat = self.r / (1 - self.rho2 ** now.t)
        # mutant: torch.sqrt(r_hat + self.delta) -> (torch.sqrt(r_hat) + self.delta)
        # mutant: r_hat + self.delta -> r_hat
        # mutant: - now.lr -> now.lr
        delta_theta = - now.lr * s_hat / torch.sqrt(r_hat + self.delta)
        return theta + delta_theta
