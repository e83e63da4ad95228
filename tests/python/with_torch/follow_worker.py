#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One process of follow.py: trains with PyTorch alone or through stepd, and prints the
losses of each case as JSON.

usage: follow_worker.py plain|stepd RANK WORKERS MODEL/OPTIMIZER ...
"""
import hashlib
import json
import sys

import torch
from torch import nn
from torch.optim import lr_scheduler as lrs

STEPS, GLOBAL_BATCH, SIDE, CLASSES = 200, 64, 12, 5


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 300), nn.ReLU(), nn.Linear(300, 100),
                         nn.ReLU(), nn.Linear(100, CLASSES))


def cnn():
    """Without a maximum or a kink: where two values are nearly the same, the last bit of one would
    decide which way training goes, in PyTorch's own runs as well."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
                         nn.Conv2d(8, 16, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(16 * (SIDE // 4) ** 2, CLASSES))


def momentum(model):
    return torch.optim.SGD(model.parameters(), lr=0.015, momentum=0.9), []


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=1e-3), []


def adamw(model):
    """No decay of biases; the last layer at its own rate; a warm-up, and half a wave down."""
    named = list(model.named_parameters())
    last = named[-2][0].rpartition(".")[0]
    groups = [{"params": [p for n, p in named if n.startswith(f"{last}.")], "lr": 5e-4},
              {"params": [p for n, p in named if n.endswith(".bias") and not n.startswith(f"{last}.")],
               "weight_decay": 0.0},
              {"params": [p for n, p in named if n.endswith(".weight") and not n.startswith(f"{last}.")]}]
    made = torch.optim.AdamW(groups, lr=2e-3, weight_decay=0.05)
    warm = lrs.LinearLR(made, 0.1, 1.0, 20)
    wave = lrs.CosineAnnealingLR(made, STEPS - 20, 1e-5)
    return made, [lrs.SequentialLR(made, [warm, wave], [20])]


MODELS = {"mlp": mlp, "cnn": cnn}
OPTIMIZERS = {"momentum": momentum, "adam": adam, "adamw": adamw}


def examples():
    """Images of classes that overlap, the same in every process."""
    generator = torch.Generator().manual_seed(7)
    centers = torch.randn(CLASSES, 1, SIDE, SIDE, generator=generator)
    labels = torch.randint(0, CLASSES, (STEPS, GLOBAL_BATCH), generator=generator)
    noise = torch.randn(STEPS, GLOBAL_BATCH, 1, SIDE, SIDE, generator=generator)
    return 0.3 * centers[labels] + noise, labels


def train(how, rank, workers, case):
    model_name, optimizer_name = case.split("/")
    torch.manual_seed(1 if rank == 0 else 100 + rank)  # the others begin with rank 0's weights
    model = MODELS[model_name]()
    optimizer, schedulers = OPTIMIZERS[optimizer_name](model)
    if how == "stepd":
        import stepd.torch
        optimizer = stepd.torch.Optimizer(model, stepd.torch.from_torch(optimizer, schedulers), rank=rank,
                                          workers=workers, job=case)
    images, labels = examples()
    share = GLOBAL_BATCH // workers
    mine = slice(rank * share, (rank + 1) * share)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[step][mine]), labels[step][mine])
        loss.backward()
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        losses.append(loss.item())
    if how == "stepd":
        optimizer.close()
    weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    print(json.dumps({"losses": losses, "weights": hashlib.sha256(weights).hexdigest()}))


def main():
    torch.set_num_threads(1)
    how, rank, workers, *cases = sys.argv[1:]
    for case in cases:
        train(how, int(rank), int(workers), case)


if __name__ == "__main__":
    main()
