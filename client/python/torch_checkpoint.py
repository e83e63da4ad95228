#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint of PyTorch to one that stepd goes on from: weights, optimizer's state, settings.

A checkpoint of PyTorch is what torch.save has written of {"model": model.state_dict(), "optimizer":
optimizer.state_dict()}. It is read without running any code that is in it. Three files are made of
it, with which `stepctl import` makes the checkpoint, since stepctl alone knows its format:

    job.yaml                the job: a group for each param group, with its hyperparameters
    model.safetensors       the weights, in the model's order
    optimizer.safetensors   the state, as <tensor>/<slot>

PyTorch's optimizer knows its parameters by number. Their names are those that it was given
(named_parameters()), or the model's in its order; what cannot be told is refused, and --names,
--group or --exclude says it. Needs torch and numpy.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy  # noqa: F401
    import torch  # noqa: F401
except ImportError as missing:
    sys.exit(f"torch_checkpoint: this Python has no {missing.name}: pip install torch numpy, or call "
             "it with the Python that has trained the model")

from checkpoint_files import Refused, globs_of, load, take, write_job, write_safetensors
from checkpoint_names import matches, model_tensors, param_groups
from checkpoint_optimizers import (NAMES, recognize, refuse_known, settings_of, slot_names, slots_of,
                                   steps_of)

MODEL_KEYS = ("model", "model_state_dict", "state_dict")
OPTIMIZER_KEYS = ("optimizer", "optimizer_state_dict")
BUFFERS = ("*running_mean", "*running_var")  # of BatchNorm; num_batches_tracked is no float


def stepd_groups(groups, kinds, options):
    """The groups of stepd's file, in which the first that takes a tensor has it."""
    made = [{"name": f"frozen {glob}", "match": glob, "frozen": True} for glob in options.freeze]
    for i, (group, kind) in enumerate(zip(groups, kinds)):
        later = [name for other in groups[i + 1:] for name in other.parameters]
        globs = options.group[group.number:group.number + 1] or globs_of([*group.parameters], later)
        for glob in globs:
            name = f"group {group.number}" + (f" of {glob}" if len(globs) > 1 else "")
            made.append({"name": name, "match": glob, **settings_of(group, kind, options)})
    return made


def state_tensors(groups, kinds, tensors, step):
    """{name: {slot: tensor}} of all that is trained."""
    slots = {}
    for group, kind in zip(groups, kinds):
        wanted = slot_names(kind, group.settings)
        slots |= {name: slots_of(name, tensors[name], state, wanted, step)
                  for name, state in group.parameters.items()}
    return slots


def convert(options, folder):
    """Writes the three files; returns what is to be said of it."""
    whole = load(options.checkpoint)
    model = take(whole, options.model_key or MODEL_KEYS, "--model-key")
    optimizer = take(whole, options.optimizer_key or OPTIMIZER_KEYS, "--optimizer-key")
    refuse_known(optimizer["param_groups"])
    tensors, tied = model_tensors(model, [*BUFFERS, *options.exclude])
    groups = param_groups(optimizer, tensors, options)
    kinds = [recognize(group, options.optimizer) for group in groups]
    step = steps_of(groups, options.step)
    slots = state_tensors(groups, kinds, tensors, step)
    kept = {name: tensor for name, tensor in tensors.items()
            if name in slots or matches(name, options.freeze)}
    made = stepd_groups(groups, kinds, options)
    write_job(folder / "job.yaml", made, options)
    rounded = write_safetensors(folder / "model.safetensors", kept)
    rounded += write_safetensors(folder / "optimizer.safetensors", {
        f"{name}/{slot}": tensor for name in kept for slot, tensor in slots.get(name, {}).items()})
    return {"job": options.job, "step": step, "tensors": len(kept),
            "groups": [{"match": group["match"], "optimizer": group.get("optimizer")}
                       for group in made],
            "left_out": [name for name in tensors if name not in kept], "tied": tied,
            "rounded": rounded}


