#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does anything prove each part of stepd's table of optimizers?

    coverage.py FOLDER

FOLDER holds torch_driver, which prints the table. Each row, each of its hyperparameters, and each word
that one can be, must be drawn by the trials of optimizers.py, papers.py or lbfgs.py; so must each
argument of PyTorch's classes. Of each reference a sign, the place of its eps and a bias correction
must be among its mutants. What is not is named, and fails.
"""
import inspect
import sys

import need_torch  # noqa: F401

import cases
import lbfgs
import mutants
from stepd import Stepd
from trial import Draw

SEEDS = range(1, 61)

# PyTorch's lists, and the hyperparameters that they stand for.
LISTS = {"betas": ("beta1", "beta2"), "etas": ("etaminus", "etaplus"),
         "step_sizes": ("step_min", "step_max"), "ns_coefficients": ("ns_a", "ns_b", "ns_c")}

# Words that `preset: lecture` pins, which the files of references/ that set it prove.
LECTURE = {("momentum", "form"): "classic", ("nesterov", "form"): "interim",
           ("rmsprop", "eps_mode"): "inside", ("adam", "eps_mode"): "inside",
           ("adamw", "decay"): "decoupled_schedule"}


def trials():
    """(optimizer, settings) of all trials."""
    for kind in cases.DRAWS:
        for seed in SEEDS:
            for group in cases.draw_groups(kind, seed):
                yield group.optimizer, group.settings
    for name in mutants.names():
        module, _ = mutants.load(name)
        for seed in SEEDS if hasattr(module, "OPTIMIZER") else ():
            draw = Draw(f"{name} {seed}")
            settings = module.draw_settings(draw)
            yield settings.get("optimizer", module.OPTIMIZER), settings
            for phase in module.draw_phases(draw) if hasattr(module, "draw_phases") else ():
                yield phase["optimizer"], phase
    for search in ("none", "backtracking"):
        for seed in SEEDS:
            yield "lbfgs", {**lbfgs.draw_settings(seed, search), "lr": 1.0}


def names_of(optimizer, setting, value):
    """The hyperparameters that a setting stands for."""
    if optimizer == "adafactor" and isinstance(value, list):
        return "eps1", "eps2"
    return LISTS.get(setting, (setting,))


def seen():
    """{optimizer: {hyperparameter: the words that it was}}."""
    found = {}
    for optimizer, settings in trials():
        row = found.setdefault(optimizer, {})
        for setting, value in settings.items():
            for name in names_of(optimizer, setting, value):
                row.setdefault(name, set()).add(value if isinstance(value, str) else None)
        if settings.get("preset") == "lecture":
            for (of, name), word in LECTURE.items():
                if of == optimizer:
                    row.setdefault(name, set()).add(word)
    return found


def missing(table, found):
    for optimizer, row in table.items():
        if optimizer not in found:
            yield f"{optimizer}: no trial at all"
            continue
        for name, hyper in row.items():
            drawn = found[optimizer].get(name, set())
            if not hyper.words and not drawn:
                yield f"{optimizer}.{name}: never set"
            # The default is what whoever does not set it has.
            for word in hyper.words:
                if word not in drawn | {hyper.default}:
                    yield f"{optimizer}.{name}: never {word}"


def undrawn():
    """Arguments of PyTorch's classes that no trial gives."""
    for kind in cases.DRAWS:
        known = set(inspect.signature(kind).parameters) - cases.NO_RULES
        given = {name for seed in SEEDS for group in cases.draw_groups(kind, seed)
                 for name in group.arguments if group.kind is kind}
        yield from (f"torch.optim.{kind.__name__}({name}): never given"
                    for name in sorted(known - given))


def unmutated():
    for name in mutants.names():
        yield from (f"references/{name}.py: no mutant of a {kind}" for kind in mutants.lacking(name))


def main(argv):
    table, _ = Stepd(argv[0]).tables()
    gaps = [*missing(table, seen()), *undrawn(), *unmutated()]
    for gap in gaps:
        print(f"FAILED {gap}")
    print(f"checked {len(table)} optimizers, {sum(map(len, table.values()))} "
          f"hyperparameters: {len(gaps)} are proved by nothing")
    return 1 if gaps or not table else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
