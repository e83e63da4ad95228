# SPDX-License-Identifier: Apache-2.0
"""Every combination of what Adam, AdamW and AMSGrad can be told: where eps stands, whether the bias is
corrected, of what AMSGrad takes the maximum, which decay. The forms one by one, with their sources, are
in the other files of this folder; here they must go together."""
import torch

OPTIMIZER = "adam"
TRIALS = 18
CORRECTED_HAT = ("hat", True, "corrected")  # refused: it would leave no uncorrected v


def draw_settings(draw):
    row = draw.choice(("adam", "adamw", "amsgrad"))
    decays = ("decoupled_lr", "decoupled_schedule") if row == "adamw" else ("l2", "decoupled_lr")
    place, amsgrad, maximum = CORRECTED_HAT
    while (place, amsgrad, maximum) == CORRECTED_HAT:
        place = draw.choice(("outside", "inside", "hat"))
        amsgrad = row == "amsgrad" or draw.random() < 0.5
        maximum = draw.choice(("raw", "corrected"))
    decay = draw.choice(decays)
    return {"optimizer": row, "lr": draw.scaled(0.002, 0.02), "eps": draw.scaled(1e-5, 1e-2),
            "betas": [draw.between(0.5, 0.98), draw.between(0.8, 0.999)], "eps_mode": place,
            "bias_correction": draw.random() < 0.5, "amsgrad": amsgrad, "amsgrad_max": maximum,
            "decay": decay,
            "weight_decay": draw.scaled(1e-4, 1e-3 if decay == "decoupled_schedule" else 0.1)}


class Rule:
    def __init__(self, settings, theta):
        self.told = settings
        self.beta1, self.beta2 = settings["betas"]
        self.m = torch.zeros_like(theta)
        self.v = torch.zeros_like(theta)
        self.v_max = torch.zeros_like(theta)

    def corrections(self, t):
        # mutant: not self.told -> self.told
        if not self.told["bias_correction"]:
            return 1, 1
        return 1 - self.beta1 ** t, 1 - self.beta2 ** t

    def decayed(self, theta, now):
        """What is left of the weights beside the step."""
        if self.told["decay"] == "l2":
            return theta
        # mutant: == "decoupled_lr" -> != "decoupled_lr"
        rate = now.lr if self.told["decay"] == "decoupled_lr" else now.lr / now.base_lr
        # mutant: 1 - rate -> 1 + rate
        return theta * (1 - rate * self.told["weight_decay"])

    def second(self, c2):
        """The corrected second moment."""
        # mutant: not self.told -> self.told
        if not self.told["amsgrad"]:
            return self.v / c2
        # mutant: == "corrected" -> == "raw"
        corrects = self.told["amsgrad_max"] == "corrected"
        # mutant: self.v / c2 if -> self.v * c2 if
        self.v_max = torch.maximum(self.v_max, self.v / c2 if corrects else self.v)
        # mutant: self.v_max / c2 -> self.v_max
        return self.v_max if corrects else self.v_max / c2

    def step(self, theta, g, now):
        # mutant: == "l2" -> != "l2"
        if self.told["decay"] == "l2":
            g = g + self.told["weight_decay"] * theta
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        c1, c2 = self.corrections(now.t)
        v_hat = self.second(c2)
        eps, place = self.told["eps"], self.told["eps_mode"]
        if place == "inside":
            # mutant: v_hat + eps -> v_hat + eps * eps
            # mutant: torch.sqrt(v_hat + eps) -> torch.sqrt(v_hat) + eps
            below = torch.sqrt(v_hat + eps)
        else:
            # eps-hat = eps sqrt(1 - beta2^t), seen from the corrected moment.
            # mutant: / c2 ** 0.5 -> * c2 ** 0.5
            below = torch.sqrt(v_hat) + (eps / c2 ** 0.5 if place == "hat" else eps)
        # mutant: / c1 ->
        # mutant: - now.lr -> + now.lr
        return self.decayed(theta, now) - now.lr * (self.m / c1) / below
