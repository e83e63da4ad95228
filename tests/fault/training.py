# SPDX-License-Identifier: Apache-2.0
"""Trainings to disturb: real workers of a real daemon, and the weights that must come of them."""
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from processes import (Daemon, Said, environment,  # pylint: disable=wrong-import-position
                       write_images)
from proxy import Proxy  # pylint: disable=wrong-import-position

TIMEOUT_S = 240
STEPS = 12


class Worker:
    """A stepd-train that runs, and what it says on the way."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True, env=environment())
        self.log = Said(self.process)

    def said(self):
        return self.log.text()

    def wait_for(self, text):
        """Until it has said this."""
        assert self.log.wait_for(re.escape(text), TIMEOUT_S), \
            f"it did not say '{text}': {self.said()}"

    def end(self):
        """Its exit code."""
        try:
            return self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed: it went on for too long"
        finally:
            self.log.reader.join()


class Runs:
    """Starts daemons and workers, all for the same training, and keeps what undisturbed ones came
    to. `within`: see Daemon."""

    def __init__(self, bin_folder, folder):
        self.bin, self.folder, self.count = bin_folder, folder, 0
        write_images(folder)
        self.undisturbed, self.flags = {}, []

    def of_job(self, *settings):
        """The same for a job of other settings, each NAME=VALUE."""
        other = copy.copy(self)
        other.undisturbed = {}
        other.flags = [flag for setting in settings for flag in ("--job-param", setting)]
        return other

    def daemon(self, *flags, **where):
        return Daemon(f"{self.bin}/stepd", "--shards", "2", "--slice-elements", "4096", *flags,
                      **where)

    def worker(self, address, rank, world, weights, steps=STEPS, within=()):
        saves = ["--save-weights", weights] if rank == 0 else []
        return Worker([*within, f"{self.bin}/stepd-train", "--server", address, "--data",
                       self.folder, "--model", "mlp:784-24-10", "--quiet", "--steps", str(steps),
                       "--optimizer", "adamw", "--lr", "0.003", "--batch", "16", "--rank",
                       str(rank), "--world", str(world), *self.flags, *saves])

    def begun(self, address, within=()):
        """Returns when the first step has been made."""
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            asked = subprocess.run([*within, f"{self.bin}/stepctl", "--server", address, "status",
                                    "--json"], stdout=subprocess.PIPE, check=True, text=True,
                                   env=environment())
            if any(job["version_min"] > 0 for job in json.loads(asked.stdout)["jobs"]):
                return
        raise AssertionError("no step is made")

    def weights_name(self):
        self.count += 1
        return f"{self.folder}/weights-{self.count}.safetensors"

    def train(self, address, world, disturb=lambda workers: None, **how):
        """The weights of a whole training, and its workers."""
        weights = self.weights_name()
        workers = [self.worker(address, rank, world, weights, **how) for rank in range(world)]
        try:
            disturb(workers)
        finally:
            codes = [worker.end() for worker in workers]
        said = "\n".join(worker.said() for worker in workers)
        assert codes == [0] * world, f"the workers ended with {codes}:\n{said}"
        return pathlib.Path(weights).read_bytes(), workers

    def expect(self, world, weights, what, steps=STEPS):
        key = world, steps
        if key not in self.undisturbed:
            with self.daemon() as daemon:
                self.undisturbed[key], _ = self.train(daemon.address, world, steps=steps)
        assert weights == self.undisturbed[key], f"{world} workers, {what}: other weights"

    def through_proxy(self, world, fate, what):
        with self.daemon() as daemon, Proxy(daemon.address, fate) as proxy:
            weights, workers = self.train(proxy.address, world)
        self.expect(world, weights, what)
        back = sum(worker.said().count("connected again") for worker in workers)
        assert proxy.cuts > 0, f"{what}: nothing was cut"
        return proxy.cuts, back


def play(tests):
    """Those that the command line names behind the folder of the binaries, or all."""
    names = sys.argv[2:] or list(tests)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(sys.argv[1], folder)
        for name in names:
            tests[name](runs)
