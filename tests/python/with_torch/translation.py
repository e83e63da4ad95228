#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd.torch.from_torch: what PyTorch's optimizers and schedulers are in stepd's words, and what is
refused. Each schedule is held against PyTorch itself: the rates that `stepctl schedule` prints of the
translation must be those that the scheduler gives step by step.

usage: translation.py BIN      BIN holds stepctl
"""
import json
import pathlib
import subprocess
import sys
import unittest
import warnings

from torch_here import need_stepd
import torch
from torch.optim import lr_scheduler as lrs

import stepd
from stepd.torch import from_torch
from stepd.torch.grouping import patterns

STEPCTL = pathlib.Path(need_stepd.BIN) / "stepctl"
RATES = (0.3, 0.02)  # of the two param groups
STEPS = 120
CLOSE = 1e-12  # of torch's chained roundings over STEPS steps

warnings.filterwarnings("ignore", category=UserWarning)


def optimizer(kind=torch.optim.SGD, rates=RATES, **settings):
    return kind([{"params": [torch.nn.Parameter(torch.zeros(2, 2))], "lr": lr} for lr in rates],
                **settings)


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(repr(each) for each in value) if isinstance(value, list) else str(value)


def words(schedule):
    """A schedule as stepctl's flags take it."""
    yield from ("--kind", schedule.kind)
    for name, value in schedule.params.items():
        yield from ("--param", f"{name}={text(value)}")
    for part in schedule.items:
        params = ",".join(f"{name}={text(value)}" for name, value in part.params.items())
        yield from ("--part", f"{part.kind}:{params}" if params else part.kind)


def rates_of(schedule, lr, steps=STEPS, losses=()):
    """[(lr, momentum or None)] that the server will use."""
    command = [STEPCTL, "schedule", *words(schedule), "--lr", repr(lr), "--steps", str(steps), "--json",
               *(("--losses", "-") if losses else ())]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          input="\n".join(map(repr, losses)))
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}")
    return [(row["lr"], row.get("momentum")) for row in json.loads(done.stdout)]


class Schedules(unittest.TestCase):
    def compare(self, make, every=1, steps=STEPS, kind=torch.optim.SGD, losses=(), **settings):
        """make: optimizer -> its schedulers."""
        ours = optimizer(kind, **settings)
        translated = from_torch(ours, make(ours), every=every,
                                plateau="training_loss" if losses else None)
        theirs = optimizer(kind, **settings)
        schedulers = make(theirs)
        got = [rates_of(group.schedule, group.settings["lr"], steps, losses)
               for group in translated.groups]
        for step in range(steps):
            for number, group in enumerate(theirs.param_groups):
                lr, momentum = got[number][step]
                self.assertAlmostEqual(lr, float(group["lr"]), delta=CLOSE * max(RATES),
                                       msg=f"step {step}, group {number}")
                if momentum is not None:
                    now = group["betas"][0] if "betas" in group else group["momentum"]
                    self.assertAlmostEqual(momentum, now, delta=CLOSE, msg=f"step {step}")
            if step + 1 == steps:
                break
            theirs.step()
            if losses:
                schedulers[0].step(losses[step])
            elif (step + 1) % every == 0:
                for scheduler in schedulers:
                    scheduler.step()

    def test_rates__of_each_class__are_torchs(self):
        for name, make in {
            "ConstantLR": lambda o: [lrs.ConstantLR(o, 0.25, 17)],
            "LinearLR": lambda o: [lrs.LinearLR(o, 0.1, 0.8, 23)],
            "PolynomialLR": lambda o: [lrs.PolynomialLR(o, 60, 1.7)],
            "ExponentialLR": lambda o: [lrs.ExponentialLR(o, 0.97)],
            "StepLR": lambda o: [lrs.StepLR(o, 11, 0.5)],
            "MultiStepLR": lambda o: [lrs.MultiStepLR(o, [40, 5, 40], 0.4)],
            "MultiStepLR without any": lambda o: [lrs.MultiStepLR(o, [], 0.4)],
            "CosineAnnealingLR": lambda o: [lrs.CosineAnnealingLR(o, 33, 0.001)],
            "CosineAnnealingWarmRestarts": lambda o: [lrs.CosineAnnealingWarmRestarts(o, 9, 2, 0.001)],
            "SequentialLR": lambda o: [lrs.SequentialLR(
                o, [lrs.LinearLR(o, 0.1, 1.0, 10), lrs.CosineAnnealingLR(o, 90)], [10])],
            "ChainedScheduler": lambda o: [lrs.ChainedScheduler(
                [lrs.LinearLR(o, 0.1, 1.0, 10), lrs.ExponentialLR(o, 0.98)])],
            "two side by side": lambda o: [lrs.LinearLR(o, 0.1, 1.0, 10), lrs.StepLR(o, 50)],
        }.items():
            with self.subTest(name):
                self.compare(make)

    def test_rates__stepped_once_an_epoch__are_torchs(self):
        for name, make in {
            "ConstantLR": lambda o: [lrs.ConstantLR(o, 0.25, 3)],
            "LinearLR": lambda o: [lrs.LinearLR(o, 0.1, 0.8, 6)],
            "PolynomialLR": lambda o: [lrs.PolynomialLR(o, 12, 2.0)],
            "ExponentialLR": lambda o: [lrs.ExponentialLR(o, 0.8)],
            "StepLR": lambda o: [lrs.StepLR(o, 3, 0.5)],
            "MultiStepLR": lambda o: [lrs.MultiStepLR(o, [2, 9], 0.4)],
            "CosineAnnealingLR": lambda o: [lrs.CosineAnnealingLR(o, 8, 0.001)],
            "CosineAnnealingWarmRestarts": lambda o: [lrs.CosineAnnealingWarmRestarts(o, 2, 2, 0.001)],
            "SequentialLR": lambda o: [lrs.SequentialLR(
                o, [lrs.LinearLR(o, 0.1, 1.0, 3), lrs.CosineAnnealingLR(o, 12)], [3])],
        }.items():
            with self.subTest(name):
                self.compare(make, every=7)

    def test_rates_and_momenta__of_cycles__are_torchs(self):
        for name, make in {
            "OneCycleLR": lambda o: [lrs.OneCycleLR(o, [0.5, 0.1], total_steps=STEPS)],
            "OneCycleLR, three phases": lambda o: [lrs.OneCycleLR(
                o, 0.5, epochs=4, steps_per_epoch=STEPS // 4, pct_start=0.4, anneal_strategy="linear",
                div_factor=7.0, final_div_factor=300.0, three_phase=True)],
            "CyclicLR": lambda o: [lrs.CyclicLR(o, [0.01, 0.02], 0.3, 13, 9, mode="triangular2")],
            "CyclicLR, exp_range": lambda o: [lrs.CyclicLR(o, 0.01, 0.3, 7, mode="exp_range", gamma=0.99)],
        }.items():
            for kind, settings in ((torch.optim.SGD, {"momentum": 0.5}), (torch.optim.Adam, {})):
                with self.subTest(f"{name} of {kind.__name__}"):
                    self.compare(make, kind=kind, **settings)

    def test_plateau__of_training_losses__is_torchs(self):
        losses = [1.0 + (step % 7) / 10 - step / 1000 for step in range(STEPS)]
        self.compare(lambda o: [lrs.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1,
                                                      min_lr=[0.01, 0.002])], losses=losses)

    def test_one_cycle__without_momentum__makes_it_momentum_as_torch_does(self):
        ours = optimizer()
        translated = from_torch(ours, [lrs.OneCycleLR(ours, 0.5, total_steps=10)])
        self.assertEqual({group.optimizer for group in translated.groups}, {"momentum"})


