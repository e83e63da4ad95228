# SPDX-License-Identifier: Apache-2.0
"""Jobs that begin with the weights of a safetensors file: what they have then, what the log says,
and what a worker is told where the file is not what the config says.

    init_from.py BIN
"""
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

from processes import Daemon, environment, write_images
from safetensors_file import read_file, write_file

BIN = sys.argv.pop(1)
END_S = 60
SHAPES = {"fc1.weight": [16, 784], "fc1.bias": [16], "fc2.weight": [10, 16], "fc2.bias": [10]}
JOB = """
  - name: {name}
    workers: 1
    groups: [{{name: all, optimizer: sgd, lr: {lr}}}]
    init_from: {init_from}
"""


def bytes_in(path):
    """{name: bytes}"""
    return {name: data for name, (_, _, data) in read_file(path)[0].items()}


def product(shape):
    count = 1
    for n in shape:
        count *= n
    return count


def made_up(seed=1):
    """Weights whose lower 16 bits are 0, so that bf16 has them too: {name: bytes}."""
    rng = random.Random(seed)
    return {name: b"".join(b"\0\0" + struct.pack("<f", rng.uniform(-0.1, 0.1))[2:]
                           for _ in range(product(shape)))
            for name, shape in SHAPES.items()}


def as_f32(weights, prefix=""):
    return {prefix + name: ("F32", SHAPES[name], data) for name, data in weights.items()}


def as_bf16(weights, prefix=""):
    return {prefix + name: ("BF16", SHAPES[name],
                            b"".join(data[i + 2:i + 4] for i in range(0, len(data), 4)))
            for name, data in weights.items()}


def run(*command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=END_S, env=environment())


class InitFrom(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        write_images(self.folder)
        self.file = self.folder / "base.safetensors"

    def daemon(self, *jobs, **settings):
        """Of jobs (name, init_from) whose steps change nothing, unless lr says otherwise."""
        text = "".join(JOB.format(name=name, init_from=init_from, lr=settings.get("lr", 0))
                       for name, init_from in jobs)
        (self.folder / "stepd.yaml").write_text(f"jobs:\n{text}")
        return Daemon(f"{BIN}/stepd", "--config", f"{self.folder}/stepd.yaml", "--shards", "2",
                      "--slice-elements", "4096", "--checkpoint-dir", f"{self.folder}/store",
                      "--lease-ms", str(settings.get("lease_ms", 60000)))

    def train(self, daemon, job, steps=1):
        return run(f"{BIN}/stepd-train", "--server", daemon.address, "--job", job, "--defined",
                   "--model", "mlp:784-16-10", "--data", self.folder, "--quiet", "--steps", steps)

    def weights(self, job):
        """Of the newest checkpoint, which the daemon takes when the job has finished."""
        newest = sorted((self.folder / "store" / job).glob("step-*"))[-1]
        return bytes_in(newest / "model.safetensors")

    def test_job__of_a_file_of_all_its_tensors__begins_with_them(self):
        given = made_up()
        write_file(self.file, as_f32(given))
        with self.daemon(("j", self.file)) as daemon:
            self.assertEqual(self.train(daemon, "j").returncode, 0)
            said = daemon.log("event=init_from ")
        self.assertEqual(self.weights("j"), given)
        self.assertIn(f"job=j file={self.file} taken=4 kept=0", said)

    def test_job__of_patterns_and_another_dtype__takes_what_they_say(self):
        given = made_up()
        others = {"model.head.weight": ("I64", [1], bytes(8))}
        write_file(self.file, as_bf16(given, prefix="model.") | others)
        with self.daemon(("j", f"{{file: {self.file}, except: fc2.*, remove_prefix: model.}}"),
                         ("other", f"{{file: {self.file}, match: '*', remove_prefix: model.}}"),
                         ) as daemon:
            for job in ("j", "other"):
                self.assertEqual(self.train(daemon, job).returncode, 0)
            said = daemon.log("event=init_from job=j ")
            status = run(f"{BIN}/stepctl", "--server", daemon.address, "status").stdout
        self.assertEqual(self.weights("other"), given)
        taken = self.weights("j")
        for name in SHAPES:
            self.assertEqual(taken[name] == given[name], name.startswith("fc1."), name)
        self.assertNotEqual(taken["fc2.weight"], bytes(len(taken["fc2.weight"])))
        self.assertIn("first weights: 4 of 4 tensors from a file; left over in the file: 1 "
                      '("model.head.weight")', status)
        self.assertRegex(said, r'taken=2 kept=2 kept_names="\\"fc2[^ ]+ \\"fc2[^ ]+ left_over=3 ')

    def test_worker__of_a_file_that_is_another_model__is_told_what_and_not_where(self):
        given_whole = made_up()
        given = {name: data for name, data in given_whole.items() if name != "fc1.bias"}
        write_file(self.file, as_f32(given) | {"extra": ("F32", [1], bytes(4))})
        with self.daemon(("j", self.file), lease_ms=2000) as daemon:
            trained = self.train(daemon, "j")
            self.assertIn(str(self.file), daemon.log("event=init_from_failed"))
            write_file(self.file, as_f32(made_up()))  # put right, it is read anew
        self.assertNotEqual(trained.returncode, 0)
        for words in ("job 'j' cannot begin with its init_from", '1 is not in the file ("fc1.bias")',
                      '1 is in the file alone ("extra")', "remove_prefix"):
            self.assertIn(words, trained.stderr)
        self.assertNotIn(str(self.folder), trained.stderr.replace(f"--data {self.folder}", ""))

    def test_daemon__of_a_file_that_is_not_there__does_not_start(self):
        (self.folder / "stepd.yaml").write_text(
            "jobs:" + JOB.format(name="j", lr=0, init_from=self.file))
        for flags in ((), ("--check-config",)):
            ended = run(f"{BIN}/stepd", "--listen", "127.0.0.1:0", "--config",
                        f"{self.folder}/stepd.yaml", *flags)
            self.assertEqual(ended.returncode, 78)
            self.assertIn(f'stepd.yaml:5: job "j": init_from: {self.file}: there is no such file',
                          ended.stderr)

    def test_job__that_has_a_checkpoint__goes_on_from_it(self):
        write_file(self.file, as_f32(made_up()))
        with self.daemon(("j", self.file), lr=0.1) as daemon:
            self.assertEqual(self.train(daemon, "j", steps=3).returncode, 0)
        trained = self.weights("j")
        self.file.unlink()  # nobody needs it any more
        with self.daemon(("j", self.file), lr=0.1) as daemon:
            self.assertIn("goes on from its checkpoint", daemon.log("event=init_from_unused job=j"))
            daemon.wait_for("event=job_state job=.?j.? from=running to=finished")
        self.assertEqual(self.weights("j"), trained)

    def test_sighup__with_another_file__asks_for_a_restart(self):
        write_file(self.file, as_f32(made_up()))
        with self.daemon(("j", self.file)) as daemon:
            config = self.folder / "stepd.yaml"
            config.write_text(config.read_text().replace(str(self.file), "/other.safetensors"))
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=needs_restart key=init_from job=j")
            daemon.wait_for("event=reloaded")
            self.assertEqual(self.train(daemon, "j").returncode, 0)
        self.assertEqual(self.weights("j"), made_up())


if __name__ == "__main__":
    unittest.main(verbosity=2)
