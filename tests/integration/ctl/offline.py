# SPDX-License-Identifier: Apache-2.0
"""The commands of stepctl that ask no server: optimizers, schedules.

    offline.py BIN
"""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import environment  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60


def stepctl(*arguments, given=None, **env):
    ours = {k: v for k, v in environment().items() if k != "COLUMNS"}
    return subprocess.run([f"{BIN}/stepctl", *arguments], capture_output=True, text=True,
                          input=given, timeout=END_S, env={**ours, "LC_ALL": "C.UTF-8", **env})


class Case(unittest.TestCase):
    def ask(self, *arguments, **more):
        asked = stepctl(*arguments, **more)
        self.assertEqual((asked.returncode, asked.stderr), (0, ""))
        return asked.stdout

    def ask_json(self, *arguments, **more):
        return json.loads(self.ask(*arguments, "--json", **more))

    def assert_fails(self, code, text, *arguments, **more):
        asked = stepctl(*arguments, **more)
        self.assertEqual(asked.returncode, code, asked.stderr)
        self.assertIn(text, asked.stderr)
        self.assertEqual(asked.stdout, "")


class Optimizers(Case):
    def test_table__for_people__has_a_line_for_each_of_the_json(self):
        rows = self.ask_json("optimizers")
        lines = self.ask("optimizers").splitlines()
        self.assertRegex(lines[0], r"^NAME +SCOPE +STATE +SOURCE$")
        self.assertEqual([line.split()[0] for line in lines[1:]], [row["name"] for row in rows])
        self.assertGreaterEqual(len(rows), 26)

    def test_table__at_80_columns__is_no_wider(self):
        widest = max(map(len, self.ask("optimizers", COLUMNS="80").splitlines()))
        self.assertTrue(70 < widest <= 80, widest)

    def test_state__of_each_kind__is_counted(self):
        rows = {row["name"]: row for row in self.ask_json("optimizers")}
        counted = {name: rows[name]["state_floats"]
                   for name in ("sgd", "momentum", "adam", "amsgrad", "lbfgs", "adafactor")}
        self.assertEqual(counted, {"sgd": 0, "momentum": 1, "adam": 2, "amsgrad": 3, "lbfgs": 202,
                                   "adafactor": 2 / 1024})

    def test_scope__of_each_kind__is_named(self):
        rows = {row["name"]: row for row in self.ask_json("optimizers")}
        self.assertEqual([rows[name]["scope"] for name in ("adam", "muon", "lbfgs")],
                         ["element", "tensor", "group"])
        self.assertEqual([rows[name]["sync_only"] for name in ("adam", "lbfgs")], [False, True])

    def test_slots__that_an_option_brings__name_it(self):
        def brings(name):
            return {slot["name"]: slot.get("with")
                    for slot in self.ask_json("optimizers", name)["slots"]}
        self.assertEqual(brings("adam"), {"exp_avg": None, "exp_avg_sq": None,
                                          "max_exp_avg_sq": "amsgrad true"})
        self.assertEqual(brings("rmsprop"), {"square_avg": None, "grad_avg": "centered true",
                                             "momentum_buffer": "momentum above 0"})
        self.assertEqual(brings("lbfgs")["base_weights"], "line_search backtracking")

    def test_hyperparameters__of_one__have_defaults_ranges_and_words(self):
        hypers = {h["name"]: h for h in self.ask_json("optimizers", "rmsprop")["hyperparameters"]}
        self.assertEqual((hypers["alpha"]["default"], hypers["alpha"]["lecture"]), (0.99, 0.9))
        self.assertEqual(hypers["centered"], {"name": "centered", "default": False})
        self.assertEqual(hypers["eps_mode"], {"name": "eps_mode", "default": "outside",
                                              "lecture": "inside", "words": ["outside", "inside"]})
        self.assertEqual(hypers["momentum"]["range"], {"least": 0, "most": 1, "least_open": False,
                                                       "most_open": True, "whole": False})

    def test_one__for_people__says_all_that_is_known(self):
        shown = self.ask("optimizers", "adam")
        self.assertRegex(shown, r"(?m)^source  Kingma and Ba 2015")
        self.assertRegex(shown, r"(?m)^state   floats per parameter: 2$")
        self.assertRegex(shown, r"(?m)^rules   with amsgrad, eps_mode")
        self.assertRegex(shown, r"(?m)^HYPERPARAMETER +DEFAULT +LECTURE +VALUES$")
        self.assertRegex(shown, r"(?m)^beta1 +0\.9 +at least 0, below 1$")
        self.assertRegex(shown, r"(?m)^eps_mode +outside +inside +outside, inside, hat$")
        self.assertRegex(shown, r"(?m)^amsgrad +false +true, false$")
        self.assertRegex(shown, r"(?m)^max_exp_avg_sq +with amsgrad true$")

    def test_one__whose_lecture_form_is_pytorch_s__has_no_column_for_it(self):
        shown = self.ask("optimizers", "lbfgs")
        self.assertRegex(shown, r"(?m)^HYPERPARAMETER +DEFAULT +VALUES$")
        self.assertRegex(shown, r"(?m)^history_size +100 +whole, 1 to 1000$")
        self.assertRegex(shown, r"(?m)^scope   group; jobs of mode sync only$")

    def test_unknown__name__names_the_nearest(self):
        self.assert_fails(1, "unknown optimizer 'adaw': did you mean 'adam'?", "optimizers", "adaw")

    def test_usage__mistaken__is_exit_2(self):
        self.assert_fails(2, "unexpected argument 'sgd'", "optimizers", "adam", "sgd")
        self.assert_fails(2, "--help", "optimizers", "--bogus")