class Optimizers(unittest.TestCase):
    def translated(self, kind, **settings):
        group, _ = from_torch(optimizer(kind, **settings)).groups
        return group.optimizer, {k: v for k, v in group.settings.items() if k != "lr"}

    def test_classes__and_their_forms__have_stepds_names_and_settings(self):
        adam = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
        for (kind, given), wanted in (
            ((torch.optim.SGD, {}), ("sgd", {"weight_decay": 0.0})),
            ((torch.optim.SGD, {"momentum": 0.9}),
             ("momentum", {"momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0})),
            ((torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "maximize": True}),
             ("nesterov", {"momentum": 0.9, "weight_decay": 0.0, "maximize": True})),
            ((torch.optim.Adam, {}), ("adam", adam)),
            ((torch.optim.Adam, {"decoupled_weight_decay": True}), ("adamw", adam)),
            ((torch.optim.AdamW, {}), ("adamw", {**adam, "weight_decay": 0.01})),
            ((torch.optim.RAdam, {"decoupled_weight_decay": True}),
             ("radam", {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0,
                        "decay": "decoupled_lr"})),
            ((torch.optim.Adafactor, {}),
             ("adafactor", {"beta2_decay": -0.8, "eps": [0.0, 1e-3], "d": 1.0, "weight_decay": 0.0})),
            ((torch.optim.Muon, {}),
             ("muon", {"weight_decay": 0.1, "momentum": 0.95, "nesterov": True,
                       "ns_coefficients": [3.4445, -4.775, 2.0315], "eps": 1e-7, "ns_steps": 5.0})),
        ):
            with self.subTest(kind.__name__, **given):
                self.assertEqual(self.translated(kind, **given), wanted)

    def test_every_class_of_torch__is_translated_or_refused_with_a_reason(self):
        refused = {"Optimizer", "SparseAdam"}
        known = {name for name in torch.optim.__all__ if isinstance(getattr(torch.optim, name), type)}
        for name in sorted(known - refused - {"LBFGS"}):
            with self.subTest(name):
                self.translated(getattr(torch.optim, name))
        lbfgs = torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(2))], max_iter=1)
        self.assertEqual(from_torch(lbfgs).groups[0].optimizer, "lbfgs")

    def test_base_rate__with_a_scheduler__is_the_one_it_began_with(self):
        ours = optimizer()
        translated = from_torch(ours, lrs.LinearLR(ours, 0.1))
        self.assertEqual([group.settings["lr"] for group in translated.groups], list(RATES))


