#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are stepd's defaults PyTorch's, and does it take what PyTorch takes?

    defaults.py FOLDER

FOLDER holds torch_driver, which prints stepd's tables. PyTorch's side is read from the signatures of
its classes, and from what their constructors refuse. Each argument must have its hyperparameter, with
the same default; stepd must take no value that PyTorch refuses; and where it refuses one that PyTorch
takes, this file must know why. So must it wherever a name or a default differs.
"""
import inspect
import sys

import need_torch  # noqa: F401
import torch

import cases
from coverage import LISTS
from stepd import Stepd

optim, schedules = torch.optim, torch.optim.lr_scheduler

# Rows of a class, where they are not its name in lower case.
ROWS = {optim.SGD: ("sgd", "momentum", "nesterov"), optim.Adam: ("adam", "amsgrad"),
        optim.SparseAdam: ()}  # adam's, whose eps_mode is hat then

# Arguments that are no hyperparameter of the row, and why.
OTHERWISE = {
    "maximize": "a setting of the group, whatever its optimizer",
    "decoupled_weight_decay": "the word decay, whose default l2 is False",
    "nesterov": "a row of its own; muon has it",
    "max_iter": "a round is one iteration",
    "max_eval": "a round evaluates once",
    "line_search_fn": "the word line_search; strong_wolfe needs points that no worker computes at",
}
LEFT_OUT = {("sgd", "momentum"): "the row without it", ("sgd", "dampening"): "nothing to damp",
            ("nesterov", "dampening"): "must be 0 with it"}

# (row, hyperparameter): PyTorch's default, stepd's, and why.
DIFFERENT = {
    ("momentum", "momentum"): (0, 0.9, "0 would be sgd, and who asks for the row wants one"),
    ("nesterov", "momentum"): (0, 0.9, "PyTorch, too, demands one then"),
    ("amsgrad", "amsgrad"): (False, 1.0, "it is what the row is named after"),
    ("adafactor", "eps1"): (None, 0.0, "stands for float's epsilon"),
    ("muon", "adjust_lr_fn"): (None, "original", "stands for the same"),
}

# Hyperparameters of which stepd refuses some numbers that PyTorch takes.
NARROWER = {
    "eps": "with 0 or a denormal, an element without any gradient would be 0/0; none has use for more "
           "than 1",
    "eps1": "none has use for more than 1",
    "momentum": "from 1 on the buffer never forgets",
    "dampening": "a share",
    "alpha": "of rmsprop, a share; of asgd, a power whose result must stay in range",
    "lambd": "below 0 weights would grow without bound",
    "t0": "a count of updates",
    "step_min": "a size", "step_max": "a size",
    "ns_a": "a coefficient of 1000 makes no polynomial of use", "ns_b": "as ns_a", "ns_c": "as ns_a",
    "ns_steps": "a count",
    "tolerance_grad": "a size", "tolerance_change": "a size",
    "history_size": "a count from 1 on, which memory is set aside for",
}

PROBES = (-1.0, -1e-9, 0.0, 1e-40, 1e-12, 0.3, 0.999, 1.0, 1.0000001, 1.2, 2.5, 60.0, 1e8)
COUNTS = ("history_size", "ns_steps")

# Kinds of the schedules, and their parameters under other names.
KINDS = {
    "constant": schedules.ConstantLR, "step": schedules.StepLR, "multistep": schedules.MultiStepLR,
    "exponential": schedules.ExponentialLR, "linear": schedules.LinearLR,
    "polynomial": schedules.PolynomialLR, "cosine": schedules.CosineAnnealingLR,
    "cosine_restarts": schedules.CosineAnnealingWarmRestarts, "one_cycle": schedules.OneCycleLR,
    "cyclic": schedules.CyclicLR, "sequential": schedules.SequentialLR,
    "chained": schedules.ChainedScheduler, "plateau": schedules.ReduceLROnPlateau,
}
NO_PARAMETERS = {
    "optimizer": "stepd's schedule is the group's", "last_epoch": "the step is the server's",
    "schedulers": "the parts", "epochs": "total_steps is their product with steps_per_epoch",
    "steps_per_epoch": "as epochs", "scale_fn": "a function, which a server cannot call",
    "scale_mode": "as scale_fn",
}
DIFFERENT_SCHEDULES = {
    ("constant", "factor"): (1 / 3, 1.0, "constant without parameters is no schedule at all"),
    ("constant", "total_iters"): (5, 0.0, "as factor"),
    ("cyclic", "step_size_down"): (None, 0.0, "stands for as many as up"),
    ("sequential", "milestones"): (inspect.Parameter.empty, 0.0, "one part alone has none"),
    ("one_cycle", "total_steps"): (None, None, "must be given: see epochs"),
}


def numbers_of(kind, argument, default):
    """(hyperparameter, its default) for each number of an argument."""
    names = ("eps1", "eps2") if (kind, argument) == (optim.Adafactor, "eps") else LISTS.get(argument)
    return zip(names, default) if names else ((argument, default),)


def same(ours, torchs):
    return ours == (float(torchs) if isinstance(torchs, (bool, int)) else torchs)


def default_gaps(where, setting, torchs, different):
    if where in different:
        expected, ours, _ = different[where]
        if not same(setting.default, ours) or expected != torchs:
            yield f"{where}: {setting.default} and {torchs} are not the difference that is known"
    elif not same(setting.default, None if torchs is inspect.Parameter.empty else torchs):
        yield f"{where}: the default is {setting.default}, PyTorch's {torchs}"


def torch_takes(kind, row, argument, value):
    """Does the constructor?"""
    beside = {"momentum": 0.9} if row in ("momentum", "nesterov") else {}
    if row == "nesterov":
        beside["nesterov"] = True
    try:
        kind([torch.zeros(2, 2, requires_grad=True)], **{**beside, argument: value})
    except ValueError:
        return False
    return True


def range_gaps(kind, row, argument, place, setting):
    """place: of the hyperparameter in the argument's list, None where it is no list."""
    default = inspect.signature(kind).parameters[argument].default
    name = setting[0]
    for probe in PROBES:
        value = int(probe) if name in COUNTS else probe
        given = value if place is None else (*default[:place], value, *default[place + 1:])
        torchs, ours = torch_takes(kind, row, argument, given), setting[1].takes(value)
        if ours and not torchs:
            yield f"{row}.{name}: takes {value}, which PyTorch refuses"
        if torchs and not ours and name not in NARROWER:
            yield f"{row}.{name}: refuses {value}, which PyTorch takes"


