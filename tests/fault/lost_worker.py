#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that are killed in the middle of a push, stopped past their lease, and that come and go.

Where the job waits, the final weights have the bits of a run that nothing happened to. Where it goes
on without a worker, or with new ones, they are those of a reference in double which makes the rounds
of the members that the daemon has logged, slice by slice.
usage: lost_worker.py BIN [TEST ...]
"""
import contextlib
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import raw
import raw_worker
from processes import Daemon, environment  # pylint: disable=wrong-import-position

BIN = sys.argv[1]
HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 120
LEASE_MS = 1000
LR = 0.25
STEPS, CUT_AT = 30, 7
MANY_STEPS = 400  # more than a worker takes between two looks at the status
CONFIG = """
jobs:
  - name: j
    workers: {workers}
    {settings}
    slice_elements: 256
    groups: [{{name: all, optimizer: sgd, lr: {lr}}}]
"""


class Worker:
    """A process of raw_worker.py."""

    def __init__(self, daemon, rank=-1, *flags):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "raw_worker.py"), "--server", daemon.address, "--rank",
             str(rank), *map(str, flags)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment())

    def says(self):
        """Its next line, as words."""
        return self.process.stdout.readline().split(maxsplit=2)

    def tell_to_leave(self):
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        """The rest of what it says, and its exit status."""
        said = self.process.communicate(timeout=LIMIT_S)[0]
        return said, self.process.returncode

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Cluster:
    """A daemon with two shards and the job "j", and its workers."""

    def __init__(self, workers, settings=""):
        self.stack = contextlib.ExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        config = pathlib.Path(folder, "stepd.yaml")
        config.write_text(CONFIG.format(workers=workers, settings=settings, lr=LR))
        self.daemon = Daemon(f"{BIN}/stepd", "--config", str(config), "--shards", "2")

    def __enter__(self):
        self.stack.enter_context(self.daemon)
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def start(self, rank=-1, *flags):
        worker = Worker(self.daemon, rank, *flags)
        self.stack.callback(worker.kill)
        return worker

    def status(self):
        asked = subprocess.run([f"{BIN}/stepctl", "--server", self.daemon.address, "status",
                                "--json"], stdout=subprocess.PIPE, check=True, text=True,
                               env=environment())
        return json.loads(asked.stdout)["jobs"][0]

    def shown(self):
        return subprocess.run([f"{BIN}/stepctl", "--server", self.daemon.address, "status"],
                              stdout=subprocess.PIPE, check=True, text=True,
                              env=environment()).stdout

    def wait_until(self, condition):
        """Polls the status; each asking takes the time of a process."""
        end = time.monotonic() + LIMIT_S
        while not condition(self.status()):
            assert time.monotonic() < end, f"not in time: {self.status()}\n" + self.log_text()
        return self.status()

    def wait_for_state(self, rank, state):
        def reached(job):
            return any((m["rank"], m["state"]) == (rank, state) for m in job["members"])
        self.wait_until(reached)

    def wait_for_version(self, version):
        self.wait_until(lambda job: job["version_min"] >= version)

    def log_text(self):
        return self.daemon.said.text()

    def observe(self):
        """All slices as they are, and the shards that they belong to."""
        with raw.Peer(self.daemon.address, "j", role=raw.OBSERVER) as peer:
            peer.open()
            return peer.pull(), peer.shard_of

    def weights(self):
        """All slices, which must be at one version, and that version."""
        pulled, _ = self.observe()
        versions = {version for version, _ in pulled.values()}
        assert len(versions) == 1, f"slices ended at versions {versions}"
        return [pulled[i][1] for i in sorted(pulled)], versions.pop()


# ---- The reference -------------------------------------------------------------------------------

class Intervals:
    """Who is a member for which versions of which slice, as the daemon's log says."""

    def __init__(self, log, shard_of):
        self.shard_of = shard_of
        self.open = {}  # (rank, slice): first version
        self.closed = []  # (rank, slice, from, until)
        self.without = set()  # (rank, version): taken out of that step
        for line in log.splitlines():
            facts = dict(re.findall(r"(\w+)=(\S+)", line))
            handle = getattr(self, "on_" + facts.get("event", ""), None)
            if handle is not None:
                handle(facts)

    def slices(self, facts):
        shard = int(facts.get("shard", 0))
        return [i for i, owner in enumerate(self.shard_of) if shard in (0, owner)]

    def begin(self, facts, version):
        for i in self.slices(facts):
            self.open[int(facts["rank"]), i] = version

    def end(self, facts, i, version):
        key = int(facts["rank"]), i
        if key in self.open:
            self.closed.append((*key, self.open.pop(key), version))

    def on_worker_joined(self, facts):
        self.begin(facts, 0)

    def on_worker_joins(self, facts):
        for i in self.slices(facts):
            self.open.pop((int(facts["rank"]), i), None)

    def on_worker_admitted(self, facts):
        self.begin(facts, int(facts["version"]))

    def on_worker_until(self, facts):
        for i in self.slices(facts):
            self.end(facts, i, int(facts["clock"]))

    def on_worker_without(self, facts):
        later = [int(i) for i in facts.get("later_slices", "").split(",") if i]
        for i in self.slices(facts):
            self.end(facts, i, int(facts["later"] if i in later else facts["version"]))

    def on_step_without(self, facts):
        self.without.add((int(facts["rank"]), int(facts["version"])))

    def members(self, i, version):
        ranks = [rank for rank, at, begin, until in self.closed
                 if at == i and begin <= version < until]
        ranks += [rank for (rank, at), begin in self.open.items() if at == i and begin <= version]
        return sorted(rank for rank in set(ranks) if (rank, version) not in self.without)