class Refusals(unittest.TestCase):
    def refused(self, say, make, *schedulers, kind=torch.optim.SGD, every=1, **settings):
        ours = make(kind, **settings) if callable(make) else make
        with self.assertRaisesRegex(ValueError, say):
            from_torch(ours, [scheduler(ours) for scheduler in schedulers], every=every)

    def test_functions__name_the_table_that_stands_for_them(self):
        self.refused("LambdaLR|function.*Schedule", optimizer, lambda o: lrs.LambdaLR(o, lambda t: 1.0))
        self.refused("scale_fn", optimizer, lambda o: lrs.CyclicLR(
            o, 0.1, 0.2, cycle_momentum=False, scale_fn=lambda x: 1.0))

    def test_classes_of_others__name_those_that_are_known(self):
        class Mine(torch.optim.SGD):
            pass

        class Slow(lrs.StepLR):
            pass
        self.refused("Mine is none of PyTorch's.*AdamW", optimizer, kind=Mine)
        self.refused("none of the classes.*StepLR", optimizer, lambda o: Slow(o, 3))
        self.refused("sparse", optimizer, kind=torch.optim.SparseAdam)

    def test_a_training_that_has_begun__names_the_converter(self):
        ours = optimizer(torch.optim.Adam)
        for group in ours.param_groups:
            group["params"][0].grad = torch.ones(2, 2)
        ours.step()
        self.refused("made steps already.*torch_checkpoint", ours)
        ours = optimizer()
        scheduler = lrs.StepLR(ours, 3)
        scheduler.step()
        self.refused("called 1 times already", ours, lambda _: scheduler)

    def test_a_scheduler_that_is_not_handed_in__is_named(self):
        ours = optimizer()
        lrs.StepLR(ours, 3)
        self.refused("a scheduler has set its learning rate; hand it in", ours)
        self.refused("another optimizer", ours, lambda _: lrs.StepLR(optimizer(), 3))

    def test_what_no_function_of_the_step_gives__is_refused(self):
        self.refused("pulls their product", optimizer, lambda o: lrs.ExponentialLR(o, 0.9),
                     lambda o: lrs.CosineAnnealingLR(o, 5, 0.01))
        self.refused("no parts of their own|multiply", optimizer, lambda o: lrs.SequentialLR(
            o, [lrs.ConstantLR(o), lrs.ChainedScheduler([lrs.StepLR(o, 3)])], [3]))
        self.refused("plateau='training_loss'", optimizer, lambda o: lrs.ReduceLROnPlateau(o))
        self.refused("at most 256 numbers", optimizer, lambda o: lrs.CosineAnnealingLR(o, 300), every=10)
        self.refused("stepped after each update", optimizer, lambda o: lrs.OneCycleLR(
            o, 0.1, total_steps=9, cycle_momentum=False), every=10)

    def test_other_steps_than_stepds__are_refused(self):
        self.refused("one iteration", torch.optim.LBFGS([torch.nn.Parameter(torch.zeros(2))]))
        self.refused("no graph leads", optimizer, differentiable=True)
        ours = optimizer()
        ours.param_groups[1]["layer_decay"] = 0.5
        self.refused("has no 'layer_decay'", ours)


class Patterns(unittest.TestCase):
    def check(self, groups, most):
        made = patterns(groups)
        flat = [(pattern, number) for number, found in enumerate(made) for pattern in found]
        for number, group in enumerate(groups):
            for name, ndim in group.items():
                first = next(owner for pattern, owner in flat if pattern.takes(name, ndim))
                self.assertEqual(first, number, f"{name}: {made}")
        self.assertLessEqual(len(flat), most, made)

    def test_patterns__of_groups_of_any_kind__take_what_is_theirs(self):
        layers = [f"layers.{i}" for i in range(40)]
        weights = {f"{layer}.{part}.weight": 2 for layer in layers for part in ("fc1", "fc2")}
        biases = {f"{layer}.{part}.bias": 1 for layer in layers for part in ("fc1", "fc2")}
        norms = {f"{layer}.norm.weight": 1 for layer in layers}
        self.check([weights | biases | norms], 1)
        self.check([weights, biases], 2)
        self.check([weights, norms | biases], 2)  # by their dimensions
        self.check([biases | norms, weights], 2)
        self.check([{"head.weight": 2, "head.bias": 1}, weights | biases], 2)
        self.check([{"a[0].w": 2, "a*": 2}, {"a0.w": 2, "ab": 2}], 3)

    def test_patterns__where_names_are_too_mixed__are_refused(self):
        odd = {f"t{i}": 1 for i in range(1, 600, 2)}
        even = {f"t{i}": 1 for i in range(0, 600, 2)}
        with self.assertRaisesRegex(ValueError, "need 301 patterns"):
            patterns([odd, even])


if __name__ == "__main__":
    sys.exit(unittest.main())
