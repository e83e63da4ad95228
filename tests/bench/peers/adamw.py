#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch's fused and foreach AdamW in memory, beside a copy, with one thread and with all.

ns_each is per parameter. The lane copy copies one array of as many floats: stepd-bench's section
`kernel` has the same lane (memcpy), so what its AdamW costs in copies can be held against this.

    python3 tests/bench/peers/adamw.py [--json] [--quick]
"""
import os

import peer

COUNTS = (1_000_000, 10_000_000, 100_000_000)
QUICK_COUNTS = (100_000,)


def make_step(torch, count, **kind):
    weights = torch.nn.Parameter(torch.full((count,), 0.5))
    weights.grad = torch.full((count,), 1e-3)
    return torch.optim.AdamW([weights], **kind).step


def measure(report, torch, count):
    source, target = torch.zeros(count), torch.ones(count)
    lanes = {"fused": make_step(torch, count, fused=True),
             "foreach": make_step(torch, count, foreach=True),
             "copy": lambda: target.copy_(source)}
    for threads in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(threads)
        report.add({"threads": threads, "elements": count}, report.measure(lanes), count=count)


def main():
    report = peer.Report("adamw", __doc__)
    torch = peer.need_torch()
    for count in QUICK_COUNTS if report.options.quick else COUNTS:
        measure(report, torch, count)
    report.end()


if __name__ == "__main__":
    main()
