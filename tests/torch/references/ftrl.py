# SPDX-License-Identifier: Apache-2.0
"""FTRL-proximal. McMahan et al. 2013, Ad click prediction: a view from the trenches, algorithm 1."""
import torch

OPTIMIZER = "ftrl"
SCHEDULED = False  # the rate scales the weights themselves; see server/optim/ftrl.c


def draw_settings(draw):
    return {"lr": draw.scaled(0.05, 0.5), "l1": draw.perhaps(draw.scaled(0.05, 2.0)),
            "l2": draw.scaled(1e-2, 1.0), "beta": draw.scaled(0.1, 2.0),
            "initial_accumulator_value": draw.perhaps(draw.scaled(0.01, 1.0))}


class Rule:
    def __init__(self, settings, w):
        self.lambda1, self.lambda2 = settings["l1"], settings["l2"]
        self.beta = settings["beta"]
        self.z = torch.zeros_like(w)
        self.n = torch.full_like(w, settings["initial_accumulator_value"])

    def step(self, w, g, now):
        alpha = now.lr
        # mutant: / alpha ->
        # mutant: - torch.sqrt(self.n) -> + torch.sqrt(self.n)
        sigma = (torch.sqrt(self.n + g * g) - torch.sqrt(self.n)) / alpha
        # mutant: - sigma -> + sigma
        self.z = self.z + g - sigma * w
        # mutant: g * g -> g.abs()
        self.n = self.n + g * g
        # mutant: self.beta + -> self.beta * 2 +
        # mutant: + self.lambda2 -> + 2 * self.lambda2
        below = (self.beta + torch.sqrt(self.n)) / alpha + self.lambda2
        # mutant: torch.sign(self.z) -> (self.z < 0)
        # mutant: self.lambda1 - self.z -> self.lambda1 + self.z
        w = (torch.sign(self.z) * self.lambda1 - self.z) / below
        # mutant: <= self.lambda1 -> <= 0
        return torch.where(self.z.abs() <= self.lambda1, torch.zeros_like(w), w)
