#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packets are dropped between workers and the daemon, and nobody is told.

  - all of them, or those of one direction, until each worker takes its connection for lost: when
    they pass again, training goes on to the weights of an undisturbed run
  - for moments, again and again, as on a bad line: TCP repeats, and no connection is lost
  - those of one worker of four, for good: all four end, soon after the deadline that the daemon was
    given, and each says what it waited for

usage: dropped_packets.py BIN [WHAT ...]
"""
import contextlib
import random
import subprocess
import time

from network import Host, enter
from training import play

STEPS = 400
DEADLINE_S = 3
ANSWER_S = 1  # after its deadline, where control is lost, nobody waits for an answer any more
SLOW_S = 4  # what a busy machine may add
SEED = 1
MOMENTS = 12


@contextlib.contextmanager
def passing_nothing(*hosts):
    for host in hosts:
        host.lose()
    try:
        yield
    finally:
        for host in hosts:
            host.find()


def daemon_on(runs, host, *flags):
    return runs.daemon("--insecure", *flags, listen=f"{host.address}:0", within=host.within)


def outage(runs, lost, name):
    """`lost` says whose packets are dropped: of the host of the daemon, and of the workers."""
    for world in (1, 4):
        with Host(1) as home, Host(2) as away, \
                daemon_on(runs, home, "--lease-ms", "1000") as daemon:
            def drop(workers):
                runs.begun(daemon.address, home.within)
                with passing_nothing(*lost(home, away)):
                    for worker in workers:
                        worker.wait_for("heartbeats without an answer")
                for worker in workers:
                    worker.wait_for("connected again")
            weights, _ = runs.train(daemon.address, world, drop, steps=STEPS, within=away.within)
        runs.expect(world, weights, name, steps=STEPS)
        print(f"{world} workers: {name}, and training went on when they passed again")


def moments(runs):
    rng = random.Random(SEED)
    with Host(1) as home, Host(2) as away, daemon_on(runs, home) as daemon:
        dropped = 0

        def flicker(workers):
            nonlocal dropped
            runs.begun(daemon.address, home.within)
            for _ in range(MOMENTS):
                with passing_nothing(home, away):
                    ended = wait_at_most(workers[0], rng.uniform(0, 0.2))
                if ended:
                    break
                dropped += 1
                wait_at_most(workers[0], rng.uniform(0, 0.1))
        weights, workers = runs.train(daemon.address, 4, flicker, steps=STEPS, within=away.within)
    runs.expect(4, weights, f"a bad line with seed {SEED}", steps=STEPS)
    assert dropped > 0, "training was over before a packet was dropped"
    said = "".join(worker.said() for worker in workers)
    assert "lost" not in said, f"TCP alone could have repaired it: {said}"
    print(f"4 workers: packets dropped in {dropped} moments, and no connection lost")


def wait_at_most(worker, seconds):
    """Whether it has ended."""
    try:
        worker.process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def for_good(runs):
    with Host(1) as home, Host(2) as away, Host(3) as lonely, \
            daemon_on(runs, home, "--lease-ms", "1000", "--wait-max-ms",
                      str(DEADLINE_S * 1000)) as daemon:
        workers = [runs.worker(daemon.address, rank, 4, runs.weights_name(), steps=1 << 20,
                               within=(lonely if rank == 3 else away).within)
                   for rank in range(4)]
        try:
            runs.begun(daemon.address, home.within)
            began = time.monotonic()
            with passing_nothing(lonely):
                codes = [worker.end() for worker in workers]
            took = time.monotonic() - began
        finally:
            for worker in workers:
                worker.process.kill()
                worker.end()
    said = [worker.said() for worker in workers]
    assert codes == [1] * 4, f"the workers ended with {codes}: {said}"
    for words in said[:3]:
        assert "rank 3" in words, f"on whom did it wait? {words}"
    assert "step: connection lost: " in said[3], said[3]
    assert took < DEADLINE_S + ANSWER_S + SLOW_S, f"they waited for {took:.1f} s: {said}"
    print(f"4 workers: one cut off for good, and all ended after {took:.1f} s")


TESTS = {
    "both": lambda runs: outage(runs, lambda home, away: (home, away), "all packets dropped"),
    "requests": lambda runs: outage(runs, lambda home, away: (home,), "requests dropped"),
    "replies": lambda runs: outage(runs, lambda home, away: (away,), "replies dropped"),
    "moments": moments,
    "for_good": for_good,
}


def main():
    enter()
    play(TESTS)


if __name__ == "__main__":
    main()
