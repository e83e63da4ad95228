# SPDX-License-Identifier: Apache-2.0
"""AMSGrad with the maximum over the corrected moment, as in optax.amsgrad. Reddi, Kale and Kumar 2018,
algorithm 2, with the bias corrections of Adam. PyTorch takes the maximum first and corrects it after."""
import torch

OPTIMIZER = "amsgrad"


def draw_settings(draw):
    return {"amsgrad_max": "corrected", "lr": draw.scaled(0.001, 0.05),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-6, 1e-2), "eps_mode": draw.choice(("outside", "inside"))}


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.inside = settings["eps_mode"] == "inside"
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)
        self.v_max = torch.zeros_like(theta)

    def step(self, theta, g, now):
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: / (1 - self.beta1 ** now.t) ->
        m_hat = self.m / (1 - self.beta1 ** now.t)
        # mutant: / (1 - self.beta2 ** now.t) ->
        v_hat = self.v / (1 - self.beta2 ** now.t)
        # mutant: torch.maximum(self.v_max, v_hat) -> v_hat
        # mutant: torch.maximum -> torch.minimum
        self.v_max = torch.maximum(self.v_max, v_hat)
        # mutant: not self.inside -> self.inside
        if not self.inside:
            # mutant: - now.lr -> + now.lr
            # mutant: (torch.sqrt(self.v_max) + self.eps) -> torch.sqrt(self.v_max + self.eps)
            return theta - now.lr * m_hat / (torch.sqrt(self.v_max) + self.eps)
        # mutant: - now.lr -> + now.lr
        # mutant: torch.sqrt(self.v_max + self.eps) -> (torch.sqrt(self.v_max) + self.eps)
        return theta - now.lr * m_hat / torch.sqrt(self.v_max + self.eps)
