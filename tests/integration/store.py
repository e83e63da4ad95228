# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders that a daemon starts on: those of others are let alone, those that are not
meant are refused with the one that is, and what is moved is named in the log.

    store.py BIN
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from processes import Daemon, environment, write_images

BIN = sys.argv.pop(1)
END_S = 60
CHECKPOINT = "step-00000003"
CANNOT_START = (1, 78)  # a checkpoint that is bad; a folder that is not the one
JOBS = """
jobs:
  - name: kept
    workers: 1
    groups: [{name: all, match: "*", optimizer: sgd, lr: 0.01}]
"""


def stepd(*flags):
    """A daemon that is not to come up: what became of it."""
    return subprocess.run([f"{BIN}/stepd", "--listen", "127.0.0.1:0", *map(str, flags)],
                          capture_output=True, text=True, timeout=END_S, env=environment())


def names_in(folder):
    """All paths below a folder, without the lock."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.name != "lock")


class Store(unittest.TestCase):
    """A store with a checkpoint of the job `kept`, made once; each test has a copy."""

    @classmethod
    def setUpClass(cls):
        cls.made = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.made)
        write_images(cls.made)
        cls.config = cls.made / "stepd.yaml"
        cls.config.write_text(JOBS)
        with Daemon(f"{BIN}/stepd", "--config", cls.config,
                    "--checkpoint-dir", cls.made / "store") as daemon:
            subprocess.run([f"{BIN}/stepd-train", "--server", daemon.address, "--job", "kept",
                            "--defined", "--model", "mlp:784-16-10", "--data", cls.made, "--quiet",
                            "--steps", "3"], check=True, timeout=END_S, capture_output=True,
                           env=environment())
        assert (cls.made / "store" / "kept" / CHECKPOINT / "manifest.json").exists()

    def train(self, daemon, steps):
        subprocess.run([f"{BIN}/stepd-train", "--server", daemon.address, "--job", "kept", "--defined",
                        "--model", "mlp:784-16-10", "--data", self.made, "--quiet", "--steps",
                        str(steps)], check=True, timeout=END_S, capture_output=True,
                       env=environment())

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=self.made))
        self.store = pathlib.Path(shutil.copytree(self.made / "store", self.folder / "store"))
        self.job = self.store / "kept"

    def started(self, *flags):
        return Daemon(f"{BIN}/stepd", "--config", self.config, "--checkpoint-dir", self.store,
                      *flags)

    def add_others(self):
        """What somebody keeps in the same folder."""
        for name in ("project/.old-backup/thesis.txt", "project/.old-step-00000001/thesis.txt",
                     "project/incarnation", "Documents/letter.txt", "kept/.old-backup/thesis.txt"):
            path = self.store / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")

    def refused(self, *flags):
        """What a daemon says that does not start."""
        done = stepd("--config", self.config, *flags)
        self.assertIn(done.returncode, CANNOT_START, done.stderr)
        return done.stderr

    def test_job__that_is_trained_again__is_kept_and_gone_on_from_as_it_was_last(self):
        flags = ("--config", self.config, "--checkpoint-dir", self.folder / "again")
        with Daemon(f"{BIN}/stepd", *flags, "--checkpoint-every-steps", "2") as daemon:
            self.train(daemon, 12)
            daemon.wait_for("event=checkpoint .*step-00000012")
            self.train(daemon, 5)
        names = {path.name for path in (self.folder / "again" / "kept").glob("step-*")}
        self.assertIn("step-00000005", names)
        with Daemon(f"{BIN}/stepd", *flags) as daemon:
            self.assertEqual(self.version(daemon), 5)

    def version(self, daemon):
        asked = subprocess.run([f"{BIN}/stepctl", "--server", daemon.address, "status", "--json"],
                               check=True, timeout=END_S, capture_output=True, env=environment())
        return json.loads(asked.stdout)["jobs"][0]["version_max"]

    def test_end__that_is_signalled_twice_at_once__keeps_the_last_checkpoint(self):
        flags = ("--config", self.config, "--checkpoint-dir", self.folder / "twice")
        with Daemon(f"{BIN}/stepd", *flags) as daemon:
            worker = subprocess.Popen(
                [f"{BIN}/stepd-train", "--server", daemon.address, "--job", "kept", "--defined",
                 "--model", "mlp:784-16-10", "--data", self.made, "--quiet", "--steps", "1000000"],
                stderr=subprocess.DEVNULL, env=environment())
            self.addCleanup(worker.wait)
            self.addCleanup(worker.kill)
            while self.version(daemon) == 0:
                self.assertIsNone(worker.poll())
            for _ in range(2):
                daemon.process.send_signal(signal.SIGTERM)
                self.assertTrue(daemon.said.wait_for("event=stopping", END_S))
            self.assertEqual(daemon.process.wait(END_S), 0)
        self.assertEqual(len(list((self.folder / "twice/kept").glob("step-*"))), 1)

    def test_start__among_folders_of_others__touches_nothing_of_them(self):
        self.add_others()
        before = names_in(self.store)
        with self.started() as daemon:
            daemon.wait_for(r"event=resumed job=kept checkpoint=" + CHECKPOINT)
        self.assertEqual([name for name in before if name not in names_in(self.store)], [])

    def test_resume_never__among_folders_of_others__sets_only_checkpoints_aside(self):
        self.add_others()
        with self.started("--resume", "never") as daemon:
            daemon.wait_for(r"event=checkpoints_set_aside from=kept to=kept~1")
            self.assertEqual(daemon.said.text().count("checkpoints_set_aside"), 1)
        self.assertTrue((self.store / "kept~1" / CHECKPOINT / "manifest.json").exists())
        self.assertTrue((self.store / "kept~1/.old-backup/thesis.txt").exists())
        self.assertTrue((self.store / "Documents/letter.txt").exists())
        self.assertTrue((self.store / "project/.old-step-00000001/thesis.txt").exists())

    def test_start__on_a_job_or_a_checkpoint__names_the_folder_that_is_meant(self):
        before = names_in(self.store)
        for path, what in ((self.job, "the folder of one job"),
                           (self.job / CHECKPOINT, "a checkpoint")):
            said = self.refused("--checkpoint-dir", path)
            self.assertIn(f"{path} is {what}", said)
            self.assertIn(f"that is {self.store.resolve()}\n", said)
            self.assertFalse((path / "lock").exists())
        self.assertEqual(names_in(self.store), before)

    def test_start__with_a_linked_job__is_refused(self):
        moved = self.folder / "moved"
        self.job.rename(moved)
        self.job.symlink_to(moved)
        said = self.refused("--checkpoint-dir", self.store)
        self.assertIn(f"checkpoint folder {self.store}: kept in the checkpoint folder is a symbolic",
                      said)
        self.assertTrue((moved / CHECKPOINT / "manifest.json").exists())

    def test_start__with_links_for_convenience__warns_and_goes_on(self):
        (self.store / "best").symlink_to("kept")
        (self.store / "gone").symlink_to("nowhere")
        (self.store / "newest").symlink_to(f"kept/{CHECKPOINT}")
        with Daemon(f"{BIN}/stepd", "--checkpoint-dir", self.store) as daemon:
            said = daemon.said.text()
            self.assertIn('event=link_not_followed name=best why="it leads to checkpoints in the '
                          'same folder"', said)
            self.assertIn('event=link_not_followed name=gone why="it leads nowhere"', said)
            self.assertNotIn("name=newest", said)
            self.assertIn("event=resumed job=kept", said)

    def test_start__with_an_incarnation_that_is_none__says_where_and_what_to_do(self):
        for text in ("a novel", "18446744073709551615\n"):
            (self.job / "incarnation").write_text(text)
            said = self.refused("--checkpoint-dir", self.store)
            self.assertIn(f"checkpoint folder {self.store}: kept/incarnation: what stands there is "
                          "no number", said)
            self.assertIn("write one there that is higher", said)
            self.assertEqual((self.job / "incarnation").read_text(), text)

    def test_start__with_a_damaged_job__says_how_to_begin_it_anew(self):
        os.truncate(self.job / CHECKPOINT / "model.safetensors", 10)
        said = self.refused("--checkpoint-dir", self.store)
        self.assertIn(f"checkpoint folder {self.store}: no checkpoint of job 'kept' is good", said)
        self.assertIn("move the folder kept out of the checkpoint folder", said)
        self.assertIn("--resume never sets those of ALL jobs aside", said)


if __name__ == "__main__":
    unittest.main()
