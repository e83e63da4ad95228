# SPDX-License-Identifier: Apache-2.0
"""The optimizers that PyTorch and stepd have in common: their settings and their state."""
import importlib.util
import pathlib
import sys

import torch

from checkpoint_files import Refused


def load_classes():
    """The package's table, without the package, whose library need not be built for this."""
    path = pathlib.Path(__file__).parent / "stepd/torch/classes.py"
    spec = importlib.util.spec_from_file_location("stepd_torch_classes", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


classes = load_classes()
COMMON, decoupled, value_of = classes.COMMON, classes.decoupled, classes.value_of
# A state dict does not say its class, and of AdamW has what Adam(decoupled_weight_decay=True) has.
KINDS = [kind for kind in classes.KINDS if kind.slots is not None and
         not (kind.torch == "Adam" and kind.stepd == "adamw")]
KINDS = [kind._replace(when=decoupled) if kind.torch == "AdamW" else kind for kind in KINDS]
NAMES = list(dict.fromkeys(kind.torch for kind in KINDS))
# Keys of param groups by which the others are known, and why each is not among the above.
REFUSED = {
    "momentum_decay": "NAdam keeps a product of momenta beside its state, which stepd's files have no "
                      "place for",
    "lambd": "ASGD keeps rates beside its state, which stepd's files have no place for",
    "ns_steps": "Muon trains matrices alone, and so stands beside an optimizer of another checkpoint",
    "beta2_decay": "Adafactor keeps its state by rows and columns",
    "history_size": "LBFGS keeps its history over all parameters at once",
}


def refuse_known(groups):
    """Classes whose state is of another kind: before anything is read of it."""
    for number, group in enumerate(groups):
        for key, why in REFUSED.items():
            if key in group:
                raise Refused(f"param group {number}: {why}; begin anew from the weights")


def could_be(kind, group, states):
    """Has a param group these settings and no others, and its parameters such a state, if any?"""
    slots = {slot for slot, switch in kind.slots.items() if switch is None}
    return (set(kind.settings) == set(group) - COMMON and kind.when(group) and
            all(slots <= set(state) for state in states if "step" in state))


def recognize(param_group, wanted):
    """The kind that a param group is of; a state dict does not say its class."""
    number, group, parameters = param_group
    tells = "decoupled_weight_decay" in group
    if wanted == "AdamW" and not tells:
        group = {**group, "decoupled_weight_decay": True}
    found = [kind for kind in KINDS if wanted in (None, kind.torch) and
             could_be(kind, group, parameters.values())]
    if not found:
        raise Refused(f"param group {number} has the settings "
                      f"{', '.join(sorted(set(group) - COMMON))}: they are of none of PyTorch's "
                      f"optimizers that can be converted{of(wanted)}: {', '.join(NAMES)}")
    if found[0].torch == "Adam" and group["weight_decay"] and not tells and wanted is None:
        raise Refused(f"param group {number} is of Adam or of AdamW, which an older PyTorch writes "
                      "alike, and they decay weights otherwise: say which with --optimizer")
    return found[0]


def of(wanted):
    return "" if wanted is None else f" as {wanted}"


def learning_rate(group, number, options):
    """The rate that the schedule begins from."""
    if "initial_lr" not in group or options.constant_lr:
        return value_of(group, "lr")
    if options.schedule is None:
        raise Refused(f"param group {number}: its learning rate has a schedule: it began at "
                      f"{float(group['initial_lr'])} and is {float(group['lr'])}. Say how it goes on "
                      "with --schedule, such as '{kind: cosine, t_max: 1000}' ('stepctl schedules' "
                      "has them), or keep the present rate with --constant-lr")
    return value_of(group, "initial_lr")


def settings_of(param_group, kind, options):
    """A group of stepd's file."""
    number, group, _ = param_group
    return {"optimizer": kind.stepd, "lr": learning_rate(group, number, options),
            **classes.settings_of(kind, group)}


def slot_names(kind, group):
    return [slot for slot, switch in kind.slots.items() if switch is None or group[switch]]


def steps_of(groups, wanted):
    """How many updates all parameters have had."""
    counted = {name: int(state["step"]) for group in groups
               for name, state in group.parameters.items() if "step" in state}
    if len(set(counted.values())) > 1:
        low, high = min(counted, key=counted.get), max(counted, key=counted.get)
        raise Refused(f"'{low}' has had {counted[low]} updates and '{high}' {counted[high]}: stepd "
                      "steps all tensors of a job together. Keep those that are not trained with "
                      "--freeze GLOB")
    if not counted and wanted is None:
        raise Refused("its optimizer does not count steps: say how many were made with --step N")
    steps = next(iter(counted.values()), wanted)
    if wanted not in (None, steps):
        raise Refused(f"--step says {wanted}, and the optimizer has made {steps} steps")
    return steps


def slots_of(name, tensor, state, wanted, step):
    """{slot: tensor} of a parameter. Before the first step all are 0, whatever PyTorch holds ready:
    what the first step starts from is a hyperparameter."""
    for slot in wanted if step > 0 else ():
        if not torch.is_tensor(state.get(slot)):
            raise Refused(f"'{name}' has no {slot}: it was never stepped, because it had no gradient. "
                          "Keep it as it is with --freeze GLOB, or train it for a step first")
        if state[slot].is_sparse:
            raise Refused(f"{slot} of '{name}' is sparse, and stepd keeps whole tensors: train it "
                          "with dense gradients, or begin anew from the weights")
        if state[slot].shape != tensor.shape:
            raise Refused(f"{slot} of '{name}' has shape {list(state[slot].shape)}, and the tensor "
                          f"{list(tensor.shape)}: the checkpoint is of two models")
    return {slot: state[slot] if step > 0 else torch.zeros(tensor.shape) for slot in wanted}
