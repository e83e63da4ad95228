# SPDX-License-Identifier: Apache-2.0
"""Adam with the numbers that `preset: lecture` is to pin: Goodfellow, Bengio and Courville, Deep
Learning, algorithm 8.7, as the lecture prints it: step size 0.001, decays 0.9 and 0.999, and inside the
root delta = 1e-8."""
import torch

OPTIMIZER = "adam"
SCHEDULED = False
GRADIENT_SCALE = 1e-4  # so that a delta of 1e-8 inside the root shows


def draw_settings(_draw):
    return {"preset": "lecture"}


class Rule:
    def __init__(self, _settings, theta):
        self.s = torch.zeros_like(theta)
        self.r = torch.zeros_like(theta)

    def step(self, theta, g, now):
        # mutant: 0.9 -> 0.95
        # mutant: 0.1 -> 1
        self.s = 0.9 * self.s + 0.1 * g
        # mutant: 0.999 -> 0.99
        # mutant: 0.001 -> 1
        self.r = 0.999 * self.r + 0.001 * g * g
        # mutant: / (1 - 0.9 ** now.t) ->
        s_hat = self.s / (1 - 0.9 ** now.t)
        # mutant: / (1 - 0.999 ** now.t) ->
        r_hat = self.r / (1 - 0.999 ** now.t)
        # mutant: - 0.001 -> + 0.001
        # mutant: 0.001 -> 0.01
        # mutant: 1e-8 -> 1e-7
        # mutant: torch.sqrt(r_hat + 1e-8) -> (torch.sqrt(r_hat) + 1e-8)
        return theta - 0.001 * s_hat / torch.sqrt(r_hat + 1e-8)
