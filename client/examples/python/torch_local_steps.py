#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Local steps beside a step for every batch: the same accuracy on Fashion-MNIST for fewer bytes.

usage: torch_local_steps.py [--workers 4] [--every 20] [--epochs 4] [--lr 0.1] [--batch 32]

Trains one network twice, by as many processes, on a private daemon: with synchronous SGD, whose
gradients are exchanged at every step (stepd.torch.Optimizer), and with local steps, where each worker
makes SGD's steps alone and exchanges every so many of them (stepd.torch.LocalSteps, outer optimizer
`nesterov`). Prints the accuracy on the test images, what a worker has sent and received, and how long
it took.
"""
import argparse
import gzip
import multiprocessing
import time

import stepd
import stepd.torch
import torch
from torch import nn

FOLDER = "/usr/share/datasets/fashion-mnist"  # Debian: dataset-fashion-mnist


def load(folder, name, header):
    with gzip.open(f"{folder}/{name}-ubyte.gz") as file:
        return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)


def examples(folder, name):
    """(images, labels): floats (n, 784) in [0, 1], and classes (n,)."""
    images = load(folder, f"{name}-images-idx3", 16).view(-1, 784) / 255
    return images, load(folder, f"{name}-labels-idx1", 8).long()


def count_bytes(client):
    """What goes out as gradients and comes in as weights, from now on; {"bytes": n}."""
    counted, start = {"bytes": 0}, client.step_start

    def counting(grads, **options):
        counted["bytes"] += 2 * sum(grad.nbytes for grad in grads.values())
        return start(grads, **options)
    client.step_start = counting
    client.step = lambda grads, **options: counting(grads, **options).result()
    return counted


def train(rank, options, address, local, results):
    """One worker; rank 0 tells how it went."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    images, labels = examples(options.data, "train")
    model = nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10))
    place = {"address": address, "rank": rank, "workers": options.workers}
    if local:
        inner = torch.optim.SGD(model.parameters(), lr=options.lr)
        optimizer = stepd.torch.LocalSteps(model, inner, options.every, outer="nesterov", lr=options.outer_lr,
                                           momentum=options.outer_momentum, job="local", **place)
    else:
        optimizer = stepd.torch.Optimizer(model, "sgd", lr=options.lr, job="sync", **place)
    counted, began = count_bytes(optimizer.client), time.monotonic()
    order = torch.Generator().manual_seed(2)
    for _ in range(options.epochs):
        whole = torch.randperm(len(images), generator=order)
        for batch in whole.split(options.batch * options.workers):
            mine = batch[rank::options.workers]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[mine]), labels[mine]).backward()
            optimizer.step()
    optimizer.close()
    if rank == 0:
        test, answers = examples(options.data, "t10k")
        accuracy = (model(test).argmax(1) == answers).float().mean().item()
        results.put((accuracy, counted["bytes"], time.monotonic() - began))


def run(options, address, local):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=train, args=(rank, options, address, local, results))
               for rank in range(options.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a worker has failed")
    return results.get()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--every", type=int, default=20, help="local steps between two exchanges")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32, help="examples of a worker's step")
    parser.add_argument("--lr", type=float, default=0.1, help="of SGD, in both runs")
    parser.add_argument("--outer-lr", type=float, default=0.7)
    parser.add_argument("--outer-momentum", type=float, default=0.6)
    parser.add_argument("--data", default=FOLDER, help="folder of the images, compressed by gzip")
    options = parser.parse_args()
    print(f"{options.workers} workers, {options.epochs} epochs, {options.batch} examples a step")
    print(f"{'steps':12}{'accuracy':>10}{'MB a worker':>13}{'seconds':>9}")
    rows = []
    with stepd.local() as daemon:
        for local in (False, True):
            rows.append(run(options, daemon.address, local))
            accuracy, count, seconds = rows[-1]
            name = f"local, {options.every}" if local else "sync"
            print(f"{name:12}{accuracy:>10.4f}{count / 1e6:>13.1f}{seconds:>9.1f}", flush=True)
    (sync, sync_bytes, _), (local, local_bytes, _) = rows
    print(f"{100 * (local - sync):+.2f} points, {sync_bytes / local_bytes:.1f} times fewer bytes")


if __name__ == "__main__":
    main()