def reference(log, shard_of, versions):
    """Slice by slice in double."""
    intervals = Intervals(log, shard_of)
    result = []
    for i in range(raw_worker.ROWS):
        weights = [0.0] * raw_worker.COLUMNS
        for version in range(versions):
            ranks = intervals.members(i, version)
            total = sum(map(raw_worker.examples, ranks))
            means = [0.0] * raw_worker.COLUMNS
            for rank in ranks:
                share = raw_worker.examples(rank) / total
                grads = raw_worker.gradient(rank, version, i, weights)
                means = [m + share * g for m, g in zip(means, grads)]
            weights = [w - LR * m for w, m in zip(weights, means)]
        result.append(weights)
    return result


def assert_like_reference(cluster):
    weights, versions = cluster.weights()
    _, shard_of = cluster.observe()
    log = cluster.log_text()
    for got, right in zip(weights, reference(log, shard_of, versions)):
        for a, b in zip(raw.floats(got), right):
            assert abs(a - b) <= 1e-5 * max(1.0, abs(b)), f"{a} is not {b}\n{log}"


def undisturbed(steps=STEPS):
    with Cluster(3) as cluster:
        workers = [cluster.start(rank, "--until", steps) for rank in range(3)]
        for worker in workers:
            assert worker.end()[1] == 0
        return cluster.weights()


def push_bytes():
    return raw_worker.ROWS * raw_worker.COLUMNS * 4


# ---- The tests -----------------------------------------------------------------------------------

