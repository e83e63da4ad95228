# SPDX-License-Identifier: Apache-2.0
"""stepd-train compare with real processes: its own daemon, or one that is there.

    compare.py BIN

To know the pid of the daemon that a comparison starts for itself, the test puts a script in stepd's
place, which tells it through a named pipe and then becomes stepd. Nothing sleeps.
"""
import csv
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree

from processes import Daemon, environment, write_images

BIN = sys.argv.pop(1)
END_S = 300
STEPS = 12
FASHION = "/usr/share/datasets/fashion-mnist"
SVG = "{http://www.w3.org/2000/svg}"


class Compare(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = tempfile.TemporaryDirectory()
        write_images(cls.data.name)

    @classmethod
    def tearDownClass(cls):
        cls.data.cleanup()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.csv, self.svg = f"{self.folder.name}/curves.csv", f"{self.folder.name}/curves.svg"

    def tearDown(self):
        self.folder.cleanup()

    def command(self, *flags, program=f"{BIN}/stepd-train"):
        return [program, "compare", "--data", self.data.name, "--model", "mlp:784-16-10",
                "--batch", "64", "--steps", str(STEPS), "--csv", self.csv, "--plot", self.svg,
                *flags]

    def environment(self):
        return {**environment(), "TMPDIR": self.folder.name}

    def compare(self, *flags, code=0, env=None, **more):
        """Runs a comparison to its end; its stdout and stderr."""
        done = subprocess.run(self.command(*flags, **more), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=END_S, check=False,
                              env={**self.environment(), **(env or {})})
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout, done.stderr

    def rows(self):
        with open(self.csv, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def lines_of_picture(self):
        """The lines inside the frame, and all texts."""
        root = xml.etree.ElementTree.parse(self.svg).getroot()
        frame = root.find(f"{SVG}g")
        return frame.findall(f"{SVG}polyline"), [text.text for text in root.iter(f"{SVG}text")]

    def imposter(self, script):
        """A folder with stepd-train, and a script in stepd's place beside it."""
        for name in ("stepd-train", "stepd"):
            path = pathlib.Path(self.folder.name, name)
            if name == "stepd":
                path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
                path.chmod(0o755)
            else:
                shutil.copy2(f"{BIN}/{name}", path)
        return f"{self.folder.name}/stepd-train"

    def telling_daemon(self):
        """A program whose daemon tells its pid, and a list that will hold it."""
        pipe = f"{self.folder.name}/pid"
        os.mkfifo(pipe)
        pids = []

        def listen():
            with open(pipe, encoding="utf-8") as file:
                pids.append(int(file.read()))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        program = self.imposter(f'echo $$ > {pipe}\nexec {BIN}/stepd "$@"')
        return program, listener, pids

    # ---- What it leaves ----------------------------------------------------------------------

    def test_comparison__own_daemon__leaves_curves_picture_and_table(self):
        out, _ = self.compare("--run", "sgd lr=0.000001", "--run", "adam lr=0.01 betas=0.8,0.95")
        rows = self.rows()
        self.assertEqual(list(rows[0]), ["run", "optimizer", "hyperparameters", "mode", "step",
                                         "epoch", "loss", "smoothed"])
        self.assertEqual([(r["run"], r["optimizer"], r["step"]) for r in rows],
                         [(run, name, str(step)) for run, name in (("1", "sgd"), ("2", "adam"))
                          for step in range(1, STEPS + 1)])
        self.assertEqual({r["hyperparameters"] for r in rows}, {"lr=1e-06", "lr=0.01 betas=0.8,0.95"})
        self.assertEqual(rows[0]["loss"], rows[STEPS]["loss"])  # the same weights and examples
        lines, texts = self.lines_of_picture()
        self.assertEqual(len(lines), 2)
        self.assertTrue(all(len(line.get("points").split()) == STEPS for line in lines))
        self.assertIn("adam lr=0.01 betas=0.8,0.95", texts)
        self.assertEqual([line.split()[0] for line in out.splitlines()],
                         ["optimizer", "adam", "sgd"])

    def test_comparison__quiet_json__says_nothing_else(self):
        out, err = self.compare("--optimizers", "sgd,adam", "--lrs", "0.1,0.01", "--json", "--quiet")
        runs = json.loads(out)["runs"]
        self.assertEqual(err, "")
        self.assertEqual(sorted(r["run"] for r in runs), [1, 2, 3, 4])
        accuracies = [r["test_accuracy"] for r in runs]
        self.assertEqual(accuracies, sorted(accuracies, reverse=True))
        self.assertTrue(all(r["steps"] == STEPS and r["diverged_at"] is None for r in runs))

    def test_run_that_diverges__with_several_workers__ends_neither_the_others_nor_the_comparison(self):
        out, err = self.compare("--workers", "3", "--run", "adam lr=0.01", "--run", "sgd lr=1e9",
                                "--run", "sgd lr=0.1")
        self.assertRegex(out.splitlines()[-1], r"^sgd +lr=1e\+09 +diverged at step \d+$")
        self.assertIn("[2/3] sgd lr=1e+09  diverged at step", err)
        steps = [sum(r["run"] == run for r in self.rows()) for run in "123"]
        self.assertEqual((steps[0], steps[2]), (STEPS, STEPS))
        self.assertLess(steps[1], STEPS)
        self.assertIn("diverged", self.lines_of_picture()[1])

    def test_worker_that_diverges__alone__ends_its_run(self):
        # Rank 0 has no examples, and would go on without the other one.
        out, _ = self.compare("--workers", "2", "--batch", "0,64", "--steps", "1000000000",
                              "--run", "sgd lr=1e9")
        self.assertIn("diverged at step", out)

    def test_rounds_that_close_without_a_worker__are_compared(self):
        out, _ = self.compare("--workers", "2", "--job-param", "backup=1", "--run", "sgd", "--json")
        self.assertGreater(json.loads(out)["runs"][0]["steps"], 0)

    # ---- Modes -------------------------------------------------------------------------------

    def test_modes__with_a_slow_worker_and_shared_steps__end_with_a_gain_each(self):
        modes = ["sync", "bounded staleness=3", "async lr_by_staleness=1"]
        flags = ("--workers", "2", "--slow", "2", "--share", "--run", "sgd lr=0.1", "--by-time",
                 "--modes", ",".join(modes))
        out, _ = self.compare(*flags, "--json")
        runs = sorted(json.loads(out)["runs"], key=lambda run: run["run"])
        self.assertEqual([run["mode"] for run in runs], modes)
        self.assertEqual(runs[0]["worker_steps"], [STEPS, STEPS])
        self.assertEqual(runs[0]["gain"], 1)
        for run in runs[1:]:
            self.assertIn(sum(run["worker_steps"]), (2 * STEPS, 2 * STEPS + 1))
            self.assertAlmostEqual(run["gain"], runs[0]["seconds"] / run["seconds"], places=4)
        steps = {mode: sum(row["mode"] == mode for row in self.rows()) for mode in modes}
        self.assertEqual(steps, {run["mode"]: run["worker_steps"][0] for run in runs})
        self.assertIn("seconds", self.lines_of_picture()[1])

    def test_shared_steps__with_a_very_slow_worker__are_taken_by_the_other(self):
        # Without sharing each would take STEPS, and the comparison as long as the slow one does.
        out, _ = self.compare("--workers", "2", "--slow", "500", "--share", "--mode", "async",
                              "--run", "sgd lr=0.1", "--json")
        fast, slow = json.loads(out)["runs"][0]["worker_steps"]
        self.assertGreater(fast, STEPS)
        self.assertGreater(STEPS, slow)

    @unittest.skipUnless(os.path.isdir(FASHION), f"{FASHION} is not there (dataset-fashion-mnist)")
    def test_modes_that_do_not_wait__with_a_slow_worker__are_as_accurate_as_sync(self):
        two_epochs = 2 * 60000 // (4 * 32)
        out, _ = self.compare("--data", FASHION, "--model", "mlp:784-128-10", "--batch", "32",
                              "--steps", str(two_epochs), "--schedule", "cosine", "--workers", "4",
                              "--slow", "5", "--share", "--run", "sgd lr=0.1", "--json",
                              "--modes", "sync,bounded staleness=100,async")
        accuracy = {run["mode"]: run["test_accuracy"] for run in json.loads(out)["runs"]}
        sync = accuracy.pop("sync")
        self.assertGreater(sync, 0.83)
        for mode, reached in accuracy.items():
            self.assertGreater(reached, sync - 0.01, mode)

    def test_modes__in_the_table__have_columns_of_their_own(self):
        out, _ = self.compare("--run", "sgd lr=0.1", "--modes", "sync,async")
        self.assertEqual(out.splitlines()[0].split()[:3], ["optimizer", "hyperparameters", "mode"])
        self.assertEqual(out.splitlines()[0].split()[-2:], ["seconds", "gain"])
        self.assertEqual({line.split()[2] for line in out.splitlines()[1:]}, {"sync", "async"})

    # ---- The same bits -----------------------------------------------------------------------

    def curves(self, *flags):
        """All losses, and what came of them, but for the time it took."""
        runs = json.loads(self.compare(*flags, "--json")[0])["runs"]
        with open(self.csv, encoding="utf-8") as file:
            return file.read(), [{**run, "seconds": None} for run in runs]

    def test_local_and_daemons__give_the_same_curves(self):
        runs = ("--run", "adam lr=0.01 betas=0.8,0.95 eps_mode=inside",
                "--run", "nesterov preset=lecture lr=0.05 momentum=0.9",
                "--run", "adam lr=0.01 then sgd from=6 lr=0.1",
                "--run", "sgd lr=0.5", "--schedule", "plateau", "--schedule-param", "patience=1",
                "--schedule-param", "factor=0.5", "--schedule-param", "threshold_mode=abs",
                "--schedule-param", "threshold=0.3")
        local = self.curves(*runs, "--local")
        self.assertEqual(self.curves(*runs), local)
        with Daemon(f"{BIN}/stepd", "--shards", "2", "--slice-elements", "4096") as daemon:
            self.assertEqual(self.curves(*runs, "--server", daemon.address), local)
        self.assertNotEqual(self.curves(*runs, "--seed", "2"), local)

    def test_workers__with_unequal_batches__give_the_same_curves_again(self):
        flags = ("--workers", "3", "--batch", "64,0,32", "--run", "adam lr=0.01")
        first = self.curves(*flags)
        self.assertEqual(self.curves(*flags), first)
        self.assertEqual([run["steps"] for run in first[1]], [STEPS])

    def test_length_of_a_run__in_epochs__is_that_of_all_workers(self):
        command = [f for f in self.command("--workers", "2", "--batch", "0,64", "--run", "sgd")
                   if f not in ("--steps", str(STEPS))]
        done = subprocess.run([*command, "--epochs", "2", "--json"], capture_output=True, text=True,
                              timeout=END_S, check=True, env=self.environment())
        self.assertEqual(json.loads(done.stdout)["runs"][0]["steps"], 2 * 640 // 64)

    # ---- What cannot be ----------------------------------------------------------------------

    def test_run_that_cannot_be__is_named_before_anything_starts(self):
        program = self.imposter("exit 9")  # it would be noticed
        for run, says in (("adamx", "run 2 (adamx): define: group 'all': unknown optimizer 'adamx'"),
                          ("adam lr=-1", "hyperparameter 'lr' of adam must be in"),
                          ("newton", "needs second derivatives")):
            out, err = self.compare("--run", "sgd", "--run", run, code=2, program=program)
            self.assertEqual(out, "")
            self.assertIn(says, err)
            self.assertFalse(os.path.exists(self.csv))

    def test_no_stepd__is_an_error_that_says_what_to_do(self):
        program = self.imposter("")
        os.remove(f"{self.folder.name}/stepd")
        _, err = self.compare("--run", "sgd", code=1, program=program, env={"PATH": "/nonexistent"})
        self.assertIn("there is no stepd", err)
        self.assertIn("--server", err)

    def test_stepd_that_ends_at_once__is_an_error_with_its_status(self):
        _, err = self.compare("--run", "sgd", code=1, program=self.imposter("exit 9"))
        self.assertIn("stepd ended at once (exit status 9)", err)

    # ---- The daemon ends ---------------------------------------------------------------------

    def test_own_daemon__at_the_end__is_gone(self):
        program, listener, pids = self.telling_daemon()
        self.compare("--run", "sgd", program=program)
        listener.join(END_S)
        self.assertRaises(ProcessLookupError, os.kill, pids[0], 0)

    def test_own_daemon__when_the_comparison_is_killed__ends_as_well(self):
        program, listener, pids = self.telling_daemon()
        endless = self.command("--run", "sgd", "--steps", "1000000000", "--quiet", program=program)
        process = subprocess.Popen(endless, stdin=subprocess.DEVNULL, env=self.environment())
        try:
            listener.join(END_S)
            daemon = os.pidfd_open(pids[0])
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        try:
            self.assertTrue(select.select([daemon], [], [], END_S)[0], "the daemon is still there")
        finally:
            os.close(daemon)

    def test_temporary_folder__is_left_empty(self):
        temporary = f"{self.folder.name}/tmp"
        os.mkdir(temporary)
        self.compare("--run", "sgd", env={"TMPDIR": temporary})
        self.assertEqual(os.listdir(temporary), [])


if __name__ == "__main__":
    unittest.main()
