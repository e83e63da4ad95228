#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a program does to weights and gradients behind an optimizer of stepd is honoured or said to be
wrong, and never lost in silence. On a client without a server.

usage: guards_unit.py BIN
"""
import copy
import sys
import unittest
import warnings

import torch_here  # noqa: F401
import torch
from torch.optim import swa_utils

import stepd.torch
from case import Case, plain
from fake import Client
from problem import LR, loss_of, model_of

WRITTEN = "'0.weight' has been written to.*before the optimizer is made.*refresh"


def halves(model):
    """What old code does to gradients, unseen by PyTorch's versions."""
    for p in model.parameters():
        p.grad.data.mul_(0.5)


class Weights(Case):
    def step(self, optimizer, seed=0):
        optimizer.zero_grad()
        self.once(self.model, seed)
        optimizer.step()

    def test_averages__updated_after_step__are_torchs(self):
        def run(model, optimizer):
            mean = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
            for seed in range(4):
                optimizer.zero_grad()
                loss_of(model, seed).backward()
                optimizer.step()
                mean.update_parameters(model)
            return mean.module
        other = model_of()
        wanted = run(other, torch.optim.SGD(other.parameters(), lr=LR))
        for ours, theirs in zip(run(self.model, self.make()).parameters(), wanted.parameters()):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)

    def test_weights__read_after_step_in_any_way__are_the_new_ones(self):
        optimizer = self.make()
        for seed in range(3):
            self.step(optimizer, seed)
            wanted = plain(seed + 1, self.once)
            x, named = torch.ones(2, self.model[0].in_features), dict(self.model.named_parameters())
            torch.testing.assert_close(torch.func.functional_call(self.model, named, (x,)), wanted(x))
            torch.testing.assert_close(self.model[2].weight.norm(), wanted[2].weight.norm())
            torch.testing.assert_close(copy.deepcopy(self.model.state_dict())["4.bias"], wanted[4].bias.detach())

    def test_other_weights__loaded_after_the_optimizer_was_made__are_refused(self):
        for wait in ("step", "forward", "layer"):
            for steps in (0, 1, 3):
                for assign in (False, True):
                    with self.subTest(wait=wait, steps=steps, assign=assign):
                        self.setUp()
                        optimizer = self.make(wait=wait)
                        self.train(optimizer, steps, self.once)
                        self.model.load_state_dict(model_of(seed=9).state_dict(), assign=assign)
                        says = "'0.weight' of the model is another one now" if assign else "has been written to"
                        with self.assertRaisesRegex(RuntimeError, says):
                            self.step(optimizer)

    def test_weights__loaded_while_theirs_are_under_way__are_refused(self):
        optimizer = self.make(wait="forward")
        self.train(optimizer, 2, self.once)
        self.step(optimizer)
        self.assertTrue(self.client.under_way)
        self.model.load_state_dict(model_of(seed=9).state_dict())
        with self.assertRaisesRegex(RuntimeError, "has been written to"):
            self.step(optimizer)

    def test_weights__written_in_place_or_by_data__are_refused(self):
        def by_data(p):
            p.data.clamp_(-0.01, 0.01)

        def in_place(p):
            with torch.no_grad():
                p[0, 0] = 7.0
        for write in (by_data, in_place):
            for overlap in (None, False):
                with self.subTest(write=write.__name__, overlap=overlap):
                    self.setUp()
                    optimizer = self.make(overlap=overlap)
                    self.train(optimizer, 2, self.once)
                    write(self.model[0].weight)
                    with self.assertRaisesRegex(RuntimeError, WRITTEN):
                        self.step(optimizer)

    def test_weights__written_between_backward_and_step__are_refused(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.once(self.model, 2)
        self.model[2].weight.data.zero_()
        with self.assertRaisesRegex(RuntimeError, "'2.weight' has been written to"):
            optimizer.step()

    def test_a_single_element__written_by_data__is_noticed_with_check(self):
        optimizer = self.make(check=True)
        self.train(optimizer, 2, self.once)
        self.model[0].weight.data[17, 23] = 3.0
        with self.assertRaisesRegex(RuntimeError, WRITTEN):
            self.step(optimizer)

    def test_half_precision_weights__that_were_loaded__are_refused(self):
        self.model = model_of().bfloat16()
        optimizer = stepd.torch.Optimizer(self.model, lr=LR, client=self.client)
        for loaded in (False, True):
            for p in self.model.parameters():
                p.grad = torch.ones_like(p)
            if not loaded:
                optimizer.step()
                self.model.load_state_dict(model_of(seed=9).state_dict())
        with self.assertRaisesRegex(RuntimeError, "has been written to"):
            optimizer.step()

    def test_refresh__takes_the_servers_weights(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.model.load_state_dict(model_of(seed=9).state_dict())
        optimizer.refresh()
        self.same(plain(2, self.once))
        self.step(optimizer, 2)
        self.same(plain(3, self.once))

    def test_averages__swapped_in_and_out_again__are_no_change(self):
        for mode in ("sync", "async"):
            with self.subTest(mode):
                self.setUp()
                optimizer = self.make(mode=mode)
                self.train(optimizer, 2, self.once)
                kept = copy.deepcopy(self.model.state_dict())
                self.model.load_state_dict(model_of(seed=9).state_dict())
                self.model.load_state_dict(kept)
                self.step(optimizer, 2)
                self.same(plain(3, self.once))

    def test_the_servers_own_weights__may_be_loaded(self):
        optimizer = self.make()
        self.model.load_state_dict(copy.deepcopy(self.model.state_dict()))
        self.train(optimizer, 3, self.once)
        self.same(plain(3, self.once))


class Gradients(Case):
    def changed(self, model, step):
        loss_of(model, step).backward()
        halves(model)

    def test_gradients__changed_by_data_from_the_first_step__are_torchs(self):
        self.train(self.make(), 4, self.changed)
        self.same(plain(4, self.changed))

    def test_gradients__changed_by_data_after_they_were_sent__are_noticed(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        optimizer.zero_grad()
        self.changed(self.model, 2)
        with self.assertRaisesRegex(RuntimeError, "changed after it had been sent.*overlap=False"):
            optimizer.step()

    def test_a_single_element__changed_by_data__is_noticed_with_check(self):
        optimizer = self.make(check=True)
        self.train(optimizer, 2, self.once)
        optimizer.zero_grad()
        self.once(self.model, 2)
        self.model[0].weight.grad.data[17, 23] = 3.0
        with self.assertRaisesRegex(RuntimeError, "'0.weight' was changed after it had been sent"):
            optimizer.step()


class Requires(Case):
    def test_a_parameter__that_is_to_be_trained_later__is_refused_with_the_way(self):
        self.model[0].requires_grad_(False)
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.model[0].requires_grad_(True)
        with self.assertRaisesRegex(RuntimeError, "'0.weight' requires a gradient now.*frozen.*lr=0"):
            self.train(optimizer, 1, self.once)

    def test_a_parameter__that_is_frozen_later__is_warned_of_once(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.model[0].weight.requires_grad_(False)
        with self.assertWarnsRegex(RuntimeWarning, "'0.weight' requires no gradient any more") as caught:
            self.train(optimizer, 1, self.once)
        self.assertTrue(caught.filename.endswith("case.py"), caught.filename)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.train(optimizer, 1, self.once)

    def test_a_translated_optimizer__of_the_head_alone__leaves_the_rest(self):
        theirs = torch.optim.SGD(self.model[4].parameters(), lr=LR)
        before = self.model[0].weight.detach().clone()
        optimizer = stepd.torch.Optimizer(self.model, stepd.torch.from_torch(theirs), client=self.client)
        self.train(optimizer, 3, self.once)
        self.assertTrue(torch.equal(before, self.model[0].weight))


class Names(unittest.TestCase):
    def names(self, params, **options):
        client = Client(LR)
        stepd.torch.Optimizer(params, lr=LR, client=client, **options)
        return set(client.weights)

    def test_names__of_wrapped_models__are_the_plain_ones(self):
        def model():
            return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
        wanted = self.names(model())
        self.assertIn("buffers/1.running_mean", wanted)
        compiled = model()
        compiled[0] = torch.compile(compiled[0], backend="eager")
        whole = torch.compile(model(), backend="eager")
        for wrapped in (compiled, whole, torch.nn.DataParallel(model()), torch.nn.DataParallel(whole),
                        torch.compile(torch.nn.DataParallel(model()), backend="eager")):
            self.assertEqual(self.names(wrapped), wanted)
            self.assertEqual(self.names(wrapped.named_parameters(), model=wrapped), wanted)

    def test_names__of_a_models_own_part_called_module__stay(self):
        model = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 2)})
        self.assertEqual(self.names(model), {"module.weight", "module.bias"})

    def test_a_compiled_model__trains_as_the_plain_one(self):
        for wait in ("step", "forward"):
            client, model = Client(LR), model_of()
            compiled = torch.compile(model, backend="aot_eager")
            optimizer = stepd.torch.Optimizer(compiled, "sgd", lr=LR, client=client, wait=wait)
            for seed in range(3):
                optimizer.zero_grad()
                loss_of(compiled, seed).backward()
                optimizer.step()
            optimizer.wait()
            other = plain(3, lambda model, seed: loss_of(model, seed).backward())
            for ours, theirs in zip(model.parameters(), other.parameters()):
                torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


if __name__ == "__main__":
    sys.exit(unittest.main())