def optimizer_gaps(table):
    for kind in (*cases.DRAWS, optim.LBFGS):
        arguments = inspect.signature(kind).parameters
        for row in ROWS.get(kind, (kind.__name__.lower(),)):
            for argument in sorted(set(arguments) - cases.NO_RULES):
                numbers = list(numbers_of(kind, argument, arguments[argument].default))
                for place, (name, default) in enumerate(numbers):
                    setting = table[row].get(name)
                    if setting is None:
                        if name not in OTHERWISE and (row, name) not in LEFT_OUT:
                            yield f"{row}: has no {name}"
                        continue
                    yield from default_gaps((row, name), setting, default, DIFFERENT)
                    if not setting.words and not isinstance(default, bool):
                        yield from range_gaps(kind, row, argument,
                                              place if len(numbers) > 1 else None, (name, setting))


def schedule_gaps(table):
    for row, kind in KINDS.items():
        for name, argument in inspect.signature(kind).parameters.items():
            setting = table[row].get(name.lower())
            if setting is not None:
                yield from default_gaps((row, name.lower()), setting, argument.default,
                                        DIFFERENT_SCHEDULES)
            elif name not in NO_PARAMETERS:
                yield f"{row}: has no {name}"


def main(argv):
    optimizers, kinds = Stepd(argv[0]).tables()
    gaps = [*optimizer_gaps(optimizers), *schedule_gaps(kinds)]
    for gap in gaps:
        print(f"FAILED {gap}")
    print(f"checked {len(cases.DRAWS) + 1} optimizers and {len(KINDS)} schedules of torch "
          f"{torch.__version__}: {len(gaps)} differences that nobody knows")
    return 1 if gaps or not optimizers or not kinds else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
