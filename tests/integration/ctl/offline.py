# SPDX-License-Identifier: Apache-2.0
"""The commands of stepctl that ask no server: optimizers, schedules, schedule.

    offline.py BIN
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import environment  # noqa: E402

BIN = sys.argv.pop(1)
TRAINING = pathlib.Path(__file__).resolve().parents[3] / "TRAINING.md"
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


class Guide(Case):
    def test_training_md__names__each_optimizer_and_schedule(self):
        text = TRAINING.read_text(encoding="utf-8")
        for command in ("optimizers", "schedules"):
            missing = [row["name"] for row in self.ask_json(command)
                       if f"`{row['name']}`" not in text]
            self.assertEqual(missing, [], command)


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


def cosine(lr, t, t_max):
    return lr * (1 + math.cos(math.pi * t / t_max)) / 2


def between(start, end, way):
    """PyTorch's annealing from start to end."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * way))


def one_cycle(t, max_lr, steps, pct=0.3, momenta=(0.85, 0.95)):
    """PyTorch's OneCycleLR with its defaults: (lr, momentum)."""
    top, last, first, least = pct * steps - 1, steps - 1, max_lr / 25, max_lr / 25 / 1e4
    if t <= top:
        return between(first, max_lr, t / top), between(momenta[1], momenta[0], t / top)
    way = (t - top) / (last - top)
    return between(max_lr, least, way), between(momenta[0], momenta[1], way)