class Killed(unittest.TestCase):
    """kill -9 of a worker that has sent its pushes up to a random byte."""

    def cut(self, cluster, seed):
        """Starts three workers, and kills rank 2 in the middle of its pushes."""
        bytes_sent = random.Random(seed).randrange(push_bytes() + 200)
        print(f"seed {seed}: killed after {bytes_sent} bytes", flush=True)
        others = [cluster.start(rank, "--until", STEPS) for rank in range(2)]
        victim = cluster.start(2, "--lease-ms", LEASE_MS, "--cut-at", CUT_AT, "--cut-bytes",
                               bytes_sent)
        self.assertEqual(victim.says()[0], "joined")
        self.assertEqual(victim.says(), ["cut"])
        victim.send(signal.SIGKILL)
        victim.end()
        return others

    def finish(self, workers):
        for worker in workers:
            said, status = worker.end()
            self.assertEqual(status, 0, said)

    def replace(self, cluster):
        """Another worker takes the rank, as soon as the lease has run out."""
        cluster.wait_for_state(2, "lost")
        self.assertRegex(cluster.shown(), r"for rank 2 \(silent \d")
        return cluster.start(2, "--until", STEPS)

    def test_wait__replaced__has_the_bits_of_an_undisturbed_run(self):
        right = undisturbed()
        for seed in (1, 2, 3):
            with Cluster(3) as cluster:
                workers = self.cut(cluster, seed)
                self.finish([*workers, self.replace(cluster)])
                self.assertEqual(cluster.weights(), right)

    def test_wait__replaced_and_atomic__has_the_bits_of_an_undisturbed_run(self):
        right = undisturbed()
        with Cluster(3, "atomic: job") as cluster:
            workers = self.cut(cluster, seed=4)
            self.finish([*workers, self.replace(cluster)])
            self.assertEqual(cluster.weights(), right)

    def test_shrink__is_what_the_logged_members_make_of_it(self):
        for seed in (5, 6, 7):
            with Cluster(3, "on_loss: shrink") as cluster:
                self.finish(self.cut(cluster, seed))
                self.assertEqual(cluster.status()["version_max"], STEPS)
                assert_like_reference(cluster)

    def test_shrink__atomic__takes_the_broken_step_nowhere_or_everywhere(self):
        for seed in (8, 9, 10):
            with Cluster(3, "on_loss: shrink\n    atomic: job") as cluster:
                self.finish(self.cut(cluster, seed))
                self.assertEqual(cluster.status()["version_max"], STEPS)
                assert_like_reference(cluster)
                versions = set(re.findall(r"event=worker_without.* version=(\d+)",
                                          cluster.log_text()))
                self.assertLessEqual(versions, {str(CUT_AT), str(CUT_AT + 1)})

    def test_shrink__below_the_least__waits_for_another(self):
        right = undisturbed()
        with Cluster("3..3", "on_loss: shrink") as cluster:
            workers = self.cut(cluster, seed=11)
            replacement = self.replace(cluster)
            self.assertIn("worker_waited_for", cluster.log_text())
            self.finish([*workers, replacement])
            self.assertEqual(cluster.weights(), right)

    def test_fail__tells_all_who_was_silent(self):
        with Cluster(3, "on_loss: fail") as cluster:
            for worker in self.cut(cluster, seed=12):
                said, status = worker.end()
                self.assertEqual(status, 1)
                self.assertRegex(said, r"error job 'j' has failed: rank 2 .* silent for 1\d\d\d ms")
            self.assertEqual(cluster.status()["state"], "failed")
            self.assertRegex(cluster.shown(), r"(?m)^  job 'j' has failed: rank 2 ")
            with raw.Peer(cluster.daemon.address, "j", role=raw.OBSERVER) as peer:
                peer.open()
                with self.assertRaisesRegex(raw.Refused, "rank 2"):
                    peer.pull(STEPS)


class Stopped(unittest.TestCase):
    """SIGSTOP past the lease, and then SIGCONT."""

    def stop(self, cluster, worker):
        self.assertEqual(worker.says()[0], "joined")
        cluster.wait_for_version(3)
        worker.send(signal.SIGSTOP)

    def finish(self, workers):
        for worker in workers:
            worker.tell_to_leave()
        for worker in workers:
            said, status = worker.end()
            self.assertEqual(status, 0, said)

    def test_wait__goes_on_where_it_was(self):
        right = undisturbed(MANY_STEPS)
        with Cluster(3) as cluster:
            workers = [cluster.start(rank, "--until", MANY_STEPS) for rank in range(2)]
            stopped = cluster.start(2, "--lease-ms", LEASE_MS, "--until", MANY_STEPS)
            self.stop(cluster, stopped)
            cluster.wait_for_state(2, "lost")
            stopped.send(signal.SIGCONT)
            for worker in (*workers, stopped):
                said, status = worker.end()
                self.assertEqual(status, 0, said)
            self.assertEqual(cluster.weights(), right)
            self.assertIn("event=worker_back", cluster.log_text())

    def test_wait__replaced_meanwhile__is_told_so_and_changes_nothing(self):
        with Cluster(3) as cluster:
            workers = [cluster.start(rank) for rank in range(2)]
            stopped = cluster.start(2, "--lease-ms", LEASE_MS)
            self.stop(cluster, stopped)
            cluster.wait_for_state(2, "lost")
            replacement = cluster.start(2)
            self.assertEqual(replacement.says()[0], "joined")
            stopped.send(signal.SIGCONT)
            said, status = stopped.end()
            self.assertEqual(status, 1)
            self.assertRegex(said, "error worker 'raw' was silent .* rank 2 .* has passed to")
            self.finish([*workers, replacement])
            assert_like_reference(cluster)

    def test_shrink__is_told_that_it_was_given_up_and_joins_again(self):
        with Cluster(3, "on_loss: shrink") as cluster:
            workers = [cluster.start(rank) for rank in range(2)]
            stopped = cluster.start(2, "--lease-ms", LEASE_MS)
            self.stop(cluster, stopped)
            cluster.wait_for_state(2, "given_up")
            stopped.send(signal.SIGCONT)
            said, status = stopped.end()
            self.assertEqual(status, 1)
            self.assertRegex(said, r"error rank 2 .* was silent for 1\d\d\d ms and was given up")
            again = cluster.start()
            joined = again.says()
            self.assertEqual(joined[:2], ["joined", "2"])
            cluster.wait_for_version(int(joined[2]) + 1)
            self.finish([*workers, again])
            assert_like_reference(cluster)


