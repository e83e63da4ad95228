# SPDX-License-Identifier: Apache-2.0
"""Trainings of a small network through stepd.torch on a client without a server, beside PyTorch's own."""
import unittest

import torch

import stepd.torch
from fake import Client
from problem import LR, loss_of, model_of


def plain(steps, backward, seed=1, lr=LR):
    """PyTorch's own run. backward: (model, step) -> None."""
    model = model_of(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in range(steps):
        optimizer.zero_grad()
        backward(model, step)
        optimizer.step()
    return model


class Case(unittest.TestCase):
    def setUp(self):
        self.client = Client(LR)
        self.model = model_of()

    def make(self, params=None, **options):
        return stepd.torch.Optimizer(self.model if params is None else params, "sgd", lr=LR,
                                     client=self.client, **options)

    def train(self, optimizer, steps, backward, before_step=lambda: None):
        for step in range(steps):
            optimizer.zero_grad()
            backward(self.model, step)
            before_step()
            optimizer.step()
        optimizer.wait()

    def same(self, other):
        for (name, ours), theirs in zip(self.model.named_parameters(), other.parameters()):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6, msg=name)

    def once(self, model, step):
        loss_of(model, step).backward()
