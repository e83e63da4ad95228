# SPDX-License-Identifier: Apache-2.0
"""What is done to a gradient before any optimizer, and to weights after it, around SGD:

    divide by the loss scale  ->  turn the sign (maximize)  ->  clip each value  ->  weight decay

and the averages that the server keeps beside the weights: the exponential moving average, whose first
value is the first new weights, and the running mean of the weights after update swa_start and then
after each swa_every-th (Izmailov et al. 2018, Averaging weights leads to wider optima, algorithm 1)."""
OPTIMIZER = "sgd"
VIEWS = ("evaluation", "ema", "swa")
LOSS_SCALES = (None, 1024.0, 1000.0)


def draw_settings(draw):
    return {"lr": draw.scaled(0.005, 0.05), "weight_decay": draw.scaled(1e-2, 0.2),
            "maximize": draw.random() < 0.5, "clip_value": draw.between(0.05, 0.3),
            "ema_decay": draw.between(0.9, 0.999), "swa_start": draw.randint(0, 40),
            "swa_every": draw.randint(1, 7)}


class Rule:
    def __init__(self, settings, theta):
        self.weight_decay = settings["weight_decay"]
        self.sign = -1 if settings["maximize"] else 1
        self.clip = settings["clip_value"]
        self.decay = settings["ema_decay"]
        self.start, self.every = settings["swa_start"], settings["swa_every"]
        self.average, self.mean, self.models = None, theta, 0

    def ema(self, _theta, _now):
        return self.average

    def swa(self, theta, _now):
        return self.mean if self.models else theta

    def step(self, theta, g, now):
        # mutant: / now.loss_scale ->
        g = g / now.loss_scale
        # mutant: self.sign * ->
        g = self.sign * g
        # mutant: g.clamp(-self.clip, self.clip) -> g
        g = g.clamp(-self.clip, self.clip)
        # mutant: theta - now.lr -> theta + now.lr
        # mutant: + self.weight -> - self.weight
        theta = theta - now.lr * (g + self.weight_decay * theta)
        first = self.average is None
        # mutant: (1 - self.decay) * theta -> theta
        # mutant: theta if first -> 0 * theta if first
        self.average = theta if first else self.decay * self.average + (1 - self.decay) * theta
        # mutant: now.t >= self.start and -> True and
        # mutant: - self.start) -> )
        # mutant: >= self.start -> > self.start
        if now.t >= self.start and (now.t - self.start) % self.every == 0:
            # mutant: self.models * self.mean -> self.mean
            # mutant: (self.models + 1) -> self.models + 2
            self.mean = (self.models * self.mean + theta) / (self.models + 1)
            self.models += 1
        return theta