def call_stepctl(options, folder, step):
    """The name of the checkpoint."""
    command = [options.stepctl, "import", options.store, "--config", folder / "job.yaml",
               "--weights", folder / "model.safetensors", "--slots", folder / "optimizer.safetensors",
               "--step", str(step), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise Refused(f"cannot run {options.stepctl}: {error.strerror}; name it with --stepctl "
                      "PATH") from error
    if done.returncode != 0:
        raise Refused(done.stderr.strip().removeprefix("stepctl: "))
    return json.loads(done.stdout)["name"]


def say(said):
    if "checkpoint" in said:
        print(f"{said['checkpoint']}: step {said['step']}, {said['tensors']} tensors")
    for group in said["groups"]:
        print(f"  {group['match']}: {group['optimizer'] or 'frozen'}")
    for words, names in (("not in the job, since no optimizer has them", said["left_out"]),
                         ("rounded to float32", said["rounded"]),
                         ("left out, since they are others again",
                          [f"{name} = {other}" for name, other in said["tied"].items()])):
        if names:
            print(f"  {words}: {', '.join(names)}")


def arguments(argv):
    parser = argparse.ArgumentParser(
        description="Makes a checkpoint that stepd goes on from of one that PyTorch's torch.save has "
                    "written: weights, optimizer's state and hyperparameters.",
        epilog="Then: stepd --checkpoint-dir DIR, and workers that define the same tensors in the "
               "model's order, with values of their own (which are not asked for).")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="what torch.save has written")
    parser.add_argument("--job", required=True, help="name of the job")
    parser.add_argument("--store", metavar="DIR",
                        help="folder of checkpoints, as of stepd --checkpoint-dir; no daemon may be at "
                             "work in it")
    parser.add_argument("--files", metavar="DIR",
                        help="keep job.yaml and the two safetensors files there; without --store that "
                             "is all, for you to change job.yaml and call stepctl import yourself")
    parser.add_argument("--mode", choices=("sync", "async"), default="sync", help="of the job [sync]")
    parser.add_argument("--workers", type=int, default=1, help="that the job will have [1]")
    parser.add_argument("--step", type=int, metavar="N",
                        help="steps that were made, where the optimizer does not count them (SGD)")
    parser.add_argument("--schedule", metavar="YAML",
                        help="of the learning rate, as in stepd's file: '{kind: cosine, t_max: 1000}'; "
                             "PyTorch keeps its schedules apart from the optimizer")
    parser.add_argument("--constant-lr", action="store_true",
                        help="keep the present rate, whatever schedule it had")
    which = parser.add_argument_group("which tensor is which parameter")
    which.add_argument("--model-key", metavar="KEY", action="append",
                       help="where in the checkpoint the model is; dots go down: state.model [model, "
                            "model_state_dict or state_dict]")
    which.add_argument("--optimizer-key", metavar="KEY", action="append",
                       help="the same of the optimizer [optimizer or optimizer_state_dict]")
    which.add_argument("--group", metavar="GLOB", action="append", default=[],
                       help="tensors of a param group, once for each in their order; the first that "
                            "takes a name has it")
    which.add_argument("--names", metavar="FILE",
                       help="the parameters' names in the optimizer's order, a line each")
    which.add_argument("--exclude", metavar="GLOB", action="append", default=[],
                       help="tensors of the model that are no parameters and stay out, beside "
                            "BatchNorm's; may be repeated")
    which.add_argument("--freeze", metavar="GLOB", action="append", default=[],
                       help="tensors that are kept as they are, parameters or not; may be repeated")
    which.add_argument("--optimizer", choices=NAMES,
                       help="the class, where the checkpoint does not tell it")
    parser.add_argument("--stepctl", metavar="PATH", default=shutil.which("stepctl") or "stepctl",
                        help="the program [that of the PATH]")
    parser.add_argument("--json", action="store_true", help="say what was done as a JSON object")
    options = parser.parse_args(argv)
    if options.store is None and options.files is None:
        parser.error("--store DIR is missing, or --files DIR")
    if options.workers < 1 or (options.step or 0) < 0:
        parser.error("--workers must be at least 1, and --step at least 0")
    return options


def main(argv=None):
    options = arguments(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(options.files or scratch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            said = convert(options, folder)
            if options.store is not None:
                said["checkpoint"] = call_stepctl(options, folder, said["step"])
        except (Refused, OSError) as error:
            print(f"torch_checkpoint: {options.checkpoint}: {error}", file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(said, indent=2))
    else:
        say(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
