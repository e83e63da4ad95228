# SPDX-License-Identifier: Apache-2.0
"""Adam with L2 regularization. Loshchilov and Hutter 2019, Decoupled weight decay regularization,
algorithm 2 with line 6 and without the term of line 12 that is AdamW's: the decay w x is part of the
gradient, and so of both moments."""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"lr": draw.scaled(0.001, 0.05), "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-7, 1e-2), "weight_decay": draw.scaled(1e-3, 0.1)}


class Rule:
    def __init__(self, settings, x):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.w = settings["weight_decay"]
        self.m = torch.zeros_like(x)
        self.v = torch.zeros_like(x)

    def step(self, x, g, now):
        alpha, eta_t = now.base_lr, now.lr / now.base_lr
        # mutant: + self.w -> - self.w
        # mutant: self.w * x -> 0
        g = g + self.w * x
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: / (1 - self.beta1 ** now.t) ->
        m_hat = self.m / (1 - self.beta1 ** now.t)
        # mutant: / (1 - self.beta2 ** now.t) ->
        v_hat = self.v / (1 - self.beta2 ** now.t)
        # mutant: torch.sqrt(v_hat) + self.eps -> torch.sqrt(v_hat + self.eps)
        # mutant: - eta_t -> + eta_t
        # mutant: eta_t * alpha -> alpha
        return x - eta_t * alpha * m_hat / (torch.sqrt(v_hat) + self.eps)
