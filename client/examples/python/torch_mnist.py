# SPDX-License-Identifier: Apache-2.0
import gzip

import stepd.torch
import torch
from torch import nn

FOLDER = "/usr/share/datasets/fashion-mnist"  # Debian: dataset-fashion-mnist


def load(name, header):
    with gzip.open(f"{FOLDER}/{name}-ubyte.gz") as file:
        return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)


def load_images(name):
    return load(f"{name}-images-idx3", 16).view(-1, 784) / 255


images, labels = load_images("train"), load("train-labels-idx1", 8).long()
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = stepd.torch.Optimizer(model, "adam", lr=1e-3)
order = torch.Generator().manual_seed(1)

for epoch in range(3):
    for batch in torch.randperm(len(images), generator=order).split(256):
        mine = batch[optimizer.rank::optimizer.world]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[mine]), labels[mine])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")

test, answers = load_images("t10k"), load("t10k-labels-idx1", 8).long()
print(f"test accuracy {(model(test).argmax(1) == answers).float().mean():.4f}")