class Schedules(Case):
    def test_table__for_people__has_a_line_for_each_of_the_json(self):
        rows = self.ask_json("schedules")
        lines = self.ask("schedules").splitlines()
        self.assertRegex(lines[0], r"^NAME +NEEDS +SOURCE$")
        self.assertEqual([line.split()[0] for line in lines[1:]], [row["name"] for row in rows])
        self.assertGreaterEqual(len(rows), 16)

    def test_needs__of_each_kind__are_named(self):
        shown = self.ask("schedules")
        self.assertRegex(shown, r"(?m)^one_cycle +max_lr, total_steps +Smith and Topin")
        self.assertRegex(shown, r"(?m)^linear +torch")
        self.assertRegex(shown, r"(?m)^sequential +schedules +torch")
        self.assertRegex(shown, r"(?m)^plateau +losses +torch")

    def test_parameters__of_one__have_defaults_ranges_and_words(self):
        params = {p["name"]: p for p in self.ask_json("schedules", "multistep")["parameters"]}
        milestones = params["milestones"]
        self.assertEqual((milestones["needed"], milestones["list"]), (True, True))
        self.assertNotIn("default", milestones)
        self.assertTrue(milestones["range"]["whole"])
        self.assertEqual((params["gamma"]["default"], params["gamma"]["needed"]), (0.1, False))
        params = {p["name"]: p for p in self.ask_json("schedules", "one_cycle")["parameters"]}
        self.assertEqual(params["anneal_strategy"]["words"], ["cos", "linear"])
        self.assertEqual(params["anneal_strategy"]["default"], "cos")
        self.assertEqual(params["three_phase"]["default"], False)

    def test_one__for_people__says_all_that_is_known(self):
        shown = self.ask("schedules", "one_cycle")
        self.assertRegex(shown, r"(?m)^lr      its own; that of the group is not looked at$")
        self.assertRegex(shown, r"(?m)^PARAMETER +DEFAULT +VALUES$")
        self.assertRegex(shown, r"(?m)^max_lr +\(needed\) +at least 0$")
        self.assertRegex(shown, r"(?m)^pct_start +0\.3 +0 to 1$")
        self.assertIn("stepctl schedule --kind one_cycle:max_lr=...,total_steps=... --steps ...",
                      shown)

    def test_one__made_of_others__says_so(self):
        shown = self.ask("schedules", "sequential")
        self.assertRegex(shown, r"(?m)^parts   1 to 16 schedules")
        self.assertRegex(shown, r"(?m)^rules   one milestone less than parts")
        self.assertRegex(shown, r"(?m)^milestones +list, whole, at least 1$")

    def test_one__that_follows_losses__says_so(self):
        shown = self.ask("schedules", "plateau")
        self.assertRegex(shown, r"(?m)^losses  each push must carry one$")
        self.assertIn("--losses FILE", shown)

    def test_unknown__name__names_the_nearest(self):
        self.assert_fails(1, "unknown schedule 'cosin': did you mean 'cosine'?", "schedules", "cosin")


unittest.main(verbosity=2)
