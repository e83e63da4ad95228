#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sync training of a 784-1000-1000-10 network by two processes: through stepd, and under
DistributedDataParallel on gloo.

The same processes train two copies of one model by turns, a few steps each, on the same batches, with
one thread each: lane ddp with AdamW (fused) in each process, lane stepd with the server's; lane alone
is a process's own work, without any exchange. What a turn has sent is waited for within it. The daemon
is another process on the same machine, by a Unix socket, or by TCP.

    python3 tests/bench/peers/ddp_vs_stepd.py [--json] [--quick]       after: pip install ./client/python

STEPD_BIN names the folder of the daemon, build/release/bin unless it is said; STEPD_BENCH_TCP=1 takes
TCP.
"""
import os
import pathlib
import sys
import tempfile

import peer

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/integration"))

WORLD = 2
WIDTHS = (784, 1000, 1000, 10)
PARAMETERS = sum((m + 1) * n for m, n in zip(WIDTHS, WIDTHS[1:]))
BATCHES, BATCHES_QUICK = (32, 128, 512), (32,)  # of each process
STEPS = 10  # of a turn
LR = 1e-3


def make_model(torch):
    torch.manual_seed(1)
    nn = torch.nn
    return nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(),
                         nn.Linear(1000, 10))


def make_turn(torch, model, optimizer, batch, rank):
    """Some steps of a training loop as anyone writes it."""
    generator = torch.Generator().manual_seed(rank)
    images = torch.randn(STEPS, batch, 784, generator=generator)
    labels = torch.randint(0, 10, (STEPS, batch), generator=generator)
    wait = getattr(optimizer, "wait", lambda: None)

    def turn():
        for x, y in zip(images, labels):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        wait()
    return turn


def lanes_of(torch, batch, rank, address):
    """{name: a turn}; the closing of what they hold."""
    import stepd.torch
    plain, reduced, ours = (make_model(torch) for _ in range(3))
    reduced = torch.nn.parallel.DistributedDataParallel(reduced)
    optimizer = stepd.torch.Optimizer(ours, "adamw", lr=LR, address=address, job=f"batch{batch}", rank=rank,
                                      workers=WORLD)
    def adamw(model):
        return torch.optim.AdamW(model.parameters(), lr=LR, fused=True)
    lanes = {"ddp": make_turn(torch, reduced, adamw(reduced), batch, rank),
             "stepd": make_turn(torch, ours, optimizer, batch, rank),
             "alone": make_turn(torch, plain, adamw(plain), batch, rank)}
    return lanes, optimizer.close


def run(rank, report, store, address):
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}/store", rank=rank, world_size=WORLD)
    for batch in BATCHES_QUICK if report.options.quick else BATCHES:
        lanes, close = lanes_of(torch, batch, rank, address)
        go_on = torch.ones(1)
        if rank == 0:
            taken = report.measure(lanes, prepare=lambda: dist.broadcast(go_on, src=0))
            report.add({"bytes": 4 * PARAMETERS, "batch": batch},
                       {lane: [each / STEPS for each in seconds] for lane, seconds in taken.items()})
            go_on[0] = 0
            dist.broadcast(go_on, src=0)
        else:
            while True:
                dist.broadcast(go_on, src=0)
                if go_on[0] == 0:
                    break
                for work in lanes.values():
                    work()
        close()
    dist.destroy_process_group()


def main():
    report = peer.Report("ddp_vs_stepd", __doc__)
    report.seconds *= 5  # few rounds fit into less
    peer.need_torch("is_gloo_available")
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    try:
        import stepd  # noqa: F401
    except ImportError:
        peer.not_installed("the package stepd", "pip install ./client/python")
    from processes import Daemon
    stepd_program = f"{os.environ.get('STEPD_BIN', ROOT / 'build/release/bin')}/stepd"
    with tempfile.TemporaryDirectory() as store, Daemon(stepd_program, "--unix", f"{store}/stepd.sock") as daemon:
        tcp = os.environ.get("STEPD_BENCH_TCP")
        peer.run_ranks(run, WORLD, report, store, daemon.address if tcp else f"unix:{store}/stepd.sock")
    report.end()


if __name__ == "__main__":
    main()
