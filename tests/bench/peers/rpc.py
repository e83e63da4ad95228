#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Push and pull by torch.distributed.rpc, one worker and a parameter server, beside a bare exchange.

The server holds the weights and their optimizer (fused AdamW); the worker calls it with a gradient of n
bytes and gets n bytes of weights. TensorPipe chooses how bytes travel (shared memory on one host), or
takes its sockets where the kernel has no boot_id, without which it does not start shared memory.

    python3 tests/bench/peers/rpc.py [--json] [--quick]
"""
import os
import tempfile
import warnings

import peer

WORLD = 2
SERVER = "server"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Server:
    """Runs where SERVER is; the worker's calls find it as a static of its class."""
    weights = None
    optimizer = None

    @classmethod
    def define(cls, count):
        import torch
        cls.weights = torch.nn.Parameter(torch.zeros(count))
        cls.optimizer = torch.optim.AdamW([cls.weights], fused=True)

    @classmethod
    def step(cls, grad):
        cls.weights.grad = grad
        cls.optimizer.step()
        return cls.weights.detach()


def run(rank, report, store):
    import torch
    import torch.distributed.rpc as rpc
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torch.distributed")  # of its own doing
    ways = {} if os.path.exists(BOOT_ID) else {"_transports": ["uv"], "_channels": ["basic"]}
    options = rpc.TensorPipeRpcBackendOptions(init_method=f"file://{store}/store", **ways)
    rpc.init_rpc(SERVER if rank == 1 else "worker", rank=rank, world_size=WORLD,
                 rpc_backend_options=options)
    if rank == 0:
        with peer.Bare() as bare:
            for size in report.sizes:
                measure(report, torch, rpc, bare, size)
    rpc.shutdown()


def measure(report, torch, rpc, bare, size):
    grad = torch.full((size // 4,), 1e-3)
    send, into = bytes(size), bytearray(size)
    rpc.rpc_sync(SERVER, Server.define, args=(grad.numel(),))
    taken = report.measure({"rpc": lambda: rpc.rpc_sync(SERVER, Server.step, args=(grad,)),
                            "bare": lambda: bare.exchange(send, into)})
    report.add({"bytes": size}, taken)


def main():
    report = peer.Report("rpc", __doc__)
    torch = peer.need_torch()
    import torch.distributed.rpc as rpc
    if not rpc.is_available():
        peer.not_installed("this PyTorch's torch.distributed.rpc", "take a build that has it")
    with tempfile.TemporaryDirectory() as store:
        peer.run_ranks(run, WORLD, report, store)
    report.end()


if __name__ == "__main__":
    main()
