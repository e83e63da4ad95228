# SPDX-License-Identifier: Apache-2.0
"""Adam without bias correction, eps outside the root: the moments of Kingma and Ba 2015, algorithm 1,
taken as they are. With the correction it is PyTorch's. AMSGrad's maximum (Reddi et al. 2018,
algorithm 2, which corrects nothing) for half of the draws."""
import torch

OPTIMIZER = "adam"


def draw_settings(draw):
    return {"bias_correction": False, "lr": draw.scaled(0.001, 0.02),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-6, 1e-2), "amsgrad": draw.random() < 0.5,
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1)),
            "decay": draw.choice(("l2", "decoupled_lr"))}


class Rule:
    def __init__(self, settings, theta):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.amsgrad = settings["amsgrad"]
        self.weight_decay = settings["weight_decay"]
        self.decoupled = settings["decay"] == "decoupled_lr"
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)
        self.v_hat = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: self.decoupled -> not self.decoupled
        if self.decoupled:
            # mutant: now.lr * -> now.base_lr *
            # mutant: 1 - -> 1 +
            theta = theta * (1 - now.lr * self.weight_decay)
        else:
            g = g + self.weight_decay * theta
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: torch.maximum -> torch.minimum
        self.v_hat = torch.maximum(self.v_hat, self.v)
        # mutant: self.v_hat if -> self.v if
        root = torch.sqrt(self.v_hat if self.amsgrad else self.v)
        # mutant: - now.lr -> + now.lr
        # mutant: root + self.eps -> root - self.eps
        # mutant: root + self.eps -> torch.sqrt(root * root + self.eps)
        # mutant: self.m / -> self.m / (1 - self.beta1 ** now.t) /
        return theta - now.lr * self.m / (root + self.eps)
