# SPDX-License-Identifier: Apache-2.0
"""stepctl status and groups against a daemon with a job that waits for its second worker.

    stepctl.py BIN
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60


def stepctl(*arguments, **env):
    return subprocess.run([f"{BIN}/stepctl", *arguments], capture_output=True, text=True,
                          timeout=END_S, env={**environment(), **env})


class Empty(unittest.TestCase):
    def test_status__of_an_idle_server__has_no_jobs(self):
        with Daemon(f"{BIN}/stepd") as daemon:
            shown = stepctl("--server", daemon.address, "status")
            self.assertEqual(shown.returncode, 0, shown.stderr)
            self.assertRegex(shown.stdout, r"^stepd \S+, up .*, 0 jobs\n$")
            asked = stepctl("status", "--json", STEPD_ADDRESS=daemon.address)
            self.assertEqual(json.loads(asked.stdout)["jobs"], [])

    def test_job__that_is_not_there__is_exit_1(self):
        with Daemon(f"{BIN}/stepd") as daemon:
            for command in ("status", "groups"):
                asked = stepctl("--server", daemon.address, command, "--job", "none")
                self.assertEqual(asked.returncode, 1)
                self.assertIn("there is no job 'none'", asked.stderr)

    def test_server__that_is_not_there__is_exit_1(self):
        asked = stepctl("--server", "unix:/nonexistent/socket", "status")
        self.assertEqual(asked.returncode, 1)
        self.assertIn("cannot connect to unix:/nonexistent/socket", asked.stderr)

    def test_usage__mistaken__is_exit_2(self):
        for arguments in ([], ["bogus"], ["--bogus"], ["groups"], ["status", "extra"],
                          ["status", "--watch", "never"], ["change"], ["changes"],
                          ["change", "--job", "j", "lr"], ["change", "--job", "j", "lr="],
                          ["change", "--job", "j", "--at", "0", "lr=1"],
                          ["change", "--job", "j", "--phase", "sgd"], ["checkpoint"],
                          ["checkpoint", "a", "b"], ["checkpoint", "j", "--wait", "0"]):
            self.assertEqual(stepctl(*arguments).returncode, 2, arguments)

    def test_arguments__too_many__name_the_first(self):
        for arguments in (["list", "a", "b", "c"], ["verify", "a", "c"], ["diff", "a", "b", "c"],
                          ["status", "c"], ["groups", "--job", "j", "c"],
                          ["change", "--job", "j", "lr=1", "c"], ["checkpoint", "a", "c"],
                          ["export", "a", "b", "c"]):
            with self.subTest(arguments=arguments):
                self.assertIn("'c'", stepctl(*arguments).stderr)

    def test_help__of_everything__is_exit_0(self):
        for arguments in (["--help"], ["launch", "--help"], ["status", "--help"],
                          ["groups", "--help"], ["change", "--help"],
                          ["changes", "--help"], ["checkpoint", "--help"], ["schedule", "--help"], ["schedules", "--help"],
                          ["optimizers", "--help"], ["token", "--help"], ["certs", "--help"], ["--version"]):
            asked = stepctl(*arguments)
            self.assertEqual(asked.returncode, 0, arguments)
            self.assertIn("stepctl", asked.stdout)

    def test_help__of_stepctl_itself__lists_each_command(self):
        shown = stepctl("--help").stdout
        for command in ("launch", "status", "groups", "change", "changes", "checkpoint",
                        "schedule", "schedules", "optimizers", "token", "certs"):
            self.assertRegex(shown, rf"(?m)^  {command} +\w")


DEFINED = """
jobs:
  - name: filed
    mode: async
    workers: 1
    groups:
      - {name: biases, match: "*.bias", optimizer: sgd, lr: 0.05}
      - {name: rest, match: "*", optimizer: adamw, lr: 0.01}
"""


class Defined(unittest.TestCase):
    """A job of two groups that the server's file defines, trained by stepd-train."""

    def test_worker__of_a_defined_job__trains_it_and_reports_its_last_step(self):
        with tempfile.TemporaryDirectory() as folder:
            write_images(folder)
            pathlib.Path(folder, "stepd.yaml").write_text(DEFINED)
            with Daemon(f"{BIN}/stepd", "--config", f"{folder}/stepd.yaml") as daemon:
                where = ["--server", daemon.address]
                train = subprocess.run([f"{BIN}/stepd-train", *where, "--job", "filed", "--defined",
                                        "--model", "mlp:784-16-10", "--data", folder, "--quiet",
                                        "--steps", "7", "--csv", f"{folder}/loss.csv"],
                                       capture_output=True, text=True, timeout=END_S,
                                       env=environment())
                self.assertEqual(train.returncode, 0, train.stderr)
                job, = json.loads(stepctl(*where, "status", "--json").stdout)["jobs"]
                last = pathlib.Path(folder, "loss.csv").read_text().splitlines()[-1].split(",")
        self.assertEqual((job["name"], job["mode"], job["version_max"]), ("filed", "async", 7))
        member, = job["members"]
        self.assertEqual((member["clock"], last[0]), (7, "7"))
        self.assertAlmostEqual(member["loss"], float(last[2]), places=6)


