#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch's fused and foreach AdamW in memory, beside stepd's kernel and a copy.

ns_each is per parameter. stepd's kernel runs in one thread, as in a shard; torch's with one thread
and with all. The lane copy copies one array of as many floats: stepd-bench's section `kernel` has
the same lane (memcpy). With one thread the arrays of all lanes are as torch allocates them.

    python3 tests/bench/peers/adamw.py [--json] [--quick] [--kernels FILE]

FILE is the library with stepd's kernel that every preset builds; without it the release preset's.
"""
import ctypes
import itertools
import os
import sys
from pathlib import Path

import peer

COUNTS = (1_000_000, 10_000_000, 100_000_000)
QUICK_COUNTS = (100_000,)
KERNELS = Path(__file__).parents[3] / "build/release/lib/peer_kernels.so"


def make_step(torch, count, **kind):
    weights = torch.nn.Parameter(torch.full((count,), 0.5))
    weights.grad = torch.full((count,), 1e-3)
    return torch.optim.AdamW([weights], **kind).step


def make_stepd_step(torch, library, count):
    arrays = [torch.full((count,), value) for value in (0.5, 1e-3, 0.0, 0.0)]  # w, g, m, v
    pointers = [ctypes.c_void_p(array.data_ptr()) for array in arrays]
    clock = itertools.count(1)

    def step():
        library.peer_adamw(ctypes.c_uint64(next(clock)), ctypes.c_size_t(count), *pointers)
    step.arrays = arrays  # they live as long as it does
    return step


def measure(report, torch, library, count):
    source, target = torch.zeros(count), torch.ones(count)
    lanes = {"fused": make_step(torch, count, fused=True),
             "stepd": make_stepd_step(torch, library, count),
             "foreach": make_step(torch, count, foreach=True),
             "copy": lambda: target.copy_(source)}
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(threads)
        report.add({"threads": threads, "elements": count}, report.measure(lanes), count=count)


def main():
    report = peer.Report("adamw", __doc__, kernels=KERNELS)
    torch = peer.need_torch()
    if not report.options.kernels.exists():
        sys.exit(f"there is no {report.options.kernels}: build stepd (cmake --preset release && "
                 "cmake --build --preset release), or name the library with --kernels")
    library = ctypes.CDLL(str(report.options.kernels))
    for count in QUICK_COUNTS if report.options.quick else COUNTS:
        measure(report, torch, library, count)
    report.end()


if __name__ == "__main__":
    main()
