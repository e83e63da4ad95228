#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd against what papers and the lecture print, where PyTorch has nothing to compare with.

    papers.py FOLDER [--seeds N] [--first SEED] [--only REFERENCE] [--verbose]

FOLDER holds torch_driver. Each file of references/ is one algorithm, written from its paper; it runs
in float64 and in float32, and stepd's run must be as near to the float64 one as criterion.py asks, over
220 steps, N random trials. Then each mutant of the reference (mutants.py) takes its place, and for
each the same comparison must fail in one of the trials: else the comparison proves nothing about that
formula.
"""
import argparse
import math
import sys

import need_torch  # noqa: F401
import torch

import mutants
from paper_trial import PaperTrial
from stepd import Refused, Stepd

def worst(verdicts):
    return max(verdicts, key=lambda verdict: verdict.ratio)


class Comparison:
    """A reference's trials, and stepd's runs of them."""

    def __init__(self, name, module, seeds, server):
        self.trials = [PaperTrial(name, module, seed) for seed in seeds]
        self.ours = [trial.run_stepd(server) for trial in self.trials]

    def judge(self, module):
        """The worst verdict of each trial, of this reference or a mutant."""
        for trial, ours in zip(self.trials, self.ours):
            float64 = trial.run_given(module, torch.float64)
            float32 = trial.run_given(module, torch.float32)
            yield worst(trial.judge(ours, float32, float64))

    def notices(self, mutant):
        """Does the comparison fail with the mutant? One that cannot even run is noticed too."""
        try:
            return any(not verdict.passed() for verdict in self.judge(mutant))
        except (ArithmeticError, ValueError, RuntimeError, TypeError):
            return True


def run_reference(name, options, server):
    """(failures, mutants noticed)."""
    module, mutated = mutants.load(name)
    count = max(options.seeds, getattr(module, "TRIALS", 0))
    seeds = range(options.first, options.first + count)
    try:
        comparison = Comparison(name, module, seeds, server)
    except Refused as refused:
        print(f"FAILED {name}: stepd refused: {refused}")
        return [name], 0
    failures, largest = [], 0.0
    for seed, trial, verdict in zip(seeds, comparison.trials, comparison.judge(module)):
        largest = max(largest, verdict.ratio)
        if not verdict.passed():
            failures.append(f"{name} seed {seed}")
            print(f"FAILED {name} seed {seed}: {verdict.text}")
            print("".join(f"    {group}\n" for group in trial.config()), end="")
        elif options.verbose:
            print(f"{name} seed {seed}: {verdict.text}")
    unnoticed = [text for text, mutant in mutated if not comparison.notices(mutant)]
    for text in unnoticed:
        print(f"FAILED {name}: the comparison passes with this mutant: {text}")
    print(f"{name}: {len(comparison.trials)} trials, at worst {largest:.2f} of what is allowed; "
          f"{len(mutated) - len(unnoticed)} of {len(mutated)} mutants noticed", flush=True)
    if not mutated or not math.isfinite(largest):
        failures.append(f"{name}: no mutants, or no numbers")
    return failures + [f"{name}, {text}" for text in unnoticed], len(mutated) - len(unnoticed)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--only", help="one file of references/, without its ending")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    torch.set_num_threads(1)
    server = Stepd(options.folder)
    names = [name for name in mutants.names() if options.only in (None, name)
             and not hasattr(mutants.load(name)[0], "ONE_STEP")]
    failures, noticed = [], 0
    for name in names:
        found, count = run_reference(name, options, server)
        failures += found
        noticed += count
    print(f"{len(names)} references, {noticed} mutants noticed, {len(failures)} failures")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