class Waiting(unittest.TestCase):
    """Rank 0 of two has stepped, and waits for rank 1."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(f"{BIN}/stepd", "--shards", "2")
        cls.daemon.__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None)
        worker = subprocess.Popen([f"{BIN}/../tests/waiting_worker", cls.daemon.address],
                                  stdout=subprocess.PIPE, text=True, env=environment())
        cls.addClassCleanup(worker.communicate)
        cls.addClassCleanup(worker.kill)
        worker.stdout.readline()

    def test_status__as_json__has_the_job_and_its_member(self):
        job, = json.loads(self.ask("status", "--json"))["jobs"]
        self.assertEqual((job["name"], job["mode"], job["workers"]), ("waiting", "sync", 2))
        self.assertEqual((job["tensors"], job["elements"]), (2, 7))
        self.assertEqual(sum(job["memory"].values()), job["memory_bytes"])
        self.assertGreater(job["memory"]["weights"], 0)
        self.assertEqual((job["version_min"], job["version_max"]), (0, 0))
        member, = job["members"]
        self.assertEqual((member["rank"], member["state"]), (0, "present"))
        self.assertEqual((member["from"], member["until"]), (0, None))
        self.assertEqual(member["loss"], 0.25)

    def test_status__for_people__names_the_job_and_the_worker(self):
        shown = self.ask("status", "--job", "waiting")
        self.assertRegex(shown, r"(?m)^job waiting: \w+, sync, version 0$")
        self.assertRegex(shown, r"(?m)^  memory \S+ \S+: weights .*, second version .*, staging ")
        self.assertRegex(shown, r"(?m)^  RANK  WORKER +STATE +VERSIONS +CLOCK +SILENT +LOSS +EXAMPLES$")
        self.assertRegex(shown, r"(?m)^  0 .* present +\[0, \.\.\.\) .* 0\.25 +64$")

    def test_status__of_a_barrier__shows_who_waits_there(self):
        member = {"barrier": ""}
        for _ in range(1000):  # the worker is on its way to it
            member, = json.loads(self.ask("status", "--json"))["jobs"][0]["members"]
            if member["barrier"]:
                break
        self.assertEqual(member["barrier"], "evaluation")
        shown = self.ask("status", "--job", "waiting")
        self.assertIn("\n  1 worker waits at barrier 'evaluation' for the job to start\n", shown)

    def test_checkpoint__where_none_are_kept__is_exit_1(self):
        asked = stepctl("--server", self.daemon.address, "checkpoint", "waiting")
        self.assertEqual((asked.returncode, asked.stdout), (1, ""))
        self.assertIn("start it with --checkpoint-dir", asked.stderr)
        job, = json.loads(self.ask("status", "--json"))["jobs"]
        self.assertEqual((job["checkpoint"], job["checkpoint_failure"]), (None, ""))

    def test_groups__as_json__say_how_each_tensor_is_trained(self):
        weight, bias = json.loads(self.ask("groups", "--job", "waiting", "--json"))["tensors"]
        self.assertEqual((weight["tensor"], weight["shape"]), ("fc.weight", [2, 3]))
        self.assertEqual((weight["group"], weight["optimizer"], weight["lr"]),
                         ("rest", "adamw", 0.5))
        self.assertEqual((bias["tensor"], bias["shape"]), ("fc.bias", []))
        self.assertEqual((bias["group"], bias["optimizer"], bias["weight_decay"]),
                         ("biases", "sgd", 0))

    def test_groups__for_people__are_a_table(self):
        shown = self.ask("groups", "--job", "waiting").splitlines()
        self.assertEqual(len(shown), 3)
        self.assertRegex(shown[0], r"^TENSOR +SHAPE +GROUP +OPTIMIZER +SCHEDULE +BASE LR +LR "
                                   r"+WEIGHT DECAY +VERSION +FROM")
        self.assertRegex(shown[1], r"^fc\.weight +2x3 +rest +adamw +constant +0\.5 +0\.5 +.* definition")

    def ask(self, *arguments):
        asked = stepctl("--server", self.daemon.address, *arguments)
        self.assertEqual(asked.returncode, 0, asked.stderr)
        return asked.stdout


unittest.main(verbosity=2)
