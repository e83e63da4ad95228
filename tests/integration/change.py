#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A job that is changed while it trains: real processes, several shards.

The final weights are, bit for bit, those of a run over one shard whose definition has the change at
the version that the audit trail names: a schedule that halves the rate there, a phase that begins
there. So a change was made at one version on every slice, and at none else.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from processes import Daemon, environment, write_images

BIN = sys.argv.pop(1)
TIMEOUT_S = 300
STEPS = 2000
UNDER_WAY = 20  # steps before something is changed
SHARDS = ["--shards", "3", "--slice-elements", "4096"]
RATE = ["--optimizer", "adamw", "--lr", "0.004"]

FILE = """
slice_elements: 4096
jobs:
  - name: train
    workers: WORKERS
    groups:
      - {name: weights, match: "*.weight", optimizer: OPTIMIZER, lr: LR}
      - {name: rest, match: "*", optimizer: adamw, lr: 0.004}
"""


def file_of(workers=2, optimizer="adamw", lr="0.004"):
    return FILE.replace("WORKERS", str(workers)).replace("OPTIMIZER", optimizer).replace("LR", lr)


def stepctl(*arguments):
    return subprocess.run([f"{BIN}/stepctl", *arguments], capture_output=True, text=True,
                          env=environment(), check=False, timeout=60)