class Elastic(unittest.TestCase):
    """Workers that come and go while a job runs."""

    def joined(self, worker, rank):
        said = worker.says()
        self.assertEqual(said[:2], ["joined", str(rank)])
        return int(said[2])

    def leave(self, workers):
        for worker in workers:
            worker.tell_to_leave()
            said, status = worker.end()
            self.assertEqual(status, 0, said)

    def come_and_go(self, settings):
        with Cluster("2..4", settings) as cluster:
            a, b = [cluster.start(rank) for rank in range(2)]
            cluster.wait_for_version(2)
            c, d = cluster.start(), cluster.start()
            first = max(int(w.says()[2]) for w in (c, d))
            self.assertGreaterEqual(first, 2)
            cluster.wait_for_version(first + 1)
            self.leave([b])
            cluster.wait_until(lambda job: job["version_min"] > first + 3)
            e = cluster.start(1)
            again = self.joined(e, 1)
            cluster.wait_for_version(again + 2)
            # one after the other, so at different steps: the last epoch waits for nobody
            self.leave([c, a, e, d])
            self.assertEqual(cluster.status()["state"], "finished")
            assert_like_reference(cluster)

    def test_sync__is_what_the_logged_members_make_of_it(self):
        self.come_and_go("")

    def test_atomic__is_what_the_logged_members_make_of_it(self):
        self.come_and_go("atomic: job")

    def test_shrink__one_is_lost_among_them__is_what_the_logged_members_make_of_it(self):
        with Cluster("2..4", "on_loss: shrink") as cluster:
            a, b = [cluster.start(rank) for rank in range(2)]
            c = cluster.start(2, "--lease-ms", LEASE_MS)
            cluster.wait_until(lambda job: len(job["members"]) == 3 and job["version_min"] > 3)
            c.send(signal.SIGKILL)
            cluster.wait_for_state(2, "given_up")
            d = cluster.start(3)
            cluster.wait_for_version(self.joined(d, 3) + 1)
            self.leave([a, b, d])
            assert_like_reference(cluster)

    def test_backup__unequal_numbers_of_steps__wait_for_nobody(self):
        with Cluster(3, "backup: 1\n    on_loss: shrink") as cluster:
            workers = [cluster.start(rank, "--late") for rank in range(3)]
            for worker in workers:
                before = cluster.status()["version_min"]
                cluster.wait_for_version(before + 5)
                self.leave([worker])
            self.assertEqual(cluster.status()["state"], "finished")

    def test_bounded__a_joiner_holds_nobody_back(self):
        with Cluster("2..3", "mode: bounded\n    staleness: 2") as cluster:
            a, b = [cluster.start(rank, "--freely") for rank in range(2)]
            before = cluster.wait_until(lambda job: len(job["members"]) == 2 and
                                        min(m["clock"] for m in job["members"]) > 50)
            c = cluster.start(2, "--freely")
            self.assertGreater(self.joined(c, 2), 50)
            cluster.wait_for_version(before["version_min"] + 100)
            self.leave([a, c, b])
            self.assertEqual(cluster.status()["state"], "finished")


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv[:1] + sys.argv[2:])