class Schedule(Case):
    """What a schedule will do, in numbers."""

    def lrs(self, *arguments, **more):
        points = self.ask_json("schedule", *arguments, **more)
        self.assertEqual([p["step"] for p in points], list(range(len(points))))
        return [p["lr"] for p in points]

    def assert_near(self, got, right):
        self.assertEqual(len(got), len(right))
        for step, (ours, theirs) in enumerate(zip(got, right)):
            self.assertTrue(math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-15),
                            f"step {step}: {ours}, and {theirs} is right")

    def test_cosine__behind_a_warm_up__is_the_formula(self):
        got = self.lrs("--kind", "cosine", "--param", "t_max=20", "--param", "warmup=5", "--lr",
                       "0.1", "--steps", "30")
        right = [0.1 * (t + 1) / 5 for t in range(5)] + [cosine(0.1, t, 20) for t in range(20)]
        self.assert_near(got, right + 5 * [0])

    def test_one_cycle__with_its_momentum__is_the_formula(self):
        points = self.ask_json("schedule", "--kind", "one_cycle:max_lr=0.5,total_steps=40",
                               "--steps", "40")
        right = [one_cycle(t, 0.5, 40) for t in range(40)]
        self.assert_near([p["lr"] for p in points], [lr for lr, _ in right])
        self.assert_near([p["momentum"] for p in points], [m for _, m in right])

    def test_list__of_milestones__reaches_multistep(self):
        expected = 3 * [1] + 2 * [0.5] + 4 * [0.25]
        for arguments in (["--kind", "multistep:milestones=3,5,gamma=0.5"],
                          ["--kind", "multistep", "--param", "milestones=3,5", "--param",
                           "gamma=0.5"]):
            self.assert_near(self.lrs(*arguments, "--steps", "9"), expected)

    def test_parts__of_sequential__follow_each_other(self):
        got = self.lrs("--kind", "sequential:milestones=4", "--part",
                       "linear:start_factor=0.2,total_iters=4", "--part", "cosine:t_max=6", "--lr",
                       "2", "--steps", "10")
        self.assert_near(got, [2 * (0.2 + 0.2 * t) for t in range(4)]
                         + [cosine(2, t, 6) for t in range(6)])

    def test_parts__of_chained__multiply(self):
        got = self.lrs("--kind", "chained", "--part", "step:step_size=2,gamma=0.5", "--part",
                       "exponential:gamma=0.9", "--steps", "6")
        self.assert_near(got, [0.5 ** (t // 2) * 0.9 ** t for t in range(6)])

    def test_momentum__of_the_group__stands_where_it_is_not_cycled(self):
        points = self.ask_json(
            "schedule", "--kind", "sequential:milestones=2", "--part", "constant", "--part",
            "cyclic:base_lr=0,max_lr=1,step_size_up=2", "--momentum", "0.5", "--steps", "5")
        self.assert_near([p["momentum"] for p in points], [0.5, 0.5, 0.9, 0.85, 0.8])

    def test_every__of_json__leaves_steps_out_but_for_the_last(self):
        points = self.ask_json("schedule", "--kind", "constant", "--steps", "12", "--every", "5")
        self.assertEqual([p["step"] for p in points], [0, 5, 10, 11])

    def test_losses__of_standard_input__move_plateau(self):
        got = self.lrs("--kind", "plateau:patience=1,factor=0.5", "--steps", "6", "--losses", "-",
                       given="3\n2\n2\n2\n2\n")
        self.assert_near(got, [1, 1, 1, 1, 0.5, 0.5])

    def test_plateau__without_losses__says_what_is_shown(self):
        asked = stepctl("schedule", "--kind", "plateau", "--lr", "0.1", "--steps", "3", "--json")
        self.assertEqual(asked.returncode, 0)
        self.assertIn("without --losses FILE it is shown before any drop", asked.stderr)
        self.assert_near([p["lr"] for p in json.loads(asked.stdout)], 3 * [0.1])

    def test_losses__too_few__are_said_to_be(self):
        asked = stepctl("schedule", "--kind", "plateau", "--steps", "9", "--losses", "-", "--json",
                        given="1\n")
        self.assertEqual(asked.returncode, 0)
        self.assertIn("1 losses: from step 1 on", asked.stderr)

    def test_table__for_people__has_the_steps_that_matter(self):
        shown = self.ask("schedule", "--kind", "multistep:milestones=37", "--steps", "50")
        self.assertRegex(shown, r"(?m)^STEP +LR$")
        self.assertRegex(shown, r"(?m)^37 +0\.1 +jump$")
        self.assertRegex(shown, r"(?m)^49 +0\.1$")

    def test_plot__at_each_width__fills_the_terminal(self):
        for columns in (80, 200):
            shown = self.ask("schedule", "--kind", "cosine:t_max=90", "--lr", "0.1", "--steps",
                             "100", "--plot", COLUMNS=str(columns))
            self.assertEqual(max(map(len, shown.splitlines())), columns)
            self.assertIn("┤", shown)

    def test_plot__of_a_schedule__has_it_for_a_title(self):
        shown = self.ask("schedule", "--kind", "sequential:milestones=5", "--part", "linear",
                         "--part", "cosine:t_max=9", "--lr", "0.1", "--steps", "9", "--plot")
        self.assertEqual(shown.splitlines()[0],
                         "sequential:milestones=5 of linear + cosine:t_max=9, lr 0.1")
        shown = self.ask("schedule", "--kind", "one_cycle:max_lr=1", "--param", "total_steps=9",
                         "--lr", "0.1", "--steps", "9", "--plot")
        self.assertEqual(shown.splitlines()[0], "one_cycle:max_lr=1,total_steps=9")
        shown = self.ask("schedule", "--kind", "step", "--param", "step_size=5", "--param",
                         "gamma=0.5", "--steps", "9", "--plot")
        self.assertEqual(shown.splitlines()[0], "step:step_size=5,gamma=0.5")

    def test_plot__in_another_character_set__is_ascii(self):
        shown = self.ask("schedule", "--kind", "cosine:t_max=90", "--steps", "100", "--plot",
                         LC_ALL="C")
        self.assertTrue(shown.isascii())
        self.assertIn("*", shown)

    def test_svg__of_a_schedule__is_a_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/a.svg"
            shown = self.ask("schedule", "--kind", "one_cycle:max_lr=1,total_steps=9", "--steps",
                             "9", "--svg", path)
            picture = xml.parse(path).getroot()
        self.assertEqual(shown, "")
        lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual(len(lines), 2)  # the learning rate, and the momentum

    def test_schedule__spelt_wrong__is_exit_2_with_the_nearest(self):
        for arguments, text in (
                (["--kind", "cosin"], "unknown schedule 'cosin': did you mean 'cosine'?"),
                (["--kind", "cosine:t_mx=3"], "no parameter 't_mx': did you mean 't_max'?"),
                (["--kind", "cosine"], "needs its parameter 't_max'"),
                (["--kind", "cosine", "--param", "t_max"], "'t_max' is no parameter"),
                (["--kind", "chained", "--part", "linear:total=3"], "Try 'stepctl schedules linear'"),
                (["--kind", "chained", "--part", "step"], "--part step: schedule step needs its"),
                (["--kind", "cosine:t_max=3", "--part", "linear"], "not made of others")):
            self.assert_fails(2, text, "schedule", *arguments, "--steps", "3")

    def test_usage__mistaken__is_exit_2(self):
        kind = ["--kind", "cosine:t_max=3"]
        for arguments, text in (
                ([], "--kind KIND or --config FILE is missing"), (kind, "--steps N is missing"),
                ([*kind, "--steps", "0"], "from 1 to 10000000: 0"),
                ([*kind, "--steps", "10000001"], "from 1 to 10000000: 10000001"),
                ([*kind, "--steps", "3", "--every", "0"], "--every takes a number"),
                ([*kind, "--steps", "3", "--lr", "-1"], "--lr takes a number"),
                ([*kind, "--steps", "3", "--momentum", "x"], "--momentum takes a number"),
                ([*kind, "--steps", "3", "--plot", "--json"], "exclude each other"),
                ([*kind, "--steps", "3", "--group", "g"], "--config FILE is missing"),
                ([*kind, "--steps", "3", "--config", "f"], "--config goes without --kind"),
                ([*kind, "--steps", "3", "extra"], "unexpected argument: extra")):
            self.assert_fails(2, text, "schedule", *arguments)

    def test_output__that_cannot_be_written__is_exit_1(self):
        command = ["schedule", "--kind", "constant", "--steps", "3"]
        self.assert_fails(1, "cannot write /nonexistent/a.svg", *command, "--svg",
                          "/nonexistent/a.svg")
        for whole in (["stepctl", *command], ["stepctl", "optimizers"], ["stepctl", "--help"],
                      ["stepd", "--print-config"], ["stepd", "--help"], ["stepd", "--version"]):
            with open("/dev/full", "w") as full:
                asked = subprocess.run([f"{BIN}/{whole[0]}", *whole[1:]], stdout=full,
                                       stderr=subprocess.PIPE, text=True, timeout=END_S,
                                       env=environment())
            self.assertEqual(asked.returncode, 1, whole)
            self.assertEqual(asked.stderr.count("cannot write the output"), 1, whole)
            if whole[0] == "stepctl":
                self.assertIn("cannot write the output: No space left", asked.stderr, whole)

    def test_losses__that_nobody_wants__are_exit_1(self):
        self.assert_fails(1, "no schedule here takes notice of losses", "schedule", "--kind",
                          "constant", "--steps", "3", "--losses", "-", given="1\n")


FILE = """
jobs:
  - name: one
    workers: 2
    defaults:
      optimizer: adamw
      lr: 0.01
      schedule: {kind: step, step_size: 4, gamma: 0.5}
    groups:
      - {name: half, match: "a*", lr_mult: 0.5}
      - {name: also half, match: "A*", lr: 0.005, weight_decay: 0}
      - {name: frozen, match: "b*", frozen: true}
      - name: switching
        match: "c*"
        phases: [{from: 3, optimizer: momentum, lr: 0.1}]
      - name: cycling
        match: "*"
        optimizer: nesterov
        schedule: {kind: cyclic, base_lr: 0.1, max_lr: 0.2, step_size_up: 2}
  - name: two
    workers: 1
    groups:
      - {name: all, match: "*", optimizer: sgd, lr: 0.25}
"""


class Filed(Case):
    """The groups of the server's file."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = f"{folder.name}/stepd.yaml"
        pathlib.Path(cls.path).write_text(FILE)

    def schedule(self, *arguments):
        return ["schedule", "--config", self.path, "--steps", "6", *arguments]

    def test_groups__of_a_job__are_merged_over_its_defaults(self):
        points = self.ask_json(*self.schedule("--job", "one"))
        lrs = {}
        for point in points:
            lrs.setdefault(point["group"], []).append(round(point["lr"], 12))
        half = 4 * [0.005] + 2 * [0.0025]
        self.assertEqual(lrs, {"half": half, "also half": half, "frozen": 6 * [0],
                               "switching": 3 * [0.01] + [0.1] + 2 * [0.05],
                               "cycling": [0.1, 0.15, 0.2, 0.15, 0.1, 0.15]})
        momenta = [p["momentum"] for p in points if p["group"] == "cycling"]
        self.assertEqual([round(m, 12) for m in momenta], [0.9, 0.85, 0.8, 0.85, 0.9, 0.85])
        self.assertFalse([p for p in points if p["group"] != "cycling" and "momentum" in p])

    def test_group__by_name__is_the_only_one(self):
        points = self.ask_json(*self.schedule("--job", "one", "--group", "half"))
        self.assertEqual({p["group"] for p in points}, {"half"})

    def test_environment__of_the_daemon__does_not_count(self):
        self.ask(*self.schedule("--job", "two"), STEPD_SHARDS="many")

    def test_table__of_a_job__has_its_groups_and_phases(self):
        shown = self.ask(*self.schedule("--job", "one"))
        self.assertRegex(shown, r"^STEP +half, also half +switching +cycling +cycling \(momentum\)")
        self.assertRegex(shown, r"(?m)^3 .* switching: momentum from here")
        self.assertRegex(shown, r"(?m)^frozen: frozen$")

    def test_plot__of_a_job__says_which_line_is_which(self):
        shown = self.ask(*self.schedule("--job", "one", "--plot"))
        self.assertRegex(shown, r"(?m)^job one$")
        self.assertRegex(shown, r"(?m)^ +a  half, also half$")
        self.assertRegex(shown, r"(?m)^ +c  switching: adamw, momentum from step 3$")
        self.assertRegex(shown, r"(?m)^ +frozen: frozen$")

    def test_job__unknown_or_not_said__is_named(self):
        self.assert_fails(1, "--job says none: known are one, two", *self.schedule())
        self.assert_fails(1, "defines no job 'tow': did you mean 'two'?",
                          *self.schedule("--job", "tow"))
        self.assert_fails(1, "job 'one' has no group 'hal': did you mean 'half'?",
                          *self.schedule("--job", "one", "--group", "hal"))

    def test_file__that_the_daemon_would_refuse__is_refused_with_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/wrong.yaml"
            pathlib.Path(path).write_text(FILE.replace("lr_mult: 0.5", "lr_mul: 0.5"))
            self.assert_fails(1, f"{path}:10: ", "schedule", "--config", path, "--job", "one",
                              "--steps", "3")


unittest.main(verbosity=2)
