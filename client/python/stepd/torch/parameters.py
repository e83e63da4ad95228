# SPDX-License-Identifier: Apache-2.0
"""What an optimizer is given, as param groups with names: a model, named parameters, or dicts of them.

A tensor of a job is known by its name, so that a checkpoint, a status and an error can say which it
is. PyTorch's optimizers know parameters by their place; where they were given no names, the model has
them.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from .translate import ParamGroup, Settings

COMPILED = "_orig_mod."
WRAPPERS = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
REMEDY = "give the model itself, or model.named_parameters()"


class Named(NamedTuple):
    """One param group: what is said of it, and its parameters by name."""

    parameters: dict[str, torch.Tensor]
    said: dict[str, Any]
    """Settings that go over those of all: {"lr": 0.01, "weight_decay": 0}."""


def plain_name(name: str, model: torch.nn.Module | None = None) -> str:
    """A parameter's name without what torch.compile() and parallel wrappers put before it, so that a job is
    the same with and without them."""
    name = name.replace(COMPILED, "")
    model = getattr(model, "_orig_mod", model)
    return name.removeprefix("module.") if isinstance(model, WRAPPERS) else name


def pairs_of(params: Iterable[Any], model: torch.nn.Module | None = None) -> dict[str, torch.Tensor]:
    """{name: parameter} of an iterable of pairs. TypeError: they are no pairs."""
    named: dict[str, torch.Tensor] = {}
    for each in params:
        if isinstance(each, torch.Tensor):
            raise TypeError(f"stepd knows tensors by their names, and these parameters have none: {REMEDY}")
        if not (isinstance(each, (tuple, list)) and len(each) == 2 and isinstance(each[0], str)
                and isinstance(each[1], torch.Tensor)):
            raise TypeError(f"a parameter is a pair of a name and a tensor, and not {each!r}: {REMEDY}")
        name = plain_name(each[0], model)
        if name in named:
            raise ValueError(f"two parameters are called '{name}'")
        named[name] = each[1]
    return named


def read(params: Any, model: torch.nn.Module | None) -> tuple[torch.nn.Module | None, list[Named]]:
    """The model, where it was handed in, and the param groups as they are said."""
    if model is not None and not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is a torch.nn.Module, and not {type(model).__name__}")
    if isinstance(params, torch.nn.Module):
        if model is not None and model is not params:
            raise ValueError("two models are given: the first argument and model=")
        return params, [Named(pairs_of(params.named_parameters(), params), {})]
    if isinstance(params, torch.Tensor):
        raise TypeError(f"one tensor has no name: {REMEDY}")
    if not isinstance(params, Iterable):
        raise TypeError(f"params is {'None' if params is None else type(params).__name__}: {REMEDY}")
    listed: list[Any] = list(params.items() if isinstance(params, Mapping) else params)
    if not listed:
        raise ValueError("no parameters are given")
    if not isinstance(listed[0], Mapping):
        return model, [Named(pairs_of(listed, model), {})]
    for group in listed:
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"a param group is a dict with 'params', and not {group!r}")
    groups = [Named(pairs_of(group["params"], model), {key: value for key, value in group.items()
                                                if key != "params"}) for group in listed]
    check_apart(groups)
    return model, groups


def check_apart(groups: Iterable[Named]) -> None:
    seen: set[str] = set()
    for group in groups:
        twice = seen & set(group.parameters)
        if twice:
            raise ValueError(f"'{min(twice)}' is in two param groups")
        seen |= set(group.parameters)


def names_in(known: Mapping[int, str], group: ParamGroup, number: int) -> dict[str, torch.Tensor]:
    """{name: parameter} of a translated group: the model's names, or those that it was given."""
    named = {}
    for place, parameter in enumerate(group.params):
        name = known.get(id(parameter))
        if name is None and not known and group.names is not None:
            name = group.names[place]
        if name is None:
            raise ValueError(f"parameter {place} of param group {number} of PyTorch's optimizer is none of those "
                             f"given here: {REMEDY}, of the model that PyTorch's optimizer was made for")
        named[name] = parameter
    return named


def named_groups(given: list[Named], settings: Settings) -> tuple[list[Named], dict[str, torch.Tensor]]:
    """The groups of a translated optimizer with names; what of the given parameters it leaves alone."""
    known = {id(p): name for group in given for name, p in group.parameters.items()}
    groups = [Named(names_in(known, group, number), {"optimizer": group.optimizer, **group.settings,
                                                     "schedule": group.schedule})
              for number, group in enumerate(settings.groups)]
    trained = {name for group in groups for name in group.parameters}
    left = {name: p for group in given for name, p in group.parameters.items() if name not in trained}
    return groups, left


def split_frozen(groups: list[Named]) -> tuple[list[Named], dict[str, torch.Tensor]]:
    """Takes out what has requires_grad=False, and groups of which nothing is left."""
    if not any(group.parameters for group in groups):
        raise ValueError("there are no parameters: a model of layers without any, or empty param groups")
    frozen = {name: p for group in groups for name, p in group.parameters.items() if not p.requires_grad}
    kept = [Named({n: p for n, p in group.parameters.items() if n not in frozen}, group.said)
            for group in groups]
    kept = [group for group in kept if group.parameters]
    if not kept:
        raise ValueError("no parameter is to be trained: all have requires_grad=False")
    return kept, frozen
