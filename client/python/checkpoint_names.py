# SPDX-License-Identifier: Apache-2.0
"""Which tensor of a model is which parameter of its optimizer, and which group's.

PyTorch's optimizer knows its parameters by number. Their names are those that it was given
(named_parameters()), those that the user says, or the model's in its order; shapes must agree, and
what can be told in two ways is refused.
"""
import collections
import fnmatch
import pathlib

import torch

from checkpoint_files import Refused

# A param group: its settings as PyTorch has them, and {name: state} of its parameters.
Group = collections.namedtuple("Group", "number settings parameters")


def matches(name, globs):
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def model_tensors(state, exclude):
    """{name: tensor} of what may be a parameter, in the model's order; {a name: the other one that
    has the same memory}."""
    tensors, first, tied = {}, {}, {}
    for name, tensor in state.items():
        if not torch.is_tensor(tensor) or not tensor.is_floating_point() or matches(name, exclude):
            continue
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape)
        if tensor.numel() and place in first:
            tied[name] = first[place]
        else:
            first[place] = name
            tensors[name] = tensor
    return tensors, tied


def state_shape(state):
    """That of a parameter, as far as its state tells it."""
    return next((tensor.shape for key, tensor in state.items()
                 if torch.is_tensor(tensor) and key != "step"), None)


def in_order(shapes, tensors):
    """For a list of shapes (None: any) the names of tensors with these shapes, in their order: the
    first that fit, or from behind the last that do. None: none do."""
    names, left = [], iter(tensors.items())
    for shape in shapes:
        name = next((n for n, t in left if shape is None or t.shape == shape), None)
        if name is None:
            return None
        names.append(name)
    return names


def by_order(shapes, tensors):
    """One group, whose parameters are the model's but for buffers."""
    first = in_order(shapes, tensors)
    last = in_order(shapes[::-1], dict(reversed(tensors.items())))
    if first is None or last is None:
        raise Refused(f"the optimizer's {len(shapes)} parameters have not the shapes of the model's "
                      f"{len(tensors)} tensors in their order; say which they are with --names FILE")
    for name, other in zip(first, last[::-1]):
        if name != other:
            raise Refused(f"a parameter may be tensor '{name}' or '{other}': the model has "
                          f"{len(tensors)} tensors and the optimizer {len(shapes)} parameters. Name "
                          "those that are no parameters with --exclude GLOB, or all that are with "
                          "--names FILE")
    return first


def by_globs(groups, globs, tensors):
    """Each tensor is of the first group whose glob takes it, as in stepd."""
    if len(globs) != len(groups):
        raise Refused(f"--group is given {len(globs)} times, and the optimizer has {len(groups)} "
                      "param groups: give it once for each, in their order")
    names = [[] for _ in groups]
    for name in tensors:
        taken = next((i for i, glob in enumerate(globs) if fnmatch.fnmatchcase(name, glob)), None)
        if taken is not None:
            names[taken].append(name)
    for i, (group, found) in enumerate(zip(groups, names)):
        if len(group["params"]) != len(found):
            raise Refused(f"--group '{globs[i]}' takes {len(found)} tensors, and param group {i} has "
                          f"{len(group['params'])}; change the glob, or name buffers with --exclude")
    return sum(names, [])


def parameter_names(groups, state, tensors, options):
    """{index: name} of all parameters of the optimizer."""
    indices = [index for group in groups for index in group["params"]]
    shapes = [state_shape(state.get(index, {})) for index in indices]
    if options.names:
        names = pathlib.Path(options.names).read_text(encoding="utf-8").split()
    elif all("param_names" in group for group in groups):
        names = [name for group in groups for name in group["param_names"]]
    elif options.group:
        names = by_globs(groups, options.group, tensors)
    elif len(groups) == 1:
        names = by_order(shapes, tensors)
    else:
        raise Refused(f"the optimizer has {len(groups)} param groups and no names of parameters: say "
                      "which tensors each has, with --group GLOB once for each in their order, or "
                      "--names FILE; or give the optimizer model.named_parameters()")
    if len(names) != len(indices) or len(set(names)) != len(names):
        raise Refused(f"{len(indices)} parameters have {len(set(names))} names: there must be one for "
                      "each, in the optimizer's order")
    for index, name, shape in zip(indices, names, shapes):
        if name not in tensors:
            raise Refused(f"parameter {index} is called '{name}', and the model has no such tensor "
                          f"of floats{nearest(name, tensors)}")
        if shape is not None and shape != tensors[name].shape:
            raise Refused(f"parameter {index} is '{name}' of shape {list(tensors[name].shape)}, and "
                          f"its state has shape {list(shape)}: they are in another order; say which "
                          "it is with --names FILE")
    return dict(zip(indices, names))


def nearest(name, tensors):
    near = [other for other in tensors if other.endswith("." + name) or name.endswith("." + other)]
    return f"; it has '{near[0]}'" if near else ""


def param_groups(optimizer, tensors, options):
    """The optimizer's groups, without what is to be frozen."""
    groups, state = optimizer["param_groups"], optimizer["state"]
    names = parameter_names(groups, state, tensors, options)
    made = [Group(number, group, {names[index]: state.get(index, {}) for index in group["params"]
                                  if not matches(names[index], options.freeze)})
            for number, group in enumerate(groups)]
    made = [group for group in made if group.parameters]
    if not made:
        raise Refused("no parameter of its optimizer is left to be trained")
    return made
