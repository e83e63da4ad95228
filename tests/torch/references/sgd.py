# SPDX-License-Identifier: Apache-2.0
"""SGD. Goodfellow, Bengio and Courville, Deep Learning, algorithm 8.1: the learning rate eps_k is a
schedule's."""
OPTIMIZER = "sgd"


def draw_settings(draw):
    return {"preset": "lecture", "lr": draw.scaled(0.01, 0.2)}


class Rule:
    def __init__(self, settings, theta):
        pass

    def step(self, theta, g, now):
        # mutant: - now.lr -> + now.lr
        # mutant: now.lr -> now.base_lr
        return theta - now.lr * g
