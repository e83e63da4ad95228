#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd.torch.LocalSteps on a client without a server.

usage: local_steps_unit.py BIN
"""
import copy
import sys
import unittest

import torch_here  # noqa: F401
import torch

import stepd
import stepd.torch
from fake import Client


def model_of():
    torch.manual_seed(2)
    return torch.nn.Sequential(torch.nn.Linear(5, 4, bias=False), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        torch.manual_seed(100 + step)
        optimizer.zero_grad()
        model(torch.randn(6, 5)).square().sum().backward()
        optimizer.step()


class LocalSteps(unittest.TestCase):
    def setUp(self):
        self.model = model_of()
        self.client = Client(lr=1.0)
        self.inner = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def make(self, **options):
        return stepd.torch.LocalSteps(self.model, self.inner, 3, client=self.client, **options)

    def same(self, other):
        for ours, theirs in zip(self.model.parameters(), other.parameters()):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)

    def test_steps__of_one_worker_with_a_whole_outer_step__are_inners(self):
        other = copy.deepcopy(self.model)
        local = self.make()
        train(self.model, local, 7)
        train(other, torch.optim.Adam(other.parameters(), lr=0.01), 7)
        self.same(other)
        self.assertEqual(len(self.client.sent()), 2)

    def test_weights__after_an_exchange__are_the_servers(self):
        local = self.make()
        self.client.lr = 0.5
        before = {name: array.copy() for name, array in self.client.weights.items()}
        train(self.model, local, 2)
        train(self.model, local, 1, first=2)
        for name, parameter in self.model.named_parameters():
            torch.testing.assert_close(parameter.detach(), torch.from_numpy(self.client.weights[name]))
            self.assertGreater(float(abs(self.client.weights[name] - before[name]).max()), 0.0)

    def test_examples__of_all_steps_since__are_the_weight(self):
        local = self.make()
        for examples in (8, 8, 5, 7, 7, 7):
            train(self.model, _Sized(local, examples), 1)
        self.assertEqual([options["examples"] for options in self.client.options], [21, 21])

    def test_the_rest__at_the_end__is_exchanged(self):
        local = self.make()
        train(self.model, local, 4)
        local.close()
        self.assertEqual(len(self.client.sent()), 2)
        with self.assertRaisesRegex(RuntimeError, "are closed"):
            local.step()
        with self.make() as local:
            train(self.model, local, 3)
        self.assertEqual(len(self.client.sent()), 3)

    def test_outer__and_its_settings__are_the_jobs(self):
        for options, wanted in (
            ({}, ("nesterov", {"lr": 0.7, "momentum": 0.9})),
            ({"outer": "sgd", "lr": 1.0}, ("sgd", {"lr": 1.0})),
            ({"outer": "adam", "lr": 0.01, "eps": 1e-3}, ("adam", {"lr": 0.01, "eps": 1e-3})),
        ):
            self.setUp()
            self.make(**options)
            buffers, group = self.client.definition["groups"]
            self.assertTrue(buffers.frozen)
            self.assertEqual((group.optimizer, group.params), wanted)

    def test_a_server_that_went_back__gives_its_weights(self):
        local = self.make()
        train(self.model, local, 3)
        for array in self.client.weights.values():
            array[...] = 0.5
        self.client.fail = stepd.RolledBack("restored")
        with self.assertWarns(RuntimeWarning):
            train(self.model, local, 3)
        self.assertTrue(all(bool((p == 0.5).all()) for p in self.model.parameters()))
        train(self.model, local, 3)
        self.assertFalse(any(bool((p == 0.5).all()) for p in self.model.parameters()))

    def test_weights__loaded_behind_its_back__are_refused(self):
        local = self.make()
        for loads, steps in ((self.model, 0), (self.model[0], 0), (self.model, 1)):
            train(self.model, local, steps)
            loads.load_state_dict({name: torch.ones_like(value) for name, value in loads.state_dict().items()})
            with self.assertRaisesRegex(RuntimeError, "loaded weights.*before LocalSteps is made.*refresh"):
                train(self.model, local, 1)
            local.refresh()
            for name, p in self.model.named_parameters():
                self.assertTrue(torch.equal(p, torch.from_numpy(self.client.weights[name])))
        train(self.model, local, 3)
        self.model.load_state_dict(copy.deepcopy(self.model.state_dict()))  # what it has already
        train(self.model, local, 1)
        self.assertEqual(len(self.client.sent()), 1)

    def test_the_best_weights__loaded_after_the_last_step__are_not_pushed_at_the_end(self):
        local = self.make()
        train(self.model, local, 4)
        self.model.load_state_dict(model_of().state_dict())
        with self.assertWarnsRegex(RuntimeWarning, "last 1 local steps are not exchanged"):
            local.close()
        self.assertEqual(len(self.client.sent()), 1)

    def test_half_precision__is_exchanged_as_float32(self):
        parameter = torch.nn.Linear(1, 3, bias=False, dtype=torch.bfloat16)
        torch.nn.init.zeros_(parameter.weight)
        local = stepd.torch.LocalSteps(parameter, torch.optim.SGD(parameter.parameters(), lr=1.0), 2,
                                       client=self.client)
        for _ in range(2):
            parameter.weight.grad = torch.full_like(parameter.weight, 0.25)
            local.step()
        self.assertEqual(self.client.weights["weight"].tolist(), [[-0.5]] * 3)
        self.assertEqual(parameter.weight.tolist(), [[-0.5]] * 3)

    def test_parameters_of_another_model__are_refused(self):
        self.inner = torch.optim.SGD(model_of().parameters(), lr=0.1)
        with self.assertRaisesRegex(ValueError, "5 parameters that are not the model's"):
            self.make()


class _Sized:
    """Steps that say their examples."""

    def __init__(self, local, examples):
        self.local, self.examples = local, examples
        self.zero_grad = local.zero_grad

    def step(self):
        self.local.step(examples=self.examples)


if __name__ == "__main__":
    sys.exit(unittest.main())
