# SPDX-License-Identifier: Apache-2.0
"""The classes of torch.optim, and the optimizers of stepd that make the same steps.

One table for whoever translates: `stepd.torch.from_torch` an optimizer that stands before its first
step, and torch_checkpoint.py one that torch.save has written. It imports nothing, so that it can be
read without the package's library.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A class of torch.optim, or one of its forms."""

    torch: str
    """The name of the class."""
    when: Callable[[Mapping[str, Any]], bool]
    """Whether a param group is of this form."""
    stepd: str
    """The optimizer of stepd."""
    settings: tuple[str, ...]
    """The class's hyperparameters; both have them under one name."""
    unsaid: Mapping[str, Any]
    """Those that are so in this form, and no setting of stepd's."""
    slots: Mapping[str, str | None] | None
    """{name: the setting that switches it on, or None} of the state, which both call the same. None:
    state of another kind, so that no checkpoint can be converted."""


ADAM = ("lr", "betas", "eps", "weight_decay", "amsgrad")
PLAIN_ADAM = ("lr", "betas", "eps", "weight_decay")
SGD = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
MOMENTS = {"exp_avg": None, "exp_avg_sq": None}
ADAM_SLOTS = {**MOMENTS, "max_exp_avg_sq": "amsgrad"}


def always(_: Mapping[str, Any]) -> bool:
    return True


def decoupled(group: Mapping[str, Any]) -> bool:
    return bool(group.get("decoupled_weight_decay"))


KINDS = (
    Kind("Adam", lambda g: not decoupled(g), "adam", ADAM, {}, ADAM_SLOTS),
    Kind("Adam", decoupled, "adamw", ADAM, {}, ADAM_SLOTS),
    Kind("AdamW", always, "adamw", ADAM, {}, ADAM_SLOTS),
    Kind("SGD", lambda g: not g["momentum"], "sgd", SGD,
         {"momentum": 0.0, "dampening": 0.0, "nesterov": False}, {}),
    Kind("SGD", lambda g: bool(g["momentum"]) and not g["nesterov"], "momentum", SGD,
         {"nesterov": False}, {"momentum_buffer": None}),
    Kind("SGD", lambda g: bool(g["nesterov"]), "nesterov", SGD,
         {"dampening": 0.0, "nesterov": True}, {"momentum_buffer": None}),
    Kind("RMSprop", always, "rmsprop",
         ("lr", "alpha", "eps", "weight_decay", "momentum", "centered"), {},
         {"square_avg": None, "grad_avg": "centered", "momentum_buffer": "momentum"}),
    Kind("Adagrad", always, "adagrad",
         ("lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value"), {}, {"sum": None}),
    Kind("Adadelta", always, "adadelta", ("lr", "rho", "eps", "weight_decay"), {},
         {"square_avg": None, "acc_delta": None}),
    Kind("Rprop", always, "rprop", ("lr", "etas", "step_sizes"), {},
         {"prev": None, "step_size": None}),
    Kind("Adamax", lambda g: "decoupled_weight_decay" not in g, "adamax", PLAIN_ADAM, {},
         {"exp_avg": None, "exp_inf": None}),
    Kind("RAdam", always, "radam", PLAIN_ADAM, {}, MOMENTS),
    Kind("NAdam", always, "nadam", (*PLAIN_ADAM, "momentum_decay"), {}, None),
    Kind("ASGD", always, "asgd", ("lr", "lambd", "alpha", "t0", "weight_decay"), {}, None),
    Kind("Adafactor", always, "adafactor", ("lr", "beta2_decay", "eps", "d", "weight_decay"), {},
         None),
    Kind("Muon", always, "muon", ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients",
                                  "eps", "ns_steps", "adjust_lr_fn"), {}, None),
    Kind("LBFGS", always, "lbfgs", ("lr", "history_size", "tolerance_grad", "tolerance_change",
                                    "max_iter", "max_eval", "line_search_fn"),
         {"max_iter": 1, "max_eval": 1, "line_search_fn": None}, None),
)

# What param groups have of every class, or schedulers put there, and what chooses how PyTorch computes.
COMMON = {"params", "param_names", "maximize", "decoupled_weight_decay", "foreach", "fused",
          "capturable", "differentiable", "initial_lr", "max_lr", "min_lr", "max_momentum",
          "base_momentum", "swa_lr"}

# Optimizers of stepd whose decoupled weight decay is a word of theirs, and none of their name's.
WORD_DECAY = ("radam", "nadam")


def value_of(group: Mapping[str, Any], key: str) -> Any:
    """A hyperparameter as a number, a list of numbers, a word or a switch."""
    value = group[key]
    if isinstance(value, (list, tuple)):
        return [0.0 if each is None else float(each) for each in value]
    return value if isinstance(value, (bool, str)) else float(value)


def settings_of(kind: Kind, group: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a param group in stepd's words, without the learning rate."""
    settings = {key: value_of(group, key) for key in kind.settings
                if key != "lr" and key not in kind.unsaid and group[key] is not None}
    if kind.stepd in WORD_DECAY and decoupled(group):
        settings["decay"] = "decoupled_lr"
    if group.get("maximize"):
        settings["maximize"] = True
    return settings
