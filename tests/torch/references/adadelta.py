# SPDX-License-Identifier: Apache-2.0
"""AdaDelta. Zeiler 2012, ADADELTA: an adaptive learning rate method, algorithm 1. Line 7 has no learning
rate; a schedule's, which PyTorch multiplies by, stands there."""
import torch

OPTIMIZER = "adadelta"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.choice((1.0, draw.between(0.2, 1.0))),
            "rho": draw.between(0.8, 0.99), "eps": draw.scaled(1e-7, 1e-3)}


class Rule:
    def __init__(self, settings, x):
        self.rho = settings["rho"]
        self.eps = settings["eps"]
        self.g2 = torch.zeros_like(x)  # E[g^2]
        self.dx2 = torch.zeros_like(x)  # E[dx^2]

    def step(self, x, g, now):
        # mutant: (1 - self.rho) -> 1
        self.g2 = self.rho * self.g2 + (1 - self.rho) * g * g
        # mutant: torch.sqrt(self.dx2 + self.eps) -> (torch.sqrt(self.dx2) + self.eps)
        rms_dx = torch.sqrt(self.dx2 + self.eps)
        # mutant: torch.sqrt(self.g2 + self.eps) -> (torch.sqrt(self.g2) + self.eps)
        rms_g = torch.sqrt(self.g2 + self.eps)
        # mutant: - rms_dx -> rms_dx
        # mutant: rms_dx / -> 0.01 /
        dx = - rms_dx / rms_g * g
        # mutant: dx * dx -> (now.lr * dx) ** 2
        # mutant: dx * dx -> g * g
        self.dx2 = self.rho * self.dx2 + (1 - self.rho) * dx * dx
        return x + now.lr * dx
