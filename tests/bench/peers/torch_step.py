#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A step of 25 million parameters from PyTorch, beside the same step from C.

Lanes, by turns and each on a job of its own: torch, stepd.torch.Optimizer.step() with gradients that are
there, until the weights have come; numpy, step() of the plain client; c, stepd_step() of a process of its
own. AdamW, one worker, in 24 large tensors and as many small ones.

    python3 tests/bench/peers/torch_step.py [--json] [--quick]       after: pip install ./client/python

STEPD_BIN names the folder of the daemon, build/release/bin unless it is said, and beside it in
tests/step_lane is the program in C; STEPD_BENCH_UNIX=1 takes a Unix socket, and shared memory with it.
"""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

import peer

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/integration"))

PARAMETERS, PARAMETERS_QUICK = 25_000_000, 500_000
LARGE, SMALL_ELEMENTS = 24, 1024


class CLane:
    """The process in C; its step is timed by itself."""

    def __init__(self, program, address, lengths):
        self.process = subprocess.Popen([program, address, "c", *map(str, lengths)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)
        self.process.stdout.readline()

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise SystemExit("the program in C has ended")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def torch_lane(torch, address, lengths):
    import stepd.torch
    named = [(f"w{i}", torch.nn.Parameter(torch.zeros(n))) for i, n in enumerate(lengths)]
    optimizer = stepd.torch.Optimizer(named, "adamw", lr=1e-3, address=address, job="torch", rank=0, workers=1)
    for _, parameter in named:
        parameter.grad = torch.full_like(parameter, 0.01)
    return optimizer


def numpy_lane(address, lengths):
    import numpy
    import stepd
    client = stepd.connect(address, job="numpy")
    weights = {f"w{i}": numpy.zeros(n, numpy.float32) for i, n in enumerate(lengths)}
    grads = {name: numpy.full_like(array, 0.01) for name, array in weights.items()}
    client.define(weights, groups=[stepd.Group(optimizer="adamw", lr=1e-3)])
    client.pull(out=weights)
    return lambda: client.step(grads, out=weights)


def main():
    report = peer.Report("torch_step", __doc__)
    report.seconds *= 5  # few rounds fit into less
    torch = peer.need_torch()
    torch.set_num_threads(1)
    try:
        import stepd  # noqa: F401
    except ImportError:
        peer.not_installed("the package stepd", "pip install ./client/python")
    from processes import Daemon
    binaries = pathlib.Path(os.environ.get("STEPD_BIN", ROOT / "build/release/bin"))
    parameters = PARAMETERS_QUICK if report.options.quick else PARAMETERS
    lengths = [parameters // LARGE - SMALL_ELEMENTS] * LARGE + [SMALL_ELEMENTS] * LARGE
    with tempfile.TemporaryDirectory() as folder:
        with Daemon(f"{binaries}/stepd", "--unix", f"{folder}/stepd.sock") as daemon:
            address = f"unix:{folder}/stepd.sock" if os.environ.get("STEPD_BENCH_UNIX") else daemon.address
            with CLane(binaries.parent / "tests/step_lane", address, lengths) as c, \
                    contextlib.closing(torch_lane(torch, address, lengths)) as optimizer:
                taken = report.measure({"torch": optimizer.step, "c": c.step,
                                        "numpy": numpy_lane(address, lengths)})
    report.add({"bytes": 4 * sum(lengths), "elements": sum(lengths)}, taken)
    report.end()


if __name__ == "__main__":
    main()
