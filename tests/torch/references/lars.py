# SPDX-License-Identifier: Apache-2.0
"""LARS. You, Gitman and Ginsburg 2017, Large batch training of convolutional networks, algorithm 1. The
eps below the line, and a ratio of 1 where a norm is 0, are MXNet's."""
import torch

OPTIMIZER = "lars"


def draw_settings(draw):
    return {"lr": draw.scaled(0.5, 5.0), "momentum": draw.between(0.5, 0.95),
            "trust_coefficient": draw.scaled(1e-3, 1e-2), "eps": draw.scaled(1e-4, 1e-1),
            "weight_decay": draw.scaled(1e-3, 0.1)}


class Rule:
    def __init__(self, settings, w):
        self.m = settings["momentum"]
        self.eta = settings["trust_coefficient"]
        self.eps = settings["eps"]
        self.beta = settings["weight_decay"]
        self.v = torch.zeros_like(w)

    def step(self, w, g, now):
        w_norm, g_norm = torch.linalg.vector_norm(w), torch.linalg.vector_norm(g)
        # mutant: + self.beta * w_norm ->
        # mutant: + self.eps -> + 2 * self.eps
        # mutant: self.eta * ->
        lam = self.eta * w_norm / (g_norm + self.beta * w_norm + self.eps)
        if not (w_norm > 0 and g_norm > 0):
            # mutant: 1 -> 0
            lam = 1
        # mutant: + self.beta -> - self.beta
        # mutant: now.lr -> now.base_lr
        # mutant: self.m * -> (1 - self.m) *
        self.v = self.m * self.v + now.lr * lam * (g + self.beta * w)
        # mutant: - self.v -> + self.v
        return w - self.v
