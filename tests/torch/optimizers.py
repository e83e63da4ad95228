#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd against PyTorch, live: every optimizer that torch.optim has.

    optimizers.py FOLDER [--seeds N] [--first SEED] [--only CLASS] [--verbose]

FOLDER holds torch_driver. For each class of torch.optim, N trials of 220 steps (trial.py) on random
problems, hyperparameters, groups and schedules, drawn from the seed that a finding names. When two
runs are the same, criterion.py says. A class of torch.optim that stepd has no row for fails, and so
does a hyperparameter of such a row that no trial has set.
"""
import argparse
import inspect
import sys

import need_torch  # noqa: F401
import torch

import cases
import criterion
import problems
from stepd import Refused, Stepd
from trial import STEPS, Trial

def missing_classes():
    """Classes of torch.optim that nobody here knows."""
    known = set(cases.DRAWS) | set(cases.EXCEPTIONS)
    listed = (getattr(torch.optim, name) for name in dir(torch.optim))
    return [kind.__name__ for kind in listed
            if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
            and kind not in known]


class Report:
    """What was compared, and what failed."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.trials = 0
        self.tensors = 0
        self.failures = []

    def fail(self, where, groups, text):
        self.failures.append(where)
        print(f"FAILED {where}: {text}")
        for group in groups:
            print(f"    {group.config('group')}")

    def judge(self, where, groups, verdicts):
        self.trials += 1
        self.tensors += len(verdicts)
        worst = max(verdicts, key=lambda verdict: verdict.ratio)
        if not worst.passed():
            self.fail(where, groups, worst.text)
        elif self.verbose:
            print(f"{where}: {worst.text}")
        return worst.ratio


def run_class(kind, seeds, server, report):
    worst = 0.0
    for seed in seeds:
        groups = cases.draw_groups(kind, seed)
        where = f"{kind.__name__} seed {seed}"
        try:
            factor = cases.FACTORS.get(kind, criterion.FACTOR)
            verdicts = Trial(problems.make(seed, STEPS), groups).run(server, factor)
        except Refused as refused:
            report.fail(where, groups, f"stepd refused: {refused}")
            continue
        worst = max(worst, report.judge(where, groups, verdicts))
    print(f"{kind.__name__}: {len(seeds)} trials of {STEPS} steps, "
          f"at worst {worst:.2f} of what is allowed", flush=True)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--only", help="one class of torch.optim")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    torch.set_num_threads(1)
    server = Stepd(options.folder)
    report = Report(options.verbose)
    for name in missing_classes():
        report.failures.append(name)
        print(f"FAILED torch.optim.{name}: stepd has no row for it, or cases.py does not know it")
    for kind, why in cases.EXCEPTIONS.items():
        print(f"{kind.__name__}: left out: {why}")
    kinds = [kind for kind in cases.DRAWS if options.only in (None, kind.__name__)]
    for kind in kinds:
        run_class(kind, range(options.first, options.first + options.seeds), server, report)
    print(f"torch {torch.__version__}: {report.trials} trials, {report.tensors} tensors of "
          f"{STEPS} steps compared, {len(report.failures)} failures")
    return 1 if report.failures or report.trials == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
