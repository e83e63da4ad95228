# SPDX-License-Identifier: Apache-2.0
"""Adam first, SGD later: a group whose optimizer changes at a step. Each optimizer begins with its own
state at 0 and its own count of steps; the schedule goes on. (Goodfellow, Bengio and Courville, Deep
Learning, algorithms 8.7 and 8.2 in PyTorch's forms.)"""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"lr": draw.scaled(0.002, 0.02), "betas": [draw.between(0.5, 0.95), draw.between(0.8, 0.99)],
            "eps": draw.scaled(1e-6, 1e-3)}


def draw_phases(draw):
    return [{"from": draw.randint(20, 120), "optimizer": "momentum", "lr": draw.scaled(0.005, 0.05),
             "momentum": draw.between(0.5, 0.9)}]


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.later = settings["phases"][0]
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)
        self.b = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: > self -> >= self
        if now.t > self.later["from"]:
            # mutant: * self.b + g -> * self.b + g if now.t > 1 + self.later["from"] else 0 * g
            self.b = self.later["momentum"] * self.b + g
            # mutant: theta - self -> theta + self
            # mutant: * now.lr / now.base_lr ->
            # mutant: self.later["lr"] -> now.base_lr
            return theta - self.later["lr"] * now.lr / now.base_lr * self.b
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: / (1 - self.beta1 ** now.t) ->
        m_hat = self.m / (1 - self.beta1 ** now.t)
        # mutant: / (1 - self.beta2 ** now.t) ->
        v_hat = self.v / (1 - self.beta2 ** now.t)
        # mutant: - now.lr -> + now.lr
        # mutant: torch.sqrt(v_hat) + self.eps -> torch.sqrt(v_hat + self.eps)
        return theta - now.lr * m_hat / (torch.sqrt(v_hat) + self.eps)
