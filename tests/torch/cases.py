# SPDX-License-Identifier: Apache-2.0
"""Random hyperparameters for each optimizer of PyTorch, by stepd's names and by PyTorch's.

    DRAWS[class of torch.optim](draw)  ->  (stepd's optimizer, its settings, PyTorch's arguments)

Every hyperparameter of the row is drawn, and every argument of the class but those of NO_RULES; where
it is a switch, both sides come up. What stepd has beyond PyTorch (forms, eps_mode, ...) is drawn in
papers.py.
"""
import torch

from trial import Draw, Group, draw_schedule

optim = torch.optim

# Classes that are not compared here, and why.
EXCEPTIONS = {
    optim.Optimizer: "the base class",
    optim.LBFGS: "compared one step at a time, in lbfgs.py",
}

# Of criterion.py, where it is another. SparseAdam's mean of squares is v + (1 - beta2) (g^2 - v), and
# not Adam's beta2 v + (1 - beta2) g^2: the same number, but Adam's two coefficients, rounded, do not
# add up to 1. So its float32 run is nearer to the float64 one than Adam's where beta2 is near 1; of 300
# trials the worst was just above a factor of 4.
FACTORS = {optim.SparseAdam: 8.0}

# Arguments that choose how PyTorch computes, and not what.
NO_RULES = {"params", "foreach", "fused", "capturable", "differentiable"}


def same(arguments, *left_out):
    """PyTorch's arguments as stepd's settings: most have the same name and form."""
    return {name: list(value) if isinstance(value, tuple) else value
            for name, value in arguments.items() if name not in left_out}


def betas(draw):
    """beta1 below 1/2 as well, where torch.lerp computes from its other end."""
    return draw.between(0.2, 0.98), draw.between(0.8, 0.9995)


