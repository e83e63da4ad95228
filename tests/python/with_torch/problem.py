# SPDX-License-Identifier: Apache-2.0
"""A small network and its batches, the same each time."""
import torch

LR = 0.1
BIG = 192  # so that a weight of BIG x BIG leaves by itself, and its bias does not


def model_of(seed=1):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(BIG, BIG), torch.nn.Tanh(), torch.nn.Linear(BIG, BIG),
                               torch.nn.Tanh(), torch.nn.Linear(BIG, 3))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, BIG, generator=generator), torch.randint(0, 3, (8,), generator=generator)


def loss_of(model, seed):
    x, y = batch(seed)
    return torch.nn.functional.cross_entropy(model(x), y)
