#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed with -9 at random moments, while it writes checkpoints too, and started again
each time; half of the time its workers are killed with it. The training ends with the same bits as
one that nobody has disturbed; in async mode, whose bits are of chance, every step of every worker is
in the weights once.

usage: killed_daemon.py BIN [KILLS [STEPS [SEED]]]
       killed_daemon.py BIN async
"""
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from processes import Daemon, environment, write_images  # pylint: disable=wrong-import-position

WORLD, EVERY = 2, 20
KILLS, STEPS, SEED = 50, 12000, 1
ASYNC_KILLS, ASYNC_STEPS = 8, 4000
CHECKPOINTS = 2  # at most, that a daemon writes before it is killed
THEN_S = 0.12  # at most, from there to its death: about what one takes to write
TIMEOUT_S = 200


class Training:
    """Workers with ranks of their own, who can be started again; rank 0 saves the weights."""

    def __init__(self, bin_folder, folder, weights, steps, mode="sync"):
        self.bin, self.folder, self.weights, self.steps = bin_folder, folder, weights, steps
        self.mode = mode
        self.workers = [None] * WORLD

    def start_missing(self, address):
        """Starts each worker that has died, and none that has done its work."""
        for rank, worker in enumerate(self.workers):
            if worker is None or worker.poll() not in (None, 0):
                self.workers[rank] = self.start(rank, address)

    def start(self, rank, address):
        flags = ["--server", address, "--data", self.folder, "--model", "mlp:784-48-10",
                 "--steps", str(self.steps), "--batch", "16", "--world", str(WORLD), "--rank", str(rank),
                 "--mode", self.mode,
                 "--optimizer", "adam", "--lr", "0.003", "--schedule", "cosine", "--quiet"]
        if rank == 0:
            flags += ["--save-weights", self.weights]
        log = open(f"{self.folder}/worker-{rank}", "a", encoding="utf-8")
        with log:
            return subprocess.Popen([f"{self.bin}/stepd-train", *flags], stdout=log, stderr=log,
                                    env=environment())

    def kill(self):
        for worker in self.workers:
            if worker is not None and worker.poll() is None:
                worker.send_signal(signal.SIGKILL)
                worker.wait()

    def is_over(self):
        return all(worker.poll() == 0 for worker in self.workers)

    def said(self):
        return "".join(pathlib.Path(f"{self.folder}/worker-{rank}").read_text(encoding="utf-8")
                       for rank in range(WORLD))

    def wait(self, address, until):
        """Until all have done their work."""
        while not self.is_over():
            assert time.monotonic() < until, self.said()
            self.start_missing(address)
            for worker in self.workers:
                try:
                    worker.wait(1)
                except subprocess.TimeoutExpired:
                    continue

    def end(self):
        self.kill()


def daemon_of(bin_folder, store, listen="127.0.0.1:0"):
    return Daemon(f"{bin_folder}/stepd", "--shards", "2", "--slice-elements", "4096",
                  "--checkpoint-dir", store, "--checkpoint-every-steps", str(EVERY),
                  "--checkpoint-keep", "2", listen=listen)


def undisturbed(bin_folder, folder, steps):
    weights = f"{folder}/weights-undisturbed"
    training = Training(bin_folder, folder, weights, steps)
    try:
        with daemon_of(bin_folder, f"{folder}/store-undisturbed") as daemon:
            training.start_missing(daemon.address)
            training.wait(daemon.address, time.monotonic() + TIMEOUT_S)
    finally:
        training.end()
    return pathlib.Path(weights).read_bytes()


class Killer:
    """Counts what was going on when the daemon died."""

    def __init__(self, store, rng):
        self.store, self.rng = store, rng
        self.killed, self.writing = 0, 0

    def kill(self, daemon, training):
        for _ in range(self.rng.randint(0, CHECKPOINTS)):
            daemon.said.wait_for_next("event=checkpoint ", TIMEOUT_S)
        try:
            daemon.process.wait(self.rng.uniform(0, THEN_S))
            raise AssertionError(f"the daemon has ended by itself:\n{daemon.said.text()}")
        except subprocess.TimeoutExpired:
            pass
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        self.killed += 1
        self.writing += any(pathlib.Path(self.store).glob("*/.new-step-*"))
        if self.rng.random() < 0.5:
            training.kill()


def versions(bin_folder, daemon):
    """The least and the greatest of the job's slices."""
    asked = subprocess.run([f"{bin_folder}/stepctl", "--server", daemon.address, "status", "--json"],
                           stdout=subprocess.PIPE, check=True, text=True, env=environment())
    [job] = json.loads(asked.stdout)["jobs"]
    return job["version_min"], job["version_max"]


def disturbed(bin_folder, folder, kills, steps, seed, mode="sync"):
    """The job's versions at the end."""
    store, rng = f"{folder}/store", random.Random(seed)
    training = Training(bin_folder, folder, f"{folder}/weights", steps, mode)
    killer = Killer(store, rng)
    listen, resumed = "127.0.0.1:0", 0
    try:
        while killer.killed < kills and not (killer.killed and training.is_over()):
            daemon = daemon_of(bin_folder, store, listen).__enter__()
            try:
                listen = daemon.address
                resumed += bool(daemon.log("event=resumed"))
                training.start_missing(listen)
                killer.kill(daemon, training)
            finally:
                daemon.process.kill()
                daemon.process.wait()
                daemon.said.reader.join()
        with daemon_of(bin_folder, store, listen) as daemon:
            training.wait(listen, time.monotonic() + TIMEOUT_S)
            assert not daemon.log("event=checkpoint_skipped"), daemon.said.text()
            found = versions(bin_folder, daemon)
    finally:
        training.end()
    print(f"killed {killer.killed} times, {killer.writing} while a checkpoint was being written; "
          f"resumed {resumed} times")
    assert killer.killed == kills, "training was over too early"
    assert resumed > kills // 2
    return found


def check_async(bin_folder, folder):
    found = disturbed(bin_folder, folder, ASYNC_KILLS, ASYNC_STEPS, SEED, "async")
    assert found == (WORLD * ASYNC_STEPS,) * 2, f"slices are at versions {found}"


def check_bits(bin_folder, folder, kills, steps, seed):
    expected = undisturbed(bin_folder, folder, steps)
    disturbed(bin_folder, folder, kills, steps, seed)
    found = pathlib.Path(f"{folder}/weights").read_bytes()
    assert found == expected, "the weights differ from those of the undisturbed training"


def main(bin_folder, kills=KILLS, steps=STEPS, seed=SEED):
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder)
        if kills == "async":
            check_async(bin_folder, folder)
        else:
            check_bits(bin_folder, folder, int(kills), int(steps), int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
