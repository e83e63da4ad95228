#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A step of DistributedDataParallel on a dummy model with two processes, beside the model alone.

The model is a few flat parameters whose gradient costs next to nothing, stepped by fused AdamW in each
process. Lanes: ddp, the step with the gradients reduced; alone, the same without any other process;
bare, the gradient's bytes to another process and back.

    python3 tests/bench/peers/ddp.py [--json] [--quick]
"""
import tempfile

import peer

WORLD = 2
PARAMETERS = 16


def make_step(torch, model):
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(1.0).backward()
        optimizer.step()
    return step


def make_model(torch, size):
    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            count = max(size // 4 // PARAMETERS, 1)
            self.flat = torch.nn.ParameterList(torch.zeros(count) for _ in range(PARAMETERS))

        def forward(self, scale):
            return sum((each * scale).sum() for each in self.flat)
    return Flat()


def run(rank, report, store):
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}/store", rank=rank, world_size=WORLD)
    if rank == 0:
        with peer.Bare() as bare:
            for size in report.sizes:
                measure(report, torch, dist, bare, size)
    else:
        for size in report.sizes:
            follow(torch, dist, size)
    dist.destroy_process_group()


def measure(report, torch, dist, bare, size):
    go_on = torch.ones(1)
    step = make_step(torch, torch.nn.parallel.DistributedDataParallel(make_model(torch, size)))
    send, into = bytes(size), bytearray(size)
    taken = report.measure({"ddp": step, "alone": make_step(torch, make_model(torch, size)),
                            "bare": lambda: bare.exchange(send, into)},
                           prepare=lambda: dist.broadcast(go_on, src=0))
    report.add({"bytes": size}, taken)
    go_on[0] = 0
    dist.broadcast(go_on, src=0)


def follow(torch, dist, size):
    """Steps whenever rank 0 does."""
    go_on = torch.ones(1)
    step = make_step(torch, torch.nn.parallel.DistributedDataParallel(make_model(torch, size)))
    while True:
        dist.broadcast(go_on, src=0)
        if go_on[0] == 0:
            return
        step()


def main():
    report = peer.Report("ddp", __doc__)
    peer.need_torch("is_gloo_available")
    with tempfile.TemporaryDirectory() as store:
        peer.run_ranks(run, WORLD, report, store)
    report.end()


if __name__ == "__main__":
    main()
