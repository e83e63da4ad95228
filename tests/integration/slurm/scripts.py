# SPDX-License-Identifier: Apache-2.0
"""The scripts of deploy/slurm, with stand-ins for srun and scontrol (in this folder).

    scripts.py BIN SOURCE
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import environment, write_images  # noqa: E402

BIN, SOURCE = sys.argv[1:3]
HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = ("one-node", "several-nodes")
WORKERS = 2
END_S = 120


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        write_images(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def start(self, script, *command):
        """As Slurm does: the script has a session of its own, and what it says goes to one file."""
        slurm = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": str(WORKERS), "SLURM_CPUS_ON_NODE": "2",
                 "SLURMD_NODENAME": "n1", "PATH": f"{HERE}:{BIN}:{os.environ['PATH']}"}
        process = subprocess.Popen(["bash", f"{SOURCE}/deploy/slurm/{script}.sbatch", *command],
                                   cwd=self.folder.name, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env={**environment(), **slurm}, start_new_session=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        """All of its session, where a test has failed before its end."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def train(self, script, epochs):
        return self.start(script, "stepd-train", "--job", "mnist", "--data", self.folder.name, "--model",
                          "mlp:784-8-10", "--batch", "32", "--epochs", str(epochs))

    def finish(self, process):
        said = process.communicate(timeout=END_S)[0]
        return process.returncode, said

    def wait_for_steps(self, process):
        said = ""
        while not re.search(r"^0: .*step [1-9]", said, re.MULTILINE):
            line = process.stdout.readline()
            self.assertNotEqual(line, "", said)
            said += line
        return said

    def was_kept_when_all_were_ended(self, script):
        """Ends every process of the job at once, as Slurm does. Has that left a checkpoint?"""
        process = self.train(script, 100000)
        self.wait_for_steps(process)
        os.killpg(process.pid, signal.SIGTERM)
        code, said = self.finish(process)
        self.assertEqual(code, 143, said)
        self.assertEqual(said.count("event=stopping"), 1, said)
        self.assertRegex(said, "event=checkpoint(_failed)? job")
        return "event=checkpoint job" in said

    def test_training__to_its_end__leaves_checkpoints_and_no_daemon(self):
        for script in SCRIPTS:
            code, said = self.finish(self.train(script, 1))
            self.assertEqual(code, 0, said)
            self.assertIn("0: test accuracy", said)
            self.assertIn(f"rank={WORKERS - 1} worker=", said)
            self.assertEqual(said.count("event=stopping"), 1, said)
            self.assertIn("event=stopped", said)
            self.assertTrue(list(pathlib.Path(self.folder.name).glob("stepd-7/checkpoints/mnist/step-*")))

    def test_worker__that_fails__ends_the_job_with_its_code(self):
        for script in SCRIPTS:
            code, said = self.finish(self.start(script, "sh", "-c", "exit 3"))
            self.assertEqual(code, 3, said)
            self.assertIn("event=stopped", said)

    def test_job__that_is_requeued__goes_on_from_its_last_step(self):
        for script in SCRIPTS:
            while not self.was_kept_when_all_were_ended(script):
                pass  # workers have ended within a step, which nobody can finish
            process = self.train(script, 100000)
            before = self.wait_for_steps(process)
            self.assertIn("event=resumed job=mnist", before)
            process.send_signal(signal.SIGUSR1)
            self.finish(process)
            for path in pathlib.Path(self.folder.name).glob("stepd-7/checkpoints"):
                path.rename(f"{self.folder.name}/kept-{script}")

    def test_job__whose_time_is_nearly_over__writes_its_last_step(self):
        for script in SCRIPTS:
            process = self.train(script, 100000)
            self.wait_for_steps(process)
            process.send_signal(signal.SIGUSR1)
            code, said = self.finish(process)
            self.assertEqual(code, 138, said)
            self.assertIn("event=checkpoint", said)
            self.assertIn("event=stopped", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2, warnings="ignore")