def wait_for(what, condition):
    """What cannot be waited for otherwise is asked for; each question takes a process."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, f"in vain: {what}"


class Run:
    """Two workers at a daemon: with Run(...) as run: ... ; run.weights()."""

    def __init__(self, folder, daemon_flags, *flags):
        self.folder = folder
        self.file = f"{folder}/weights"
        self.daemon = Daemon(f"{BIN}/stepd", *daemon_flags)
        self.flags = flags

    def __enter__(self):
        self.daemon.__enter__()
        common = [f"{BIN}/stepd-train", "--data", self.folder, "--model", "mlp:784-48-32-10",
                  "--steps", str(STEPS), "--batch", "16,8", "--world", "2", "--quiet", "--server",
                  self.daemon.address, "--save-weights", self.file, *self.flags]
        self.workers = [subprocess.Popen([*common, "--rank", str(rank)], env=environment(),
                                         stdout=subprocess.DEVNULL) for rank in range(2)]
        return self

    def __exit__(self, *failure):
        for worker in self.workers:
            if failure[0] is not None:
                worker.kill()
            worker.wait(TIMEOUT_S)
        self.daemon.__exit__(*failure)

    def weights(self):
        for worker in self.workers:
            assert worker.wait(TIMEOUT_S) == 0, worker.args
        with open(self.file, "rb") as file:
            return file.read()

    def wait_until_under_way(self):
        def is_under_way():
            asked = stepctl("--server", self.daemon.address, "status", "--job", "train", "--json")
            return (asked.returncode == 0 and
                    json.loads(asked.stdout)["jobs"][0]["version_min"] >= UNDER_WAY)
        wait_for("the first steps", is_under_way)

    def ctl(self, command, *arguments):
        return stepctl("--server", self.daemon.address, command, "--job", "train", *arguments)

    def change(self, *arguments):
        """The records of a change."""
        self.wait_until_under_way()
        asked = self.ctl("change", "--json", *arguments)
        assert asked.returncode == 0, asked.stderr
        return json.loads(asked.stdout)["changes"]


class Changing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        write_images(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_of(self, daemon_flags, *flags):
        return Run(self.folder.name, daemon_flags, *flags)

    def replay(self, *flags):
        with self.run_of(["--shards", "1", "--slice-elements", "4096"], *flags) as run:
            return run.weights()

    def check_version(self, version):
        self.assertGreater(version, UNDER_WAY)
        self.assertLess(version, STEPS, "the change came when all was over")

    def test_rate__changed__is_as_if_it_had_been_known(self):
        with self.run_of(SHARDS, *RATE, "--schedule", "constant") as run:
            record, = run.change("lr=0.002")
            weights = run.weights()
            shown = json.loads(run.ctl("changes", "--json").stdout)
            groups = json.loads(run.ctl("groups", "--json").stdout)["tensors"]
        self.check_version(record["version"])
        self.assertEqual(record["differences"], [{"name": "lr", "from": "0.004", "to": "0.002"}])
        self.assertEqual([(r["number"], r["version"]) for r in shown["changes"]],
                         [(1, record["version"])])
        self.assertEqual({(t["base_lr"], t["change"], t["change_version"]) for t in groups},
                         {(0.002, 1, record["version"])})
        self.assertEqual(weights, self.replay(
            *RATE, "--schedule", "multistep", "--schedule-param",
            f"milestones={record['version']}", "--schedule-param", "gamma=0.5"))

    def test_optimizer__changed__is_a_phase_that_begins_there(self):
        with self.run_of(SHARDS, *RATE, "--schedule", "constant") as run:
            record, = run.change("--optimizer", "momentum", "lr=0.02", "momentum=0.5")
            weights = run.weights()
        self.check_version(record["version"])
        self.assertEqual(record["differences"][0],
                         {"name": "optimizer", "from": "adamw", "to": "momentum"})
        self.assertEqual(weights, self.replay(
            *RATE, "--schedule", "constant", "--phase",
            f"momentum from={record['version']} lr=0.02 momentum=0.5"))

    def test_change__that_cannot_be__changes_nothing(self):
        plain = self.replay(*RATE, "--schedule", "constant")
        with self.run_of(SHARDS, *RATE, "--schedule", "constant") as run:
            run.wait_until_under_way()
            for arguments, says in (
                    (["lrr=1"], "adamw has no hyperparameter 'lrr': did you mean 'lr'?"),
                    (["--group", "al", "lr=1"], "job 'train' has no group 'al': "),
                    (["--at", "1", "lr=1"], "version 1 is over: job 'train' is at "),
                    (["--optimizer", "muon", "lr=1"], "muon must see whole tensors"),
                    (["--optimizer", "sgd"], "sgd needs a learning rate of its own"),
                    (["--schedule", "cosin"], "unknown schedule 'cosin': did you mean 'cosine'?")):
                asked = run.ctl("change", *arguments)
                self.assertEqual(asked.returncode, 1, arguments)
                self.assertIn(says, asked.stderr)
            tried = run.ctl("change", "--dry-run", "lr=0.25")
            self.assertIn("would change, and has not:", tried.stdout)
            weights = run.weights()
            self.assertIn("has not been changed", run.ctl("changes").stdout)
        self.assertEqual(weights, plain)

    def test_file__reread__changes_what_can_be_and_refuses_the_rest(self):
        name = f"{self.folder.name}/stepd.yaml"

        def reread(text, run, event):
            with open(name, "w", encoding="utf-8") as file:
                file.write(text)
            run.daemon.process.send_signal(signal.SIGHUP)
            wait_for(event, lambda: run.daemon.log(event) or os.sched_yield())
            return run.daemon.log(event)

        with open(name, "w", encoding="utf-8") as file:
            file.write(file_of())
        with self.run_of(["--config", name, "--shards", "3"], "--defined") as run:
            run.wait_until_under_way()
            said = reread(file_of(workers=3), run, "event=change_refused")
            self.assertIn("workers is defined as 2, not 3", said)
            said = reread(file_of(optimizer="adamww"), run, "event=reload_failed")
            self.assertIn("did you mean 'adamw'?", said)
            said = reread(file_of(lr="0.002"), run, "event=job_changed")
            weights = run.weights()
            shown = run.ctl("changes").stdout
        version = int(re.search(r"version=(\d+)", said).group(1))
        self.check_version(version)
        self.assertRegex(shown, rf"(?m)^1 +{version} +weights +lr +0\.004 +0\.002 +config file ")
        halved = file_of().replace("lr: 0.004}\n      - {name: rest", "lr: 0.004, schedule: "
                                   f"{{kind: multistep, milestones: [{version}], gamma: 0.5}}}}\n"
                                   "      - {name: rest")
        with open(name, "w", encoding="utf-8") as file:
            file.write(halved)
        with self.run_of(["--config", name, "--shards", "1"], "--defined") as run:
            self.assertEqual(run.weights(), weights)


unittest.main(verbosity=2)
