#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd.torch.Optimizer on a client without a server: what leaves when, what is waited for where, and
what is refused.

usage: optimizer_unit.py BIN
"""
import copy
import io
import sys
import unittest
import warnings

import torch_here  # noqa: F401
import torch
from torch.optim import lr_scheduler as lrs

import stepd
import stepd.torch
from case import Case, plain
from fake import Client
from problem import BIG, LR, batch, loss_of, model_of


class Trains(Case):
    def test_weights__of_a_plain_loop__are_torchs(self):
        for params in (None, list(self.model.named_parameters())):
            with self.subTest("the model" if params is None else "named parameters"):
                self.setUp()
                self.train(self.make(None if params is None else self.model.named_parameters()), 5, self.once)
                self.same(plain(5, self.once))

    def test_gradients__after_two_steps__leave_while_backward_goes_on(self):
        self.train(self.make(), 3, self.once)
        small = ("0.bias", "2.bias", "4.weight", "4.bias")
        *first, _, _, _ = self.client.sent()
        self.assertEqual([set(names) for names in first], [{"0.weight", "2.weight", *small}] * 2)
        self.assertEqual(self.client.sent()[2:], [("2.weight",), ("0.weight",), small])  # backward's order

    def test_gradients__where_forward_waits__leave_in_forwards_order(self):
        self.train(self.make(wait="forward"), 1, self.once)
        small = ("0.bias", "2.bias", "4.weight", "4.bias")
        self.assertEqual(self.client.sent(), [("0.weight",), small, ("2.weight",)])

    def test_an_optimizer_of_pytorch__is_refused_with_the_way_in(self):
        for theirs in (torch.optim.SGD(self.model.parameters(), lr=LR), torch.optim.SGD):
            with self.assertRaisesRegex(TypeError, "from_torch"):
                stepd.torch.Optimizer(self.model, theirs, client=self.client)

    def test_weights__with_wait_forward__are_waited_for_where_its_forward_begins(self):
        optimizer = self.make(wait="forward")
        self.train(optimizer, 2, self.once)
        optimizer.zero_grad()
        self.once(self.model, 2)
        optimizer.step()
        self.assertTrue(self.client.under_way)
        at_first = []
        self.model[0].register_forward_pre_hook(lambda *_: at_first.append(len(self.client.under_way)))
        self.model(batch(0)[0])
        self.assertEqual(at_first, [0])  # also for who reads another module's parameter

    def test_weights__by_layer__are_waited_for_by_the_modules_that_need_them(self):
        optimizer = self.make(wait="layer")
        self.train(optimizer, 2, self.once)
        self.client.log.clear()
        optimizer.zero_grad()
        self.once(self.model, 2)
        optimizer.step()
        self.assertNotIn("done", [what for what, _ in self.client.log])
        self.model[0](batch(0)[0])
        done = {names for what, names in self.client.log if what == "done"}
        self.assertEqual(len(done), 2)  # its weight, and the small ones with its bias
        self.assertNotIn(("2.weight",), done)

    def test_weights__when_the_model_is_saved__are_waited_for(self):
        optimizer = self.make(wait="forward")
        self.train(optimizer, 2, self.once)
        optimizer.zero_grad()
        self.once(self.model, 2)
        optimizer.step()
        self.assertTrue(self.client.under_way)
        self.model.state_dict()
        self.assertFalse(self.client.under_way)

    def test_weights__are_there_when_step_returns__and_change_in_it_alone(self):
        for by_name in (False, True):
            self.setUp()
            optimizer = self.make(self.model.named_parameters() if by_name else None)
            for step in range(4):
                before = [p.detach().clone() for p in self.model.parameters()]
                optimizer.zero_grad()
                self.once(self.model, step)
                for sent in list(self.client.under_way):  # the answer may come at any time
                    self.client.futures[sent].result()
                self.assertEqual(step > 1, bool(self.client.futures))
                self.client.futures.clear()
                for p, old in zip(self.model.parameters(), before):
                    self.assertTrue(torch.equal(p, old))
                optimizer.step()
                self.client.futures.clear()
                self.assertFalse(self.client.under_way)
                for name, p in self.model.named_parameters():
                    self.assertTrue(torch.equal(p, torch.from_numpy(self.client.weights[name])))

    def test_accumulated_gradients__leave_once_with_their_sum(self):
        def twice(model, step):
            loss_of(model, step).backward()
            loss_of(model, 100 + step).backward()
        self.train(self.make(), 4, twice)
        self.same(plain(4, twice))
        self.assertEqual(len(self.client.sent()), 2 + 2 * 3)
        self.assertEqual(self.client.sent()[2], ("2.weight",))  # in the second backward, not the first

    def test_a_last_step_of_fewer_passes__sends_what_there_is(self):
        def fewer(model, step):
            for k in range(3 if step < 3 else 1):
                loss_of(model, 10 * k + step).backward()
        self.train(self.make(), 4, fewer)
        self.same(plain(4, fewer))

    def test_a_pass_too_many__is_refused_before_it_spoils_what_is_being_sent(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.once(self.model, 2)
        sent = self.model[2].weight.grad.clone()
        with self.assertRaisesRegex(RuntimeError, "another gradient of '2.weight'.*overlap=False"):
            self.once(self.model, 3)
        torch.testing.assert_close(self.model[2].weight.grad, sent)

    def test_passes_for_another_models_optimizer__make_all_leave_in_step(self):
        def adversarial(model, optimizer):
            torch.manual_seed(8)
            other = torch.nn.Linear(BIG, BIG)
            others = torch.optim.SGD(other.parameters(), lr=LR)
            for step in range(4):
                optimizer.zero_grad()
                loss_of(model, step).backward()
                optimizer.step()
                others.zero_grad()
                model(other(batch(step)[0])).mean().backward()  # which brings the model gradients as well
                others.step()
        optimizer = self.make()
        adversarial(self.model, optimizer)
        other = model_of()
        adversarial(other, torch.optim.SGD(other.parameters(), lr=LR))
        self.same(other)

    def test_clipping__from_the_first_step__makes_all_leave_in_step(self):
        def clip(model):
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)

        def clipped(model, step):
            loss_of(model, step).backward()
            clip(model)
        self.train(self.make(), 4, clipped)
        self.same(plain(4, clipped))
        self.assertEqual(len(self.client.sent()), 4)

    def test_clipping__that_comes_later__names_the_servers(self):
        optimizer = self.make()
        self.train(optimizer, 2, self.once)
        self.once(self.model, 2)
        torch.nn.utils.clip_grad_value_(self.model.parameters(), 1e-3)
        with self.assertRaisesRegex(RuntimeError, "changed after it had been sent.*clip_global_norm"):
            optimizer.step()

    def test_closures__are_called_once_and_give_their_value(self):
        optimizer = self.make()
        calls = []

        def closure():
            optimizer.zero_grad()
            loss = loss_of(self.model, len(calls))
            loss.backward()
            calls.append(loss.item())
            return loss
        values = [optimizer.step(closure).item() for _ in range(3)]
        optimizer.wait()
        self.assertEqual(values, calls)
        self.same(plain(3, self.once))

    def test_step_hooks__run_around_the_step(self):
        optimizer, seen = self.make(), []
        optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
        optimizer.register_step_post_hook(lambda *_: seen.append("after"))
        self.once(self.model, 0)
        optimizer.step()
        self.assertEqual(seen, ["before", "after"])

    def test_zeroed_gradients__are_not_zeroed_while_they_are_being_sent(self):
        optimizer = self.make()
        for step in range(3):
            optimizer.zero_grad(set_to_none=False)
            self.once(self.model, step)
            optimizer.step()
        optimizer.wait()
        self.same(plain(3, self.once))

    def test_weights_that_are_read_outside_of_forward__are_noticed(self):
        optimizer = self.make(wait="forward")
        self.train(optimizer, 2, self.once)
        self.once(self.model, 2)
        optimizer.step()
        with self.assertRaisesRegex(RuntimeError, "used before its weights had arrived.*wait="):
            self.model[2].weight.sum().backward()

    def test_weights_that_other_modules_use__are_waited_for_before_any(self):
        class Tied(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.head = torch.nn.Linear(BIG, BIG), torch.nn.Linear(BIG, BIG)

            def forward(self, x):
                return torch.nn.functional.linear(self.body(x), self.head.weight, self.head.bias)
        torch.manual_seed(3)
        self.model = Tied()
        other = copy.deepcopy(self.model)
        theirs = torch.optim.SGD(other.parameters(), lr=LR)
        optimizer = self.make()
        for step in range(5):
            for model, each in ((self.model, optimizer), (other, theirs)):
                each.zero_grad()
                loss_of(model, step).backward()
                each.step()
        optimizer.wait()
        self.same(other)

    def test_scaled_gradients__carry_their_scale_and_infinite_ones_are_left_out(self):
        optimizer = self.make()
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for step in range(3):
            optimizer.zero_grad()
            loss = loss_of(self.model, step) * (float("inf") if step == 1 else 1.0)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        optimizer.wait()
        scales = {(options["loss_scale"], options["examples"]) for options in self.client.options}
        self.assertEqual(scales, {(1024.0, 1), (1024.0, 0), (512.0, 1)})
        model = model_of()
        theirs = torch.optim.SGD(model.parameters(), lr=LR)
        for step in (0, 2):
            theirs.zero_grad()
            self.once(model, step)
            theirs.step()
        self.same(model)

    def test_unscaled_and_clipped_gradients__are_torchs(self):
        def run(model, optimizer):
            scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
            for step in range(3):
                optimizer.zero_grad()
                scaler.scale(loss_of(model, step)).backward()
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
                scaler.step(optimizer)
                scaler.update()
        optimizer = self.make()
        run(self.model, optimizer)
        optimizer.wait()
        other = model_of()
        run(other, torch.optim.SGD(other.parameters(), lr=LR))
        self.same(other)

    def test_examples__said_before_backward__weigh_the_gradients(self):
        optimizer = self.make()
        for step in range(3):
            optimizer.examples = 4 + step
            self.once(self.model, step)
            optimizer.step()
        self.assertEqual([options["examples"] for options in self.client.options], [4, 5] + [6] * 3)
        self.once(self.model, 3)
        with self.assertRaisesRegex(RuntimeError, "those of 6 examples, and step.. says 7"):
            optimizer.step(examples=7)

    def test_no_gradient__is_presence_without_a_contribution(self):
        optimizer = self.make()
        before = copy.deepcopy(self.model)
        optimizer.step()
        optimizer.wait()
        self.assertEqual({options["examples"] for options in self.client.options}, {0})
        self.same(before)

    def test_loss__where_a_schedule_goes_by_it__travels_with_every_gradient(self):
        optimizer = self.make(schedule=stepd.Schedule("plateau", patience=3))
        for step in range(2):
            self.once(self.model, step)
            optimizer.step(loss=torch.tensor(0.5 + step))
        self.assertEqual([options["loss"] for options in self.client.options], [0.5, 1.5])
        self.assertEqual(self.client.reports, [])

    def test_loss__elsewhere__is_reported(self):
        optimizer = self.make()
        for step in range(3):
            self.once(self.model, step)
            optimizer.step(loss=2.5)
        self.assertEqual(self.client.reports, [(3, 2.5, 1)])


class Settings(unittest.TestCase):
    def setUp(self):
        self.client, self.model = Client(LR), model_of()
        self.optimizer = stepd.torch.Optimizer(self.model, lr=LR, client=self.client)

    def step(self):
        loss_of(self.model, 0).backward()
        self.optimizer.step()

    def test_a_scheduler_of_torch__is_refused_with_its_remedy(self):
        lrs.StepLR(self.optimizer, 1)
        with self.assertRaisesRegex(RuntimeError, "scheduler of PyTorch.*from_torch"):
            self.step()

    def test_a_changed_rate__is_refused_with_its_remedy(self):
        self.step()
        self.optimizer.param_groups[0]["lr"] = 0.05
        with self.assertRaisesRegex(RuntimeError, r"\['lr'\] was changed from 0.1 to 0.05.*change\(\)"):
            self.step()

    def test_a_translated_scheduler__that_stays_in_the_loop__is_quiet(self):
        theirs = torch.optim.SGD(self.model.parameters(), lr=LR)
        scheduler = lrs.StepLR(theirs, 1)
        self.optimizer = stepd.torch.Optimizer(self.model, stepd.torch.from_torch(theirs, scheduler),
                                               client=self.client)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(3):
                self.step()
                scheduler.step()

    def test_a_translated_scheduler__that_is_stepped_at_another_cadence__is_noticed(self):
        for every, calls in ((1, True), (3, False)):
            with self.subTest(every=every):
                self.setUp()
                theirs = torch.optim.SGD(self.model.parameters(), lr=LR)
                scheduler = lrs.StepLR(theirs, 1)
                self.optimizer = stepd.torch.Optimizer(
                    self.model, stepd.torch.from_torch(theirs, [scheduler], every=every),
                    client=self.client)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    for _ in range(3):
                        self.step()
                        if calls:
                            scheduler.step()
                    if not calls:
                        scheduler.step()
                    self.step()
                    scheduler.step()
                    scheduler.step()
                    with self.assertRaisesRegex(RuntimeError, f"StepLR has been called.*every={every}"):
                        self.step()

    def test_states__are_saved_and_loaded_by_torch__without_trust(self):
        for optimizer, options in (("adam", {"betas": (0.8, 0.9), "schedule": stepd.Schedule("cosine", t_max=9)}),
                                   ("sgd", {"groups": [stepd.Group(phases=[stepd.Phase(3, "adam")])]})):
            made = stepd.torch.Optimizer(self.model, optimizer, lr=LR, client=Client(LR), **options)
            file = io.BytesIO()
            torch.save(made.state_dict(), file)
            file.seek(0)
            made.load_state_dict(torch.load(file, weights_only=True))

    def test_states__of_torch_or_of_other_settings__are_refused(self):
        theirs = torch.optim.SGD(self.model.parameters(), lr=LR)
        with self.assertRaisesRegex(ValueError, "torch_checkpoint.py"):
            self.optimizer.load_state_dict(theirs.state_dict())
        saved = self.optimizer.state_dict()
        saved["param_groups"][0]["lr"] = 3.0
        with self.assertRaisesRegex(ValueError, "saved with other settings"):
            self.optimizer.load_state_dict(saved)

    def test_copies_and_new_groups__are_refused(self):
        with self.assertRaisesRegex(TypeError, "cannot be pickled or copied"):
            copy.deepcopy(self.optimizer)
        with self.assertRaisesRegex(RuntimeError, "defined once"):
            self.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})

    def test_a_server_that_went_back__gives_its_weights_and_a_warning(self):
        for step in range(3):
            with self.subTest(step=step):
                self.setUp()
                for _ in range(step):
                    self.step()
                self.optimizer.wait()
                loss_of(self.model, 0).backward()
                for array in self.client.weights.values():
                    array[...] = 0.125
                self.client.fail = stepd.RolledBack("restored at version 5")
                with self.assertWarnsRegex(RuntimeWarning, "went back.*training goes on") as caught:
                    self.optimizer.step()
                self.assertEqual(caught.filename, __file__)
                self.assertTrue(all(bool((p == 0.125).all()) for p in self.model.parameters()))
                self.optimizer.zero_grad()
                self.step()
                self.optimizer.wait()

    def test_a_server_that_went_back__in_the_middle_of_forward__is_dealt_with_in_step(self):
        for _ in range(3):
            self.step()
        for array in self.client.weights.values():
            array[...] = 0.125
        self.client.fail = stepd.RolledBack("restored at version 5")
        with self.assertWarnsRegex(RuntimeWarning, "went back.*training goes on") as caught:
            self.step()
        self.assertTrue(all(bool((p == 0.125).all()) for p in self.model.parameters()))
        self.optimizer.zero_grad()
        self.step()
        self.optimizer.wait()
        self.assertFalse(bool((self.model[4].weight == 0.125).all()))


if __name__ == "__main__":
    sys.exit(unittest.main())
