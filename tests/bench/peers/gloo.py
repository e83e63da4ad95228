#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All-reduce by gloo (torch.distributed) between two processes, beside a bare exchange.

What a step of data-parallel training costs without a server: each of two processes gives n bytes of
gradient and has the sum of both.

    python3 tests/bench/peers/gloo.py [--json] [--quick]
"""
import tempfile

import peer

WORLD = 2


def run(rank, report, store):
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}/store", rank=rank, world_size=WORLD)
    if rank == 0:
        lead(report, torch, dist)
    else:
        follow(torch, dist)
    dist.destroy_process_group()


def lead(report, torch, dist):
    order = torch.zeros(1, dtype=torch.int64)

    with peer.Bare() as bare:
        for size in report.sizes:
            grad = torch.zeros(size // 4)
            send, into = bytes(size), bytearray(size)
            order[0] = grad.numel()
            taken = report.measure({"gloo": lambda grad=grad: dist.all_reduce(grad),
                                    "bare": lambda s=send, i=into: bare.exchange(s, i)},
                                   prepare=lambda: dist.broadcast(order, src=0))
            report.add({"bytes": size}, taken)
    order[0] = 0
    dist.broadcast(order, src=0)


def follow(torch, dist):
    """Takes part in what rank 0 begins."""
    order = torch.zeros(1, dtype=torch.int64)
    grad = torch.zeros(0)
    while True:
        dist.broadcast(order, src=0)
        if order[0] == 0:
            return
        if grad.numel() != order[0]:
            grad = torch.zeros(int(order[0]))
        dist.all_reduce(grad)


def main():
    report = peer.Report("gloo", __doc__)
    peer.need_torch("is_gloo_available")
    with tempfile.TemporaryDirectory() as store:
        peer.run_ranks(run, WORLD, report, store)
    report.end()


if __name__ == "__main__":
    main()
