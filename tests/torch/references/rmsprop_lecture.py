# SPDX-License-Identifier: Apache-2.0
"""RMSProp with the numbers that `preset: lecture` is to pin: Goodfellow, Bengio and Courville, Deep
Learning, algorithm 8.5, delta = 1e-6 inside the root, and the lecture's rate and decay."""
import torch

OPTIMIZER = "rmsprop"
SCHEDULED = False
GRADIENT_SCALE = 1e-3  # so that a delta of 1e-6 shows


def draw_settings(_draw):
    return {"preset": "lecture"}


class Rule:
    def __init__(self, _settings, theta):
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, _now):
        # mutant: 0.9 -> 0.99
        # mutant: 0.1 -> 1
        self.r = 0.9 * self.r + 0.1 * g * g
        # mutant: - 0.001 -> + 0.001
        # mutant: 0.001 -> 0.01
        # mutant: 1e-6 -> 1e-8
        # mutant: torch.sqrt(1e-6 + self.r) -> (1e-6 + torch.sqrt(self.r))
        return theta - 0.001 / torch.sqrt(1e-6 + self.r) * g
