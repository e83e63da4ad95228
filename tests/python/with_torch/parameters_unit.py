#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stepd.torch.Optimizer makes of the parameters that it is given, on a client without a server:
their groups, their arrays, and what it refuses.

usage: parameters_unit.py BIN
"""
import sys
import unittest

import torch_here  # noqa: F401
import torch
from torch.optim import lr_scheduler as lrs

import stepd
import stepd.torch
from fake import Client
from problem import LR, model_of


class Parameters(unittest.TestCase):
    def make(self, params, optimizer="sgd", lr=LR, **options):
        self.client = Client(LR)
        made = stepd.torch.Optimizer(params, optimizer, lr=lr, client=self.client, **options)
        self.groups = self.client.definition["groups"]
        return made

    def test_param_groups__become_groups_of_names(self):
        model = model_of()
        self.make([{"params": model[4].named_parameters(prefix="4"), "lr": 0.01, "name": "head"},
                   {"params": [(n, p) for n, p in model.named_parameters() if not n.startswith("4")]}],
                  weight_decay=0.1)
        self.assertEqual([(g.match, g.name, g.optimizer, g.params) for g in self.groups], [
            ("4.*", "head", "sgd", {"lr": 0.01, "weight_decay": 0.1}),
            ("*", "group 1", "sgd", {"lr": LR, "weight_decay": 0.1})])

    def test_groups_by_names__take_what_is_said_for_all(self):
        optimizer = self.make(model_of(), groups=[stepd.Group(match="*.bias", weight_decay=0.0),
                                                  stepd.Group(match="*")], weight_decay=0.1)
        self.assertEqual([g.params for g in self.groups], [{"lr": LR, "weight_decay": 0.0},
                                                           {"lr": LR, "weight_decay": 0.1}])
        self.assertEqual([(len(g["params"]), g["weight_decay"]) for g in optimizer.param_groups],
                         [(3, 0.1), (3, 0.0)])

    def test_a_translated_optimizer__has_its_groups_and_schedules(self):
        model = model_of()
        theirs = torch.optim.SGD([{"params": [model[0].weight, model[0].bias], "lr": 0.5},
                                  {"params": list(model[2].parameters())}], lr=0.2, momentum=0.9)
        scheduler = lrs.StepLR(theirs, 10)
        self.make(model, stepd.torch.from_torch(theirs, [scheduler]), lr=None)
        self.assertEqual([(g.match, g.optimizer, g.frozen) for g in self.groups],
                         [("4.*", None, True), ("0.*", "momentum", False), ("*", "momentum", False)])
        self.assertEqual([g.params.get("lr") for g in self.groups], [None, 0.5, 0.2])
        self.assertEqual([g.schedule.kind for g in self.groups[1:]], ["step", "step"])

    def test_what_is_not_trained__and_buffers__come_from_rank_0_and_stay(self):
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
        model[0].weight.requires_grad_(False)
        client = Client(LR)
        client.weights = {name: torch.full(p.shape, 0.25).numpy() for name, p in model.named_parameters()}
        client.weights |= {f"buffers/{name}": torch.full(b.shape, 7.0).numpy()
                           for name, b in model.named_buffers()}
        optimizer = stepd.torch.Optimizer(model, lr=LR, client=client)
        self.assertEqual([(g.match, g.frozen) for g in client.definition["groups"]],
                         [("buffers/*", True), ("0.weight", True), ("*", False)])
        self.assertTrue(all(bool((p == 0.25).all()) for p in model.parameters()))
        self.assertEqual(int(model[1].num_batches_tracked), 7)
        model(torch.randn(4, 4)).sum().backward()
        optimizer.step()
        self.assertNotIn("0.weight", {name for names in client.sent() for name in names})

    def test_half_precision_and_other_layouts__are_copied(self):
        weight = torch.nn.Parameter(torch.randn(3, 4, dtype=torch.bfloat16))
        turned = torch.nn.Parameter(torch.randn(5, 3).t())
        before = turned.detach().clone()
        optimizer = self.make([("half", weight), ("turned", turned)])
        weight.grad = torch.full((3, 4), 0.5, dtype=torch.bfloat16)
        turned.grad = torch.arange(15.0).reshape(3, 5)
        optimizer.step()
        torch.testing.assert_close(turned.detach(), before - LR * torch.arange(15.0).reshape(3, 5))
        self.assertEqual(self.client.weights["half"].dtype.name, "float32")
        torch.testing.assert_close(weight.detach(),
                                   torch.from_numpy(self.client.weights["half"]).bfloat16())

    def test_gradients__that_lie_as_they_should__are_not_copied(self):
        parameter = torch.nn.Parameter(torch.zeros(4))
        optimizer = self.make([("w", parameter)])
        parameter.grad = torch.ones(4)
        passed = []
        start = self.client.step_start

        def step_start(grads, *, out, **options):
            passed.append((grads["w"].ctypes.data, out["w"].ctypes.data))
            return start(grads, out=out, **options)
        self.client.step_start = step_start
        optimizer.step()
        self.assertEqual(passed, [(parameter.grad.data_ptr(), parameter.data_ptr())])

    def test_what_stepd_cannot_keep__is_named(self):
        def refused(say, params, kind=TypeError, **options):
            with self.assertRaisesRegex(kind, say):
                self.make(params, **options)
        double = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        refused("'w' is torch.float64.*model.float", [("w", double)])
        refused("'w' is on the meta device", [("w", torch.nn.Parameter(torch.zeros(2, device="meta")))])
        refused("there are no parameters", torch.nn.ReLU(), ValueError)
        with torch.inference_mode():
            inferred = torch.nn.Linear(2, 2)
        refused("'weight' was made within torch.inference_mode", inferred)
        refused("have none.*named_parameters", model_of().parameters())
        refused("two parameters are called 'w'", [("w", torch.nn.Parameter(torch.zeros(2)))] * 2, ValueError)
        refused("all have requires_grad=False", [("w", torch.zeros(2))], ValueError)
        refused("give one of them", [{"params": model_of().named_parameters()},
                                     {"params": [("x", torch.nn.Parameter(torch.zeros(2)))]}],
                ValueError, groups=[stepd.Group()])

    def test_sparse_gradients__are_refused(self):
        embedding = torch.nn.Embedding(10, 4, sparse=True)
        optimizer = self.make(embedding)
        embedding(torch.tensor([1, 2])).sum().backward()
        with self.assertRaisesRegex(TypeError, "gradient of 'weight' is sparse.*sparse=False"):
            optimizer.step()

    def test_a_model_that_is_moved__is_noticed(self):
        model = torch.nn.Linear(2, 2)
        optimizer = self.make(model)
        model.double()
        model(torch.zeros(1, 2, dtype=torch.float64)).sum().backward()
        with self.assertRaisesRegex(RuntimeError, "has been moved since its optimizer was made"):
            optimizer.step()


if __name__ == "__main__":
    sys.exit(unittest.main())
