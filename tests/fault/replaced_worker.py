#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker is killed in the middle of training and another takes its rank: training goes on.

Whatever the dead worker had sent of its last step, whole or in part, counts once, and the others
wait for the rest. (The bits may differ from an undisturbed run: where the step was sent in part,
some slices are a version ahead when the successor computes its gradient.)
usage: replaced_worker.py BIN
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from processes import Daemon, environment, write_images  # pylint: disable=wrong-import-position

WORLD, STEPS, VICTIM = 3, 400, 2
TIMEOUT_S = 240


class Training:
    """Three workers of one daemon; rank 0 saves the weights."""

    def __init__(self, bin_folder, folder, daemon, weights):
        self.bin, self.daemon = bin_folder, daemon
        self.flags = ["--server", daemon.address, "--data", folder, "--model", "mlp:784-64-10",
                      "--steps", str(STEPS), "--batch", "16", "--world", str(WORLD), "--quiet"]
        self.weights = weights
        self.workers = [self.start(rank) for rank in range(WORLD)]

    def start(self, rank):
        saves = ["--save-weights", self.weights] if rank == 0 else []
        return subprocess.Popen([f"{self.bin}/stepd-train", *self.flags, "--rank", str(rank),
                                 *saves], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True, env=environment())

    def version(self):
        asked = subprocess.run([f"{self.bin}/stepctl", "--server", self.daemon.address, "status",
                                "--json"], stdout=subprocess.PIPE, check=True, text=True,
                               env=environment())
        jobs = json.loads(asked.stdout)["jobs"]
        return jobs[0]["version_min"] if jobs else 0

    def replace(self, rank, until):
        """Kills a worker, and starts another until it is let in: the lease must run out first."""
        self.workers[rank].send_signal(signal.SIGKILL)
        self.workers[rank].communicate()
        refused = 0
        while time.monotonic() < until:
            self.workers[rank] = self.start(rank)
            said = self.workers[rank].communicate(timeout=TIMEOUT_S)[1]
            if self.workers[rank].returncode == 0:
                return refused
            assert "is taken by worker" in said, said
            refused += 1
        raise AssertionError("the rank was never free")

    def finish(self):
        for worker in self.workers:
            said = worker.communicate(timeout=TIMEOUT_S)[1]
            assert worker.returncode == 0, said
        assert self.version() == STEPS, f"training ended at version {self.version()}"

    def end(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.communicate()


def train(bin_folder, folder, kill_at):
    until = time.monotonic() + TIMEOUT_S
    flags = ["--shards", "2", "--slice-elements", "4096", "--lease-ms", "1000"]
    with Daemon(f"{bin_folder}/stepd", *flags) as daemon:
        training = Training(bin_folder, folder, daemon, f"{folder}/weights-{kill_at}")
        try:
            while training.version() < kill_at:
                assert time.monotonic() < until, "training does not get on"
            print("killed at", kill_at, "let in after", training.replace(VICTIM, until), "refusals")
            assert daemon.log("event=worker_replaced"), "nobody was replaced"
            training.finish()
        finally:
            training.end()


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder)
        for kill_at in (1, 57, 150):
            train(sys.argv[1], folder, kill_at)


if __name__ == "__main__":
    main()
