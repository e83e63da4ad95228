#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Arguments of stepd.torch that cannot be meant are refused where they are given, by a text that names
them and says what to give. On a client without a server.

usage: arguments_unit.py BIN
"""
import sys
import unittest

import torch_here  # noqa: F401
import torch
from torch.optim import lr_scheduler as lrs

import stepd
import stepd.torch
from fake import Client
from problem import LR, loss_of, model_of


class Arguments(unittest.TestCase):
    def setUp(self):
        self.client, self.model = Client(LR), model_of()

    def make(self, *args, **options):
        return stepd.torch.Optimizer(*(args or (self.model,)), **{"client": self.client, "lr": LR, **options})

    def refused(self, kind, says, *args, **options):
        with self.subTest(says), self.assertRaisesRegex(kind, says):
            self.make(*args, **options)
        self.assertIsNone(self.client.definition, "a server was asked")

    def test_what_is_optimized__is_a_model_or_has_names(self):
        self.refused(TypeError, "params is None: give the model itself", None)
        self.refused(TypeError, "params is int: give the model", 3)
        self.refused(ValueError, "no parameters are given", [])
        self.refused(TypeError, "a param group is a dict with 'params', and not {'lr': 3}", [
            {"params": self.model.named_parameters()}, {"lr": 3}])
        self.refused(TypeError, "model is a torch.nn.Module, and not str", self.model.named_parameters(),
                     model="model")

    def test_optimizers__are_names_or_translated(self):
        self.refused(TypeError, "one of PyTorch.*from_torch", self.model, torch.optim.SGD)
        self.refused(TypeError, "the name of one of stepd's.*and not int", self.model, 5)
        self.refused(TypeError, "the name of one of stepd's.*and not type", self.model, stepd.Group)

    def test_schedules__are_stepds(self):
        theirs = torch.optim.SGD(self.model.parameters(), lr=LR)
        for schedule in (lrs.StepLR, lrs.ReduceLROnPlateau, lrs.StepLR(theirs, 3)):
            self.refused(TypeError, "schedule is a scheduler of PyTorch.*from_torch.*stepd.Schedule", schedule=schedule)
        self.refused(TypeError, "schedule is a stepd.Schedule, or a schedule's name, and not function",
                     schedule=lambda step: 1.0)
        self.refused(TypeError, "schedule is a stepd.Schedule, or a schedule's name, and not ABCMeta|type",
                     schedule=stepd.Schedule.__class__)
        self.make(schedule="constant")

    def test_a_schedule_of_a_param_group__is_stepds_too(self):
        self.refused(TypeError, "schedule is a scheduler of PyTorch", [
            {"params": self.model.named_parameters(), "schedule": lrs.StepLR}])

    def test_numbers__are_finite_and_numbers(self):
        self.refused(ValueError, "lr is nan", lr=float("nan"))
        self.refused(ValueError, "lr is inf", lr=torch.tensor(float("inf")))
        self.refused(TypeError, "lr is a number, and not '0.1'", lr="0.1")
        self.refused(TypeError, "lr is a number, and not True", lr=True)
        self.refused(TypeError, "lr is a tensor of shape .2,., and stepd takes a number", lr=torch.ones(2))
        self.refused(ValueError, "weight_decay is nan", weight_decay=float("nan"))
        self.refused(ValueError, r"betas\[1\] is nan", betas=(0.9, float("nan")))
        self.refused(TypeError, "momentum is a number, a word or a list of numbers, and not object", momentum=object())
        self.refused(ValueError, "lr is nan", [{"params": self.model.named_parameters(), "lr": float("nan")}])

    def test_a_rate__in_a_tensor_with_one_element__is_a_number(self):
        self.make(lr=torch.tensor(0.25), betas=(torch.tensor([0.5]), 0.9))
        group, = self.client.definition["groups"]
        self.assertEqual(group.params, {"lr": 0.25, "betas": [0.5, 0.9]})

    def test_words__are_among_the_known(self):
        self.refused(ValueError, "wait is 'step', 'forward' or 'layer', and not 'never'", wait="never")
        self.refused(ValueError, "on_rollback is 'continue' or 'raise', and not 'stop'", on_rollback="stop")
        self.refused(ValueError, "wait='forward' waits in the model's forward, and the model is not given",
                     self.model.named_parameters(), wait="forward")

    def test_local_steps__are_checked_as_well(self):
        inner = torch.optim.SGD(self.model.parameters(), lr=LR)
        for kind, says, args, options in (
                (TypeError, "model is a torch.nn.Module, and not NoneType", (None, inner, 3), {}),
                (TypeError, "inner is an optimizer of torch.optim, and not NoneType", (self.model, None, 3), {}),
                (ValueError, "sync_every is a whole number from 1 on, and not 0", (self.model, inner, 0), {}),
                (ValueError, "sync_every is a whole number from 1 on, and not '3'", (self.model, inner, "3"), {}),
                (TypeError, "schedule is a scheduler of PyTorch", (self.model, inner, 3), {"schedule": lrs.StepLR}),
                (TypeError, "optimizer is one of PyTorch", (self.model, inner, 3, torch.optim.SGD), {}),
                (ValueError, "lr is nan", (self.model, inner, 3), {"lr": float("nan")})):
            with self.subTest(says), self.assertRaisesRegex(kind, says):
                stepd.torch.LocalSteps(*args, client=self.client, **options)

    def test_classes_of_schedulers__handed_to_from_torch__are_refused(self):
        theirs = torch.optim.SGD(self.model.parameters(), lr=LR)
        for schedulers in (lrs.StepLR, [lrs.StepLR]):
            with self.assertRaisesRegex(TypeError, "StepLR is a class: hand in what StepLR.optimizer, .... returned"):
                stepd.torch.from_torch(theirs, schedulers)
        with self.assertRaisesRegex(TypeError, "schedulers are of torch.optim.lr_scheduler, and 3 is none"):
            stepd.torch.from_torch(theirs, 3)


class Steps(unittest.TestCase):
    def setUp(self):
        self.client, self.model = Client(LR), model_of()
        self.optimizer = stepd.torch.Optimizer(self.model, lr=LR, client=self.client)

    def test_states__that_are_none__are_refused(self):
        for state in ({}, {"step": 3}):
            with self.assertRaisesRegex(ValueError, "no state of an optimizer.*state_dict"):
                self.optimizer.load_state_dict(state)

    def test_examples_and_losses__are_numbers(self):
        for kind, says, options in (
                (ValueError, "examples is a whole number from 0 on, and not -1", {"examples": -1}),
                (ValueError, "examples is a whole number from 0 on, and not 2.5", {"examples": 2.5}),
                (ValueError, r"loss is one number.*shape \(2,\)", {"loss": torch.ones(2)}),
                (TypeError, "loss is a number, and not dict", {"loss": {}})):
            with self.subTest(says), self.assertRaisesRegex(kind, says):
                self.optimizer.step(**options)
        with self.assertRaisesRegex(ValueError, "examples is a whole number from 0 on, and not 'x'"):
            self.optimizer.examples = "x"
        self.assertEqual(self.client.sent(), [])

    def test_a_step__after_the_end__says_so(self):
        self.optimizer.close()
        with self.assertRaisesRegex(RuntimeError, "this optimizer is closed.*make another one"):
            self.optimizer.step()

    def test_a_scale_of_nothing__is_refused(self):
        for scale in (0.0, float("inf"), float("nan")):
            self.optimizer.grad_scale = torch.tensor(scale)
            loss_of(self.model, 0).backward()
            with self.assertRaisesRegex(ValueError, f"the loss was scaled by {scale}"):
                self.optimizer.step()

    def test_a_loss_that_is_needed__is_asked_for(self):
        for what, options in (("schedule 'plateau'", {"schedule": stepd.Schedule("plateau", patience=3)}),
                              ("line search 'backtracking' of lbfgs",
                               {"optimizer": "lbfgs", "line_search": "backtracking"})):
            optimizer = stepd.torch.Optimizer(self.model, lr=LR, client=Client(LR), **options)
            loss_of(self.model, 0).backward()
            with self.assertRaisesRegex(ValueError, rf"{what} goes by the loss.*optimizer.step\(loss=loss\)"):
                optimizer.step()
            optimizer.step(loss=1.0)
            with self.assertRaisesRegex(ValueError, f"overlap=True: {what}"):
                stepd.torch.Optimizer(self.model, lr=LR, client=Client(LR), overlap=True, **options)


if __name__ == "__main__":
    sys.exit(unittest.main())
