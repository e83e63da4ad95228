# SPDX-License-Identifier: Apache-2.0
"""Newton's method. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.8 with the
regularization of equation 8.32. A rule of a whole group: theta, g and the Hessian are those of all its
tensors, one after another; the Hessian comes with the gradient."""
import torch

OPTIMIZER = "newton"
WHOLE_GROUP = True
NEEDS_HESSIAN = True


def draw_settings(draw):
    return {"lr": draw.between(0.1, 1.0), "damping": draw.between(0.05, 2.0)}


class Rule:
    def __init__(self, settings, theta):
        self.alpha = settings["damping"]
        self.identity = torch.eye(theta.numel(), dtype=theta.dtype)

    def step(self, theta, g, now):
        # mutant: + self.alpha -> - self.alpha
        # mutant: self.alpha * ->
        regular = now.hessian + self.alpha * self.identity
        # mutant: torch.linalg.solve(regular, g) -> g / regular.diagonal()
        delta_theta = - torch.linalg.solve(regular, g)
        # mutant: + now.lr -> - now.lr
        # mutant: now.lr * ->
        return theta + now.lr * delta_theta
