# SPDX-License-Identifier: Apache-2.0
"""stepd's own run of a job, through the program torch_driver (driver.c says what it speaks).

    Stepd(folder).train(groups, names, start, steps)     all steps known beforehand: one exchange
    Stepd(folder).open(groups, names, start)             step by step, for gradients at its weights

A job is written as a config file and read as the daemon reads one. Tensors go in and come out as
float32; numpy is not needed.
"""
import contextlib
import ctypes
import json
import math
import pathlib
import struct
import subprocess
import tempfile

import torch

JOB = "proof"


class Refused(Exception):
    """stepd did not do it; the text is its own."""


class Step:
    """What one step brings: gradients in the tensors' order, and what may stand beside them."""

    def __init__(self, grads, loss=None, loss_scale=None, extras=None):
        self.grads = grads
        self.loss = loss
        self.loss_scale = loss_scale
        self.extras = extras or {}  # by the tensor's index: floats that follow its gradient

    def encode(self):
        head = struct.pack("=dd", math.nan if self.loss is None else self.loss,
                           self.loss_scale or 0.0)
        body = []
        for index, grad in enumerate(self.grads):
            body.append(to_bytes(grad))
            if index in self.extras:
                body.append(to_bytes(self.extras[index]))
        return head + b"".join(body)


def to_bytes(tensor):
    """The elements of a tensor as float32, row-major."""
    flat = tensor.detach().to(torch.float32).contiguous()
    return ctypes.string_at(flat.data_ptr(), 4 * flat.numel())


def from_bytes(raw, shapes):
    """The inverse, for several tensors one after another."""
    floats = torch.frombuffer(bytearray(raw), dtype=torch.float32)
    parts = torch.split(floats, [math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(parts, shapes)]


def config_text(groups, defaults=None):
    """The config file of one job, each group on a line; JSON is YAML too."""
    lines = ["jobs:", f"  - name: {JOB}", "    mode: sync", "    workers: 1",
             "    strict: true", "    slice_elements: 256"]
    if defaults:
        lines.append(f"    defaults: {json.dumps(defaults)}")
    lines.append("    groups:")
    lines += [f"      - {json.dumps(group)}" for group in groups]
    return "\n".join(lines) + "\n"


def header(names, start, extras):
    """The lines that name the tensors, and their first values."""
    lines = []
    for index, (name, tensor) in enumerate(zip(names, start)):
        numbers = [extras.get(index, 0), *tensor.shape]
        lines.append(f"{name} {' '.join(map(str, numbers))}\n")
    return "".join(lines).encode() + b"\n" + b"".join(map(to_bytes, start))


def exchange(process, sent):
    """(what came back, what was said on stderr). A program that ends early has its reason there."""
    try:
        return process.communicate(sent)
    except BrokenPipeError:
        return b"", process.stderr.read()


class Setting:
    """A hyperparameter, or a parameter of a schedule. default: a number, a word, or None where it must
    be given; words: all that it can be, none where it is a number."""

    def __init__(self, default, *rest):
        numbers = rest[0][0] in "[("
        self.words = () if numbers else rest
        self.default = None if default == "needed" else float(default) if numbers else default
        if numbers:
            least, most = rest
            self.least, self.most = float(least[1:]), float(most[:-1])
            self.least_open, self.most_open = least[0] == "(", most[-1] == ")"

    def takes(self, number):
        """Is it in the range?"""
        above = number > self.least if self.least_open else number >= self.least
        below = number < self.most if self.most_open else number <= self.most
        return above and below


class Session:
    """A run that waits for each step's answer."""

    def __init__(self, process, folder, shapes, views):
        self.process = process
        self.folder = folder
        self.shapes = shapes
        self.views = views

    def step(self, step):
        """The views that were asked for, each a list of tensors."""
        self.process.stdin.write(step.encode())
        self.process.stdin.flush()
        size = 4 * sum(math.prod(shape) for shape in self.shapes) * len(self.views)
        raw = self.process.stdout.read(size)
        if len(raw) != size:
            raise Refused(self.process.stderr.read().decode().strip())
        tensors = from_bytes(raw, self.shapes * len(self.views))
        count = len(self.shapes)
        return [tensors[i:i + count] for i in range(0, len(tensors), count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process.stderr.close()
        self.folder.cleanup()


class Stepd:
    """folder: where torch_driver was built."""

    def __init__(self, folder):
        self.driver = str(pathlib.Path(folder) / "torch_driver")

    def tables(self):
        """({optimizer: {name: Setting}}, {schedule: {name: Setting}})."""
        text = subprocess.run([self.driver, "--list"], check=True, capture_output=True,
                              text=True).stdout
        tables = {"optimizer": {}, "schedule": {}}
        row = None
        for line in text.splitlines():
            kind, name, *rest = line.split()
            if kind in tables:
                row = tables[kind][name] = {}
            else:
                row[name] = Setting(*rest)
        return tables["optimizer"], tables["schedule"]

    def open(self, groups, names, start, views=("evaluation",), extras=None, defaults=None):
        """A Session. extras: how many floats follow a gradient, by the tensor's index."""
        folder = tempfile.TemporaryDirectory()
        config = pathlib.Path(folder.name) / "stepd.yaml"
        config.write_text(config_text(groups, defaults))
        process = subprocess.Popen([self.driver, str(config), JOB, *views],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(header(names, start, extras or {}))
        return Session(process, folder, [tuple(t.shape) for t in start], views)

    def train(self, groups, names, start, steps, views=("evaluation",), defaults=None):
        """{view: [the tensors after each step]}; Refused when stepd refuses anything."""
        extras = {index: extra.numel() for index, extra in steps[0].extras.items()}
        with self.open(groups, names, start, views, extras, defaults) as session:
            raw, said = exchange(session.process, b"".join(step.encode() for step in steps))
        shapes = [tuple(t.shape) for t in start]
        size = 4 * sum(math.prod(shape) for shape in shapes)
        if len(raw) != size * len(views) * len(steps):
            raise Refused(said.decode().strip())
        result = {view: [] for view in views}
        for number in range(len(steps) * len(views)):
            tensors = from_bytes(raw[number * size:(number + 1) * size], shapes)
            result[views[number % len(views)]].append(tensors)
        return result
