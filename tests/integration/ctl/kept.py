# SPDX-License-Identifier: Apache-2.0
"""What the tests of checkpoints share: a daemon that has kept some, and how its commands are asked. The
first argument of the script that imports it is the folder of the binaries.
"""
import array
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60
FILES = ("manifest.json", "model.safetensors", "optimizer.safetensors")
JOBS = """
checkpoint_on_exit: false
jobs:
  - name: kept
    mode: sync
    workers: 1
    groups: [{name: all, match: "*", optimizer: adam, lr: 0.01, ema_decay: 0.9}]
  - name: other
    mode: async
    workers: 1
    groups: [{name: all, match: "*", optimizer: adam, lr: 0.02, ema_decay: 0.9}]
  - name: blocked
    mode: sync
    workers: 1
    groups: [{name: all, match: "*", optimizer: sgd, lr: 0.01}]
"""


def stepctl(*arguments):
    return subprocess.run([f"{BIN}/stepctl", *map(str, arguments)], capture_output=True, text=True,
                          timeout=END_S, env=environment())


def asked(*arguments):
    """What a command says in JSON."""
    done = stepctl(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def floats(data):
    return array.array("f", data)


def train(daemon, folder, job, steps):
    subprocess.run([f"{BIN}/stepd-train", "--server", daemon.address, "--job", job, "--defined",
                    "--model", "mlp:784-16-10", "--data", folder, "--quiet", "--steps", str(steps)],
                   check=True, timeout=END_S, capture_output=True, env=environment())


class Kept(unittest.TestCase):
    """Jobs `kept` at step 9 and `other` at step 4, whose checkpoints stepctl has asked for; a file
    stands where those of `blocked` were to be. Made once, for all classes."""

    folder = None

    @classmethod
    def setUpClass(cls):
        if Kept.folder is None:
            Kept.folder = pathlib.Path(tempfile.mkdtemp())
            unittest.addModuleCleanup(shutil.rmtree, Kept.folder)
            Kept.make()

    @classmethod
    def make(cls):
        write_images(cls.folder)
        (cls.folder / "stepd.yaml").write_text(JOBS)
        cls.store = cls.folder / "store"
        with Daemon(f"{BIN}/stepd", "--config", f"{cls.folder}/stepd.yaml", "--shards", "2",
                    "--checkpoint-dir", cls.store) as daemon:
            where = ["--server", daemon.address]
            cls.unknown = stepctl(*where, "checkpoint", "nowhere")
            cls.early = stepctl(*where, "checkpoint", "kept")
            (cls.store / "blocked").write_text("")
            for job, steps in (("kept", 9), ("other", 4), ("blocked", 1)):
                train(daemon, cls.folder, job, steps)
            cls.taken = asked(*where, "checkpoint", "kept", "--wait", "50")
            cls.said = stepctl(*where, "checkpoint", "other")
            cls.refused = stepctl(*where, "checkpoint", "blocked")
            cls.shown = stepctl(*where, "status").stdout
            cls.status = {job["name"]: job for job in asked(*where, "status")["jobs"]}
        cls.checkpoint = cls.store / "kept" / cls.taken["name"]
        cls.other = cls.store / "other" / "step-00000004"

    def copy(self, within=""):
        """One that a test may damage, in a folder of its own."""
        folder = f"{tempfile.mkdtemp(dir=self.folder)}/{within}"
        return pathlib.Path(shutil.copytree(self.checkpoint, f"{folder}/step-00000009"))