def sgd(draw):
    arguments = {"lr": draw.scaled(0.005, 0.1), "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "maximize": draw.random() < 0.25}
    form = draw.choice(("sgd", "momentum", "dampened", "nesterov"))
    if form == "sgd":
        return "sgd", same(arguments), arguments
    arguments["momentum"] = draw.between(0.3, 0.95)
    if form == "nesterov":
        arguments["nesterov"] = True
        return "nesterov", same(arguments, "nesterov"), arguments
    if form == "dampened":
        arguments["dampening"] = draw.between(0.05, 0.9)
    return "momentum", same(arguments), arguments


def adagrad(draw):
    arguments = {"lr": draw.scaled(0.02, 0.5), "lr_decay": draw.perhaps(draw.scaled(1e-3, 0.05)),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "initial_accumulator_value": draw.perhaps(draw.between(0.01, 0.5)),
                 "eps": draw.scaled(1e-10, 1e-3), "maximize": draw.random() < 0.25}
    return "adagrad", same(arguments), arguments


def adadelta(draw):
    arguments = {"lr": draw.between(0.2, 1.0), "rho": draw.between(0.8, 0.99),
                 "eps": draw.scaled(1e-7, 1e-3),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "maximize": draw.random() < 0.25}
    return "adadelta", same(arguments), arguments


def rmsprop(draw):
    arguments = {"lr": draw.scaled(0.001, 0.02), "alpha": draw.between(0.8, 0.995),
                 "eps": draw.scaled(1e-8, 1e-3), "momentum": draw.perhaps(draw.between(0.3, 0.9)),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "centered": draw.random() < 0.5, "maximize": draw.random() < 0.25}
    return "rmsprop", same(arguments), arguments


def rprop(draw):
    arguments = {"lr": draw.scaled(0.001, 0.05),
                 "etas": (draw.between(0.3, 0.8), draw.between(1.05, 1.4)),
                 "step_sizes": (draw.scaled(1e-6, 1e-3), draw.between(0.1, 2.0)),
                 "maximize": draw.random() < 0.25}
    return "rprop", same(arguments), arguments


def asgd(draw):
    arguments = {"lr": draw.scaled(0.005, 0.1), "lambd": draw.scaled(1e-4, 1e-2),
                 "alpha": draw.between(0.5, 1.0), "t0": float(draw.randint(20, 150)),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "maximize": draw.random() < 0.25}
    return "asgd", same(arguments), arguments


def adams(draw):
    """What Adam and AdamW have in common."""
    arguments = {"lr": draw.scaled(0.001, 0.05), "betas": betas(draw), "eps": draw.scaled(1e-8, 1e-3),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "amsgrad": draw.random() < 0.5, "maximize": draw.random() < 0.25}
    return same(arguments), arguments


def adam(draw):
    settings, arguments = adams(draw)
    decoupled(draw, settings, arguments)
    alias = arguments["amsgrad"] and draw.random() < 0.5
    return "amsgrad" if alias else "adam", settings, arguments


def adamw(draw):
    return "adamw", *adams(draw)


def sparse_adam(draw):
    """Its gradients are sparse tensors, of which every element is there: stepd has dense ones only."""
    arguments = {"lr": draw.scaled(0.001, 0.05), "betas": betas(draw), "eps": draw.scaled(1e-8, 1e-3),
                 "maximize": draw.random() < 0.25}
    return "adam", {**same(arguments), "eps_mode": "hat"}, arguments


def adamax(draw):
    arguments = {"lr": draw.scaled(0.001, 0.05), "betas": betas(draw), "eps": draw.scaled(1e-8, 1e-3),
                 "weight_decay": draw.perhaps(draw.scaled(1e-4, 0.1)),
                 "maximize": draw.random() < 0.25}
    return "adamax", same(arguments), arguments


def decoupled(draw, settings, arguments):
    """PyTorch's switch is stepd's word."""
    arguments["decoupled_weight_decay"] = draw.random() < 0.5
    switch = arguments["decoupled_weight_decay"]
    settings["decay"] = "decoupled_lr" if switch else "l2"


def nadam(draw):
    _, settings, arguments = adamax(draw)
    arguments["momentum_decay"] = settings["momentum_decay"] = draw.scaled(1e-3, 0.1)
    decoupled(draw, settings, arguments)
    return "nadam", settings, arguments


def radam(draw):
    _, settings, arguments = adamax(draw)
    decoupled(draw, settings, arguments)
    return "radam", settings, arguments


def adafactor(draw):
    eps2, default = draw.scaled(1e-3, 0.05), draw.random() < 0.5
    eps1 = draw.scaled(1e-8, 1e-3)
    # Some rates are above 1 / sqrt(t) for most of a run.
    arguments = {"lr": draw.scaled(0.01, 1.0), "beta2_decay": -draw.between(0.5, 0.95),
                 "eps": (None if default else eps1, eps2), "d": draw.between(1.0, 2.0),
                 "weight_decay": draw.perhaps(draw.scaled(1e-3, 0.1)),
                 "maximize": draw.random() < 0.25}
    settings = same(arguments, "eps")
    settings["eps"] = [0.0 if default else eps1, eps2]
    return "adafactor", settings, arguments


def muon(draw):
    arguments = {"lr": draw.scaled(0.001, 0.02), "momentum": draw.between(0.5, 0.98),
                 "nesterov": draw.random() < 0.5, "weight_decay": draw.between(0.0, 0.3),
                 "ns_coefficients": (draw.between(3.40, 3.45), -draw.between(4.75, 4.80),
                                     draw.between(2.00, 2.04)),
                 "eps": draw.scaled(1e-8, 1e-5), "ns_steps": draw.randint(3, 6),
                 "adjust_lr_fn": draw.choice(("original", "match_rms_adamw"))}
    return "muon", same(arguments), arguments


DRAWS = {
    optim.SGD: sgd,
    optim.Adagrad: adagrad,
    optim.Adadelta: adadelta,
    optim.RMSprop: rmsprop,
    optim.Rprop: rprop,
    optim.ASGD: asgd,
    optim.Adam: adam,
    optim.AdamW: adamw,
    optim.SparseAdam: sparse_adam,
    optim.Adamax: adamax,
    optim.NAdam: nadam,
    optim.RAdam: radam,
    optim.Adafactor: adafactor,
    optim.Muon: muon,
}


def draw_group(draw, kind, match, ndim=None):
    optimizer, settings, arguments = DRAWS[kind](draw)
    group = Group(match, optimizer, settings, kind, arguments, ndim)
    draw_schedule(draw, group)
    return group


def draw_groups(kind, seed):
    """Weights and the rest, each with hyperparameters and a schedule of its own."""
    draw = Draw(f"{kind.__name__} {seed}")
    if kind is optim.Muon:  # for matrices only; the others need another optimizer
        return [draw_group(draw, kind, "*", ndim=2), draw_group(draw, optim.AdamW, "*")]
    return [draw_group(draw, kind, "*.weight"), draw_group(draw, kind, "*")]
