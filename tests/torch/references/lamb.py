# SPDX-License-Identifier: Apache-2.0
"""LAMB. You et al. 2020, Large batch optimization for deep learning, algorithm 2 with phi(x) = x; the
ratio is 1 where a norm is 0."""
import torch

OPTIMIZER = "lamb"


def draw_settings(draw):
    return {"lr": draw.scaled(0.001, 0.02), "eps": draw.scaled(1e-6, 1e-2),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "weight_decay": draw.scaled(1e-3, 0.1)}


class Rule:
    def __init__(self, settings, x):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.lam = settings["weight_decay"]
        self.m = torch.zeros_like(x)
        self.v = torch.zeros_like(x)

    def step(self, x, g, now):
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: / (1 - self.beta1 ** now.t) ->
        m_hat = self.m / (1 - self.beta1 ** now.t)
        # mutant: / (1 - self.beta2 ** now.t) ->
        v_hat = self.v / (1 - self.beta2 ** now.t)
        # mutant: torch.sqrt(v_hat) + self.eps -> torch.sqrt(v_hat + self.eps)
        r = m_hat / (torch.sqrt(v_hat) + self.eps)
        # mutant: + self.lam -> - self.lam
        u = r + self.lam * x
        x_norm, u_norm = torch.linalg.vector_norm(x), torch.linalg.vector_norm(u)
        # mutant: x_norm / u_norm -> u_norm / x_norm
        # mutant: else 1 -> else 0
        ratio = x_norm / u_norm if x_norm > 0 and u_norm > 0 else 1
        # mutant: * ratio ->
        # mutant: - now.lr -> + now.lr
        return x - now.lr * ratio * u
