# SPDX-License-Identifier: Apache-2.0
"""AdamW. Loshchilov and Hutter 2019, Decoupled weight decay regularization, algorithm 2: the schedule's
multiplier eta_t stands before both terms, and the decay w x has no alpha. Line 12 is written with the
terms in x together, which is where float32 rounds in stepd and in PyTorch: the same in float64."""
import torch

OPTIMIZER = "adamw"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.001, 0.05),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-7, 1e-2), "weight_decay": draw.scaled(1e-4, 1e-2)}


class Rule:
    def __init__(self, settings, x):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.w = settings["weight_decay"]
        self.m = torch.zeros_like(x)
        self.v = torch.zeros_like(x)

    def step(self, x, g, now):
        alpha, eta_t = now.base_lr, now.lr / now.base_lr
        # line 6 for Adam with L2 would be g = g + w x
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: / (1 - self.beta1 ** now.t) ->
        m_hat = self.m / (1 - self.beta1 ** now.t)
        # mutant: / (1 - self.beta2 ** now.t) ->
        v_hat = self.v / (1 - self.beta2 ** now.t)
        # mutant: torch.sqrt(v_hat) + self.eps -> torch.sqrt(v_hat + self.eps)
        adaptive = alpha * m_hat / (torch.sqrt(v_hat) + self.eps)
        # mutant: eta_t * self.w -> eta_t * alpha * self.w
        # mutant: eta_t * self.w -> self.w
        # mutant: - eta_t * self.w -> + eta_t * self.w
        # mutant: - eta_t * adaptive -> + eta_t * adaptive
        # mutant: - eta_t * adaptive -> - adaptive
        return x * (1 - eta_t * self.w) - eta_t * adaptive
