# SPDX-License-Identifier: Apache-2.0
"""RMSProp as the lecture's slide has it: gamma = 0.9, eta = 0.001 and eps = 1e-7 inside the root.
`preset: lecture` is the book's algorithm 8.5, of which only eps is another number."""
import torch

OPTIMIZER = "rmsprop"
SCHEDULED = False
GRADIENT_SCALE = 3e-4  # so that an eps of 1e-7 inside the root shows


def draw_settings(_draw):
    return {"preset": "lecture", "eps": 1e-7}


class Rule:
    def __init__(self, _settings, w):
        self.mean = torch.zeros_like(w)

    def step(self, w, g, _now):
        # mutant: 0.9 -> 0.99
        # mutant: 0.1 -> 1
        self.mean = 0.9 * self.mean + 0.1 * g * g
        # mutant: - 0.001 -> + 0.001
        # mutant: 0.001 -> 0.01
        # mutant: 1e-7 -> 1e-6
        # mutant: torch.sqrt(self.mean + 1e-7) -> (torch.sqrt(self.mean) + 1e-7)
        return w - 0.001 / torch.sqrt(self.mean + 1e-7) * g
