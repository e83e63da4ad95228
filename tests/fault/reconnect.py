#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections are cut in every way, and the final weights are those of an undisturbed run.

  - every reply is lost once: each request is done, and must be sent again
  - every push is sent twice, and once more when its round has closed
  - both for a job that is clipped by its global norm, so that all slices close together
  - connections are cut at a random byte of requests and replies, with FIN and with RST
  - the daemon, or a worker, stands still until it is missed

for one worker and for four, by sync training. Then: a daemon that comes back without its state, and
a worker whose rank was given to another, each end their training with a sentence that says so.
usage: reconnect.py BIN [WHAT ...]
"""
import collections
import signal
import threading

from frames import DUPLICATE
from proxy import DropReplies, Fate, Proxy, SendTwice, seeded
from training import STEPS, play

SEEDS = range(1, 17)
CUT_BYTES = 400_000  # about what a connection carries in five steps


def lost_replies(runs):
    for world in (1, 4):
        dropped, lock = set(), threading.Lock()
        cuts, back = runs.through_proxy(world, lambda: DropReplies(dropped, lock), "lost replies")
        least = world * STEPS
        assert cuts >= least, f"only {cuts} replies were lost in {least} steps"
        assert back > 0, "nobody said that it connected again"
        print(f"{world} workers: {cuts} replies lost once, connected again {back} times")


def pushed_twice(runs):
    for world in (1, 4):
        answers, lock = collections.Counter(), threading.Lock()
        with runs.daemon() as daemon, \
                Proxy(daemon.address, lambda: SendTwice(answers, lock)) as proxy:
            weights, _ = runs.train(proxy.address, world)
        runs.expect(world, weights, "every push sent twice")
        assert set(answers) == {DUPLICATE}, f"the copies were answered {dict(answers)}"
        assert answers[DUPLICATE] >= world * STEPS * 2, answers
        print(f"{world} workers: {answers[DUPLICATE]} slices pushed again, and none counted again")


def unit_of_the_job(runs):
    """All slices close together, through control."""
    clipped = runs.of_job("clip_global_norm=1")
    lost_replies(clipped)
    pushed_twice(clipped)


def cut(runs, resets):
    name = "reset" if resets else "cut"
    for world in (1, 4):
        total = 0
        for seed in SEEDS:
            cuts, _ = runs.through_proxy(world, seeded(seed, CUT_BYTES, resets),
                                         f"{name} with seed {seed}")
            total += cuts
        print(f"{world} workers: connections {name} {total} times with {len(SEEDS)} seeds")


def stopped_daemon(runs):
    for world in (1, 4):
        with runs.daemon("--lease-ms", "1000") as daemon:
            def stop(workers):
                runs.begun(daemon.address)
                daemon.process.send_signal(signal.SIGSTOP)
                try:
                    for worker in workers:
                        worker.wait_for("heartbeats without an answer")
                finally:
                    daemon.process.send_signal(signal.SIGCONT)
                for worker in workers:
                    worker.wait_for("connected again")
            weights, _ = runs.train(daemon.address, world, stop, steps=400)
        runs.expect(world, weights, "a daemon that stood still", steps=400)
        print(f"{world} workers: the daemon stood still, and nobody was lost")


def stopped_worker(runs):
    with runs.daemon("--lease-ms", "1000") as daemon:
        def stop(workers):
            runs.begun(daemon.address)
            workers[1].process.send_signal(signal.SIGSTOP)
            try:
                daemon.wait_for("event=worker_lost .* rank=1")
            finally:
                workers[1].process.send_signal(signal.SIGCONT)
        weights, workers = runs.train(daemon.address, 4, stop, steps=400)
    runs.expect(4, weights, "a worker that stood still", steps=400)
    assert "lost" not in workers[1].said(), "a worker that goes on found its connections lost"
    print("4 workers: one stood still for longer than its lease, and went on")


def forgetful_daemon(runs):
    """Comes back on the same address with nothing: training cannot go on, and says why."""
    with runs.daemon() as daemon, Proxy(daemon.address, Fate) as proxy:
        worker = runs.worker(proxy.address, 0, 1, runs.weights_name(), steps=1 << 20)
        runs.begun(daemon.address)
        with runs.daemon() as other:
            proxy.lead_to(other.address)
            daemon.process.send_signal(signal.SIGTERM)
            code = worker.end()
            other.wait_for("event=worker_joined")
    assert code == 1, f"the worker ended with {code}: {worker.said()}"
    assert "the server has lost the job" in worker.said(), worker.said()
    print("1 worker: the daemon came back without its state, and the worker says so")


def given_away(runs):
    """A worker that stands still for too long finds its rank taken."""
    with runs.daemon("--lease-ms", "1000") as daemon:
        first = runs.worker(daemon.address, 0, 1, runs.weights_name(), steps=1 << 20)
        runs.begun(daemon.address)
        first.process.send_signal(signal.SIGSTOP)
        daemon.wait_for("event=worker_lost .* rank=0")
        second = runs.worker(daemon.address, 0, 1, runs.weights_name(), steps=1 << 20)
        daemon.wait_for("event=worker_replaced")
        first.process.send_signal(signal.SIGCONT)
        code = first.end()
        second.process.kill()
        second.end()
    assert code == 1, f"the worker ended with {code}: {first.said()}"
    assert "rank 0 of job 'train' has passed to worker" in first.said(), first.said()
    print("1 worker: its rank was given to another, and it says so")


TESTS = {
    "lost_replies": lost_replies,
    "pushed_twice": pushed_twice,
    "unit_of_the_job": unit_of_the_job,
    "cut": lambda runs: cut(runs, resets=False),
    "reset": lambda runs: cut(runs, resets=True),
    "stopped_daemon": stopped_daemon,
    "stopped_worker": stopped_worker,
    "forgetful_daemon": forgetful_daemon,
    "given_away": given_away,
}


if __name__ == "__main__":
    play(TESTS)
