# SPDX-License-Identifier: Apache-2.0
"""The files of torch_checkpoint.py: PyTorch's, safetensors, and the job that stepd reads."""
import fnmatch
import json
import os
import re
import struct

import torch


class Refused(Exception):
    """A sentence for the user: what is wrong with which tensor or group, and what to do."""


def load(path):
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise Refused(f"cannot read it: {error.strerror}") from error
    except Exception as error:  # torch raises several kinds: of pickle's, of zip's and its own
        raise Refused("it is no checkpoint that can be read without running code in it: save state "
                      f"dicts alone, {{'model': ..., 'optimizer': ...}} ({first_line(error)})") from error
    if not isinstance(whole, dict):
        raise Refused(f"it holds a {type(whole).__name__}, and a dict with the state dicts is wanted")
    return whole


def first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


def take(whole, keys, option):
    """The first of the keys that is there; a key may have dots: `state.model`."""
    for key in keys:
        found = whole
        for part in [key] if key in whole else key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, dict):
            return found
    raise Refused(f"it has no state dict under {' or '.join(map(repr, keys))}, but the keys "
                  f"{', '.join(map(repr, whole))}; name the right one with {option}")


def globs_of(names, others):
    """Globs that take all of these names and none of the others: one where that can be."""
    if not others:
        return ["*"]
    end = os.path.commonprefix([name[::-1] for name in names])[::-1]
    begin = os.path.commonprefix(names)
    for glob in ("*" + end[end.find("."):] if "." in end else "*",
                 begin[:begin.rfind(".") + 1] + "*"):
        if not any(fnmatch.fnmatchcase(other, glob) for other in others):
            return [glob]
    return [re.sub(r"([*?[])", r"[\1]", name) for name in names]


def yaml(value):
    """JSON, which YAML reads; keys need no quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def write_job(path, groups, options):
    lines = ["jobs:", f"  - name: {json.dumps(options.job)}", f"    mode: {options.mode}",
             f"    workers: {options.workers}", "    groups:"]
    for group in groups:
        schedule = "" if options.schedule is None or "optimizer" not in group else \
            f", schedule: {options.schedule}"
        lines.append(f"      - {yaml(group)[:-1]}{schedule}}}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_safetensors(path, tensors):
    """All as F32 and in this order, which the package safetensors would change: stepctl takes the
    order of a job's tensors from the file. Returns the names of those that had to be rounded."""
    head, at, rounded = {"__metadata__": {"format": "pt"}}, 0, []
    for name, tensor in tensors.items():
        end = at + 4 * tensor.numel()
        head[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, tensor in tensors.items():
            narrow = tensor.detach().to(torch.float32).contiguous()
            if not torch.equal(narrow.to(tensor.dtype), tensor):
                rounded.append(name)
            file.write(narrow.numpy().astype("<f4", copy=False).data)
    return rounded
