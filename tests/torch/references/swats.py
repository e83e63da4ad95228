# SPDX-License-Identifier: Apache-2.0
"""SWATS. Keskar and Socher 2017, Improving generalization performance by switching from Adam to SGD,
algorithm 1, for each tensor by itself. Where the paper is silent: a rate that is not positive does not
end Adam; after the change the rate follows the schedule; weight decay is added to the gradient.

eps is both Adam's and the distance at which the change is made, and is drawn large enough for the
change to come within the run. The SGD rate is one number, found once from rounded sums, and scales
all steps after: so float32's distance is a matter of one rounding's luck, and counts for more."""
import torch

OPTIMIZER = "swats"
FACTOR = 8.0


def draw_settings(draw):
    return {"lr": draw.scaled(0.005, 0.02), "eps": draw.scaled(2e-4, 5e-3),
            "betas": [draw.between(0.5, 0.95), draw.between(0.8, 0.99)],
            "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1))}


class Rule:
    def __init__(self, settings, w):
        self.beta1, self.beta2 = settings["betas"]
        self.eps = settings["eps"]
        self.weight_decay = settings["weight_decay"]
        self.m, self.a, self.v = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
        self.rate = 0.0
        self.lam, self.found_at = None, 1.0

    def step(self, w, g, now):
        # mutant: + self.weight -> - self.weight
        g = g + self.weight_decay * w
        if self.lam is not None:
            # mutant: + g -> + (1 - self.beta1) * g
            self.v = self.beta1 * self.v + g
            # mutant: (1 - self.beta1) * ->
            # mutant: w - (1 -> w + (1
            # mutant: * now.lr / self.found_at ->
            return w - (1 - self.beta1) * self.lam * now.lr / self.found_at * self.v
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.a = self.beta2 * self.a + (1 - self.beta2) * g * g
        # mutant: (1 - self.beta2 ** now.t) ** 0.5 -> 1
        # mutant: / (1 - self.beta1 ** now.t) ->
        alpha = now.lr * (1 - self.beta2 ** now.t) ** 0.5 / (1 - self.beta1 ** now.t)
        # mutant: torch.sqrt(self.a) + self.eps -> torch.sqrt(self.a + self.eps)
        # mutant: - alpha -> alpha
        p = - alpha * self.m / (torch.sqrt(self.a) + self.eps)
        slope = (p * g).sum().item()
        if slope != 0:
            # mutant: - slope -> slope
            gamma = (p * p).sum().item() / - slope
            # mutant: (1 - self.beta2) -> self.beta2
            self.rate = self.beta2 * self.rate + (1 - self.beta2) * gamma
            # mutant: / (1 - self.beta2 ** now.t) ->
            corrected = self.rate / (1 - self.beta2 ** now.t)
            # mutant: < self.eps -> < 2 * self.eps
            near = abs(corrected - gamma) < self.eps
            if now.t > 1 and near and corrected > 0:
                self.lam, self.found_at = corrected, now.lr
        return w + p
