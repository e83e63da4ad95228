# SPDX-License-Identifier: Apache-2.0
"""RMSProp with eps inside the root, centered or not, with momentum or not. Graves 2013, Generating
sequences with recurrent neural networks, equations 38 to 41; the learning rate outside the buffer
and weight decay added to the gradient are PyTorch's."""
import torch

OPTIMIZER = "rmsprop"


def draw_settings(draw):
    return {"eps_mode": "inside", "lr": draw.scaled(0.001, 0.02), "alpha": draw.between(0.8, 0.99),
            "eps": draw.scaled(1e-5, 1e-2), "momentum": draw.perhaps(draw.between(0.3, 0.9)),
            "centered": draw.random() < 0.5, "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, w):
        self.beth = settings["alpha"]
        self.eps = settings["eps"]
        self.centered = settings["centered"]
        self.momentum = settings["momentum"]
        self.weight_decay = settings["weight_decay"]
        self.n = torch.zeros_like(w)
        self.g = torch.zeros_like(w)
        self.delta = torch.zeros_like(w)

    def step(self, w, g, now):
        # mutant: + self -> - self
        g = g + self.weight_decay * w
        self.n = self.beth * self.n + (1 - self.beth) * g * g
        # mutant: (1 - self.beth) -> self.beth
        self.g = self.beth * self.g + (1 - self.beth) * g
        # mutant: self.g * self.g -> self.g
        mean = self.g * self.g if self.centered else 0
        # mutant: torch.sqrt(self.n - mean + self.eps) -> (torch.sqrt(self.n - mean) + self.eps)
        # mutant: - mean -> + mean
        self.delta = self.momentum * self.delta + g / torch.sqrt(self.n - mean + self.eps)
        # mutant: - now.lr -> + now.lr
        # mutant: now.lr -> now.base_lr
        return w - now.lr * self.delta
