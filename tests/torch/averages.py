#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The averages that stepd keeps beside its weights against torch.optim.swa_utils.AveragedModel.

    averages.py FOLDER [--seeds N] [--first SEED] [--verbose]

FOLDER holds torch_driver. A job trains for 220 steps with ema_decay, swa_start and swa_every drawn at
random. AveragedModel is shown the weights that stepd had after each of its updates, in float64 and in
float32: with get_ema_multi_avg_fn after every update, and with its own running mean after update
swa_start and then after each swa_every-th (0: after each swa_every-th). criterion.py judges stepd's
views. Then AveragedModel is shown something else (MISTAKES), and for each the comparison must fail.
"""
import argparse
import copy
import sys

import need_torch  # noqa: F401
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import criterion
import stepd
from trial import STEPS, Draw

SHAPES = {"first.weight": (9, 5), "first.bias": (9,), "gain": (), "last.weight": (20, 19)}

# By view, what the comparison must notice.
MISTAKES = {
    "ema": ("from the first weights", "the other share", "one update late"),
    "swa": ("from the first weights", "one update late", "one update more between"),
}


class Trial:
    def __init__(self, seed):
        draw, random = Draw(seed), torch.Generator().manual_seed(seed)
        self.names = list(SHAPES)
        self.start = [torch.randn(shape, generator=random) for shape in SHAPES.values()]
        self.decay = draw.choice((draw.between(0.1, 0.5), draw.between(0.5, 0.99),
                                  1 - draw.scaled(1e-5, 1e-2)))
        self.swa_start, self.swa_every = draw.randint(0, 30), draw.randint(1, 7)
        self.group = {"name": "all", "match": "*", "lr": draw.scaled(0.005, 0.05),
                      "optimizer": draw.choice(("sgd", "momentum", "adam", "lamb")),
                      "ema_decay": self.decay, "swa_start": self.swa_start,
                      "swa_every": self.swa_every}
        self.steps = [stepd.Step([torch.randn(shape, generator=random)
                                  for shape in SHAPES.values()]) for _ in range(STEPS)]

    def run_stepd(self, server):
        return server.train([self.group], self.names, self.start, self.steps,
                            views=("evaluation", "ema", "swa"))

    def averaged(self, view, weights, dtype, mistake=None):
        """What AveragedModel has after each update, of the weights that stepd had."""
        rule = get_ema_multi_avg_fn(1 - self.decay if mistake == "the other share" else self.decay)
        model = Model(self.start, dtype)
        average = AveragedModel(model, multi_avg_fn=rule if view == "ema" else None)
        if mistake == "from the first weights":
            average.update_parameters(model)
        shown = []
        for update, tensors in enumerate(weights, 1):
            model.load(tensors)
            late = update - 1 if mistake == "one update late" else update
            if late > 0 and (view == "ema" or self.takes(late, mistake)):
                average.update_parameters(model)
            seen = average.module if average.n_averaged > 0 else model
            shown.append(copy.deepcopy(seen).tensors())
        return shown

    def takes(self, update, mistake):
        every = self.swa_every + (mistake == "one update more between")
        return update >= self.swa_start and (update - self.swa_start) % every == 0 and update > 0

    def judge(self, view, ours, mistake=None):
        named = list(zip(self.names, self.start))
        runs = [self.averaged(view, ours["evaluation"], dtype, mistake)
                for dtype in (torch.float32, torch.float64)]
        return max(criterion.judge(named, ours[view], *runs), key=lambda verdict: verdict.ratio)


class Model(torch.nn.Module):
    """Tensors of a list as parameters."""

    def __init__(self, tensors, dtype):
        super().__init__()
        self.all = torch.nn.ParameterList([t.to(dtype, copy=True) for t in tensors])

    def load(self, tensors):
        with torch.no_grad():
            for param, tensor in zip(self.all, tensors):
                param.copy_(tensor)

    def tensors(self):
        return [param.detach() for param in self.all]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(argv)
    server = stepd.Stepd(options.folder)
    failures, noticed = [], {view: set() for view in MISTAKES}
    for seed in range(options.first, options.first + options.seeds):
        trial = Trial(seed)
        ours = trial.run_stepd(server)
        for view, mistakes in MISTAKES.items():
            verdict = trial.judge(view, ours)
            if not verdict.passed():
                failures.append(f"{view}, seed {seed}")
                print(f"FAILED {view} seed {seed}: {verdict.text}\n    {trial.group}")
            elif options.verbose:
                print(f"{view} seed {seed}: {verdict.text}")
            noticed[view].update(mistake for mistake in mistakes
                                 if not trial.judge(view, ours, mistake).passed())
    for view, mistakes in MISTAKES.items():
        missed = set(mistakes) - noticed[view]
        failures += [f"{view}, {mistake}" for mistake in missed]
        for mistake in missed:
            print(f"FAILED {view}: the comparison passes with this mistake: {mistake}")
    print(f"{options.seeds} trials of {len(MISTAKES)} views, "
          f"{sum(map(len, noticed.values()))} mistakes noticed, {len(failures)} failures")
    return 1 if failures or options.seeds < 1 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
