# SPDX-License-Identifier: Apache-2.0
"""AdaBound and AMSBound. Luo, Xiong, Liu and Sun 2019, algorithms 2 and 3, in the form of the authors'
package: eps beside the root of the uncorrected moment, both corrections in the step's size, and the
bounds follow the schedule."""
import torch

OPTIMIZER = "adabound"


def draw_settings(draw):
    name, amsbound = draw.choice((("adabound", False), ("adabound", True), ("amsbound", True)))
    return {"optimizer": name, "lr": draw.scaled(0.001, 0.05), "final_lr": draw.scaled(0.005, 0.1),
            "gamma": draw.scaled(1e-3, 0.1), "amsgrad": amsbound,
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)],
            "eps": draw.scaled(1e-6, 1e-2), "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, x):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.final_lr = settings["final_lr"]
        self.gamma = settings["gamma"]
        self.weight_decay = settings["weight_decay"]
        self.amsbound = settings["amsgrad"]
        self.m = torch.zeros_like(x)
        self.v = torch.zeros_like(x)
        self.v_hat = torch.zeros_like(x)

    def step(self, x, g, now):
        # mutant: + self.weight -> - self.weight
        g = g + self.weight_decay * x
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        # mutant: torch.maximum(self.v_hat, self.v) -> self.v
        self.v_hat = torch.maximum(self.v_hat, self.v)
        root = torch.sqrt(self.v_hat if self.amsbound else self.v)
        # mutant: * now.lr / now.base_lr ->
        final_lr = self.final_lr * now.lr / now.base_lr
        # mutant: 1 - 1 / -> 1 + 1 /
        # mutant: now.t + 1 -> now.t + 2
        lower = final_lr * (1 - 1 / (self.gamma * now.t + 1))
        # mutant: 1 + 1 / -> 1 + 2 /
        upper = final_lr * (1 + 1 / (self.gamma * now.t))
        # mutant: (1 - self.beta2 ** now.t) ** 0.5 -> 1
        # mutant: / (1 - self.beta1 ** now.t) ->
        alpha = now.lr * (1 - self.beta2 ** now.t) ** 0.5 / (1 - self.beta1 ** now.t)
        # mutant: root + self.eps -> torch.sqrt(root * root + self.eps)
        # mutant: torch.clamp(alpha / (root + self.eps), lower, upper) -> alpha / (root + self.eps)
        eta = torch.clamp(alpha / (root + self.eps), lower, upper)
        # mutant: - eta -> + eta
        return x - eta * self.m
