# SPDX-License-Identifier: Apache-2.0
"""AdaGrad with the numbers that `preset: lecture` is to pin: Goodfellow, Bengio and Courville, Deep
Learning, algorithm 8.4, delta = 1e-7, and the lecture's learning rate of 0.01."""
import torch

OPTIMIZER = "adagrad"
SCHEDULED = False
GRADIENT_SCALE = 1e-6  # so that a delta of 1e-7 shows


def draw_settings(_draw):
    return {"preset": "lecture"}


class Rule:
    def __init__(self, _settings, theta):
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, _now):
        # mutant: g * g -> g.abs()
        self.r = self.r + g * g
        # mutant: - 0.01 -> + 0.01
        # mutant: 0.01 -> 0.001
        # mutant: 1e-7 -> 1e-10
        # mutant: 1e-7 + torch.sqrt(self.r) -> torch.sqrt(1e-7 + self.r)
        return theta - 0.01 / (1e-7 + torch.sqrt(self.r)) * g
