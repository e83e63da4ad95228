#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Operations that are started and waited for later, and what else a job offers beside training."""
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings

import need_stepd
import numpy as np
import stepd

LARGE = 3_000_000
SGD = [stepd.Group(optimizer="sgd", lr=0.5)]


class Futures(need_stepd.DaemonCase):
    def start_pair(self):
        """Two workers of a job with a large tensor and a small one, that have pulled."""
        pair = [self.connect(rank=rank) for rank in range(2)]
        for client in pair:
            client.define({"large": stepd.Constant((LARGE,)), "small": stepd.Constant((3,))},
                          workers=2, groups=SGD)
            client.pull()
        return pair

    def test_result__before_the_others_have_come__is_late_and_comes_later(self):
        client, other = self.start_pair()
        future = client.step_start({"small": np.ones(3, np.float32)})
        self.assertFalse(future.wait(timeout=0))
        self.assertFalse(future.done())
        with self.assertRaises(stepd.DeadlineExceeded):
            future.result(timeout=0.01)
        other.push({"small": np.ones(3, np.float32)})
        self.assertTrue(future.wait())
        self.assertTrue(future.done())
        np.testing.assert_array_equal(future.result().weights["small"], -0.5)
        self.assertIs(future.result(), future.result())

    def test_arrays__that_the_caller_forgets__are_kept_until_they_have_arrived(self):
        client, other = self.start_pair()
        future = client.push_start({"large": np.full(LARGE, 2, np.float32)})
        gc.collect()
        noise = [np.full(LARGE, 7, np.float32) for _ in range(4)]
        self.assertEqual(len(noise), 4)
        weights = other.step({"large": np.zeros(LARGE, np.float32)}).weights["large"]
        np.testing.assert_array_equal(weights, -0.5)
        self.assertEqual(future.result().applied, future.result().slices)

    def test_future__that_is_dropped__goes_on_and_is_freed_later(self):
        client, other = self.start_pair()
        for step in range(1, 4):
            client.push_start({"large": np.full(LARGE, 2, np.float32)})
            noise = np.full(LARGE, 7, np.float32)
            weights = other.step({"large": np.zeros(LARGE, np.float32)}).weights["large"]
            np.testing.assert_array_equal(weights, noise * 0 - 0.5 * step)
            client.pull(["large"], min_version=step)

    def test_future__of_a_failed_push__raises_each_time(self):
        client, _ = self.start_pair()
        future = client.push_start({"small": np.ones(3, np.float32)}, deadline=0.01)
        for _ in range(2):
            with self.assertRaises(stepd.DeadlineExceeded):
                future.result()

    def test_failed_push__whose_future_was_dropped__is_warned_of_once(self):
        client, _ = self.start_pair()
        client.push_start({"small": np.full(3, np.nan, np.float32)})
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            with self.assertRaisesRegex(RuntimeWarning, "dropped has failed: .*small"):
                for _ in range(100_000):  # until it is over
                    client.pull(["small"])
            client.pull(["small"])
            client.close()

    def test_future__of_a_client_that_was_closed__is_cancelled(self):
        client, _ = self.start_pair()
        future = client.push_start({"small": np.ones(3, np.float32)})
        client.close()
        self.assertTrue(future.done())
        with self.assertRaises(stepd.Cancelled):
            future.result()

    def test_futures__of_several_threads__all_come(self):
        clients = self.start_pair()
        failures = []

        def train(client):
            try:
                for _ in range(20):
                    futures = [client.step_start({name: np.zeros(n, np.float32)}, priority=-i)
                               for i, (name, n) in enumerate([("large", LARGE), ("small", 3)])]
                    for future in futures:
                        future.result()
            except stepd.Error as error:
                failures.append(error)
        threads = [threading.Thread(target=train, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(clients[0].status()["jobs"][-1]["workers"], 2)

    def test_pull_start__into_out__returns_out(self):
        client, _ = self.start_pair()
        out = {"small": np.ones(3, np.float32)}
        self.assertIs(client.pull_start(out=out).result()["small"], out["small"])
        np.testing.assert_array_equal(out["small"], 0)


class Beside(need_stepd.DaemonCase):
    """What is no training."""

    def setUp(self):
        self.client = self.connect()
        self.client.define({"w": stepd.Constant((4,))},
                           groups=[stepd.Group("w", name="all", optimizer="sgd", lr=0.5)])
        self.client.pull()
        self.ones = {"w": np.ones(4, np.float32)}

    def test_change__of_the_learning_rate__counts_from_the_step_that_it_says(self):
        self.client.step(self.ones)
        change = self.client.change("all", lr=0.25)
        self.assertEqual((change.number, change.groups), (1, 1))
        values = [0.0, float(self.client.pull()["w"][0])]
        while self.client.pull()["w"].any() and len(values) < 20:
            values.append(float(self.client.step(self.ones).weights["w"][0]))
        steps = np.diff(values)
        self.assertEqual(set(steps[:change.version - 1]), {-0.5})
        self.assertEqual(set(steps[change.version:]), {-0.25})

    def test_change__of_an_unknown_group__names_it(self):
        with self.assertRaises(stepd.Error) as caught:
            self.client.change("none", lr=1)
        self.assert_says(caught, "none")

    def test_report__of_a_loss__stands_in_the_status(self):
        self.client.step(self.ones)
        self.client.report(1, 0.125, 64)
        job = self.client.status(self.id().rpartition(".")[2])["jobs"][0]
        self.assertEqual((job["members"][0]["loss"], job["version_max"]), (0.125, 1))

    def test_status__of_more_members_than_a_frame_holds__has_them_all(self):
        """A header has at most 64 KiB."""
        first = self.connect(job="many", rank=0)
        first.define({"w": stepd.Constant((2,))}, workers=400,
                     groups=[stepd.Group(optimizer="sgd", lr=1)])
        for rank in range(1, 400):
            self.connect(job="many", rank=rank, worker="w" * 190)
        [job] = first.status("many")["jobs"]
        self.assertEqual([member["rank"] for member in job["members"]], list(range(400)))

    def test_leave__by_the_context_manager__is_seen_by_the_others(self):
        with self.client:
            self.client.step(self.ones)
        asker = self.connect(observer=True)
        job = asker.status(self.id().rpartition(".")[2])["jobs"][0]
        self.assertEqual(job["members"][0]["state"], "left")

    def test_exception__in_the_context_manager__does_not_leave(self):
        with self.assertRaises(KeyError), self.client:
            raise KeyError
        asker = self.connect(observer=True)
        job = asker.status(self.id().rpartition(".")[2])["jobs"][0]
        self.assertNotEqual(job["members"][0]["state"], "left")

    def test_views__of_a_group_that_keeps_averages__differ(self):
        client = self.connect(job="views")
        client.define({"w": stepd.Constant((1,))},
                      groups=[stepd.Group(optimizer="sgd", lr=1.0, ema_decay=0.5)])
        client.pull()
        for _ in range(2):
            client.step({"w": np.ones(1, np.float32)})
        self.assertNotEqual(client.pull(view="ema")["w"], client.pull(view="evaluation")["w"])
        with self.assertRaises(stepd.InvalidArgument):
            client.pull(view="average")


EXITS_WITH_A_CLIENT = """
import sys, stepd
client = stepd.connect(sys.argv[1], job="exits", on_event=print)
client.define({"w": stepd.Constant((3,))}, groups=[stepd.Group(optimizer="sgd", lr=1)])
kept = client.pull_start(min_version=10), client
"""


class Forgotten(need_stepd.DaemonCase):
    def test_client__that_is_forgotten__ends_its_thread(self):
        before = len(os.listdir("/proc/self/task"))
        client = stepd.connect(self.address, job="forgotten")
        self.assertGreater(len(os.listdir("/proc/self/task")), before)
        del client
        gc.collect()
        self.assertEqual(len(os.listdir("/proc/self/task")), before)

    def test_interpreter__that_ends_with_an_open_client__ends(self):
        ended = subprocess.run([sys.executable, "-c", EXITS_WITH_A_CLIENT, self.address],
                               timeout=60, capture_output=True, text=True, check=False)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class OnTheSameHost(unittest.TestCase):
    def test_lent_arrays__in_a_step__hold_what_came(self):
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = f"{folder}/checkpoints"
            os.mkdir(checkpoints)
            with need_stepd.start_daemon("--unix", f"{folder}/socket", "--checkpoint-dir",
                                         checkpoints):
                with stepd.connect(f"unix:{folder}/socket", job="lent") as client:
                    client.define({"w": stepd.Constant((1000, 100))}, groups=SGD)
                    client.pull()
                    lent = client.lend("w")
                    for _ in range(3):
                        lent.grad[:] = 1
                        client.step({"w": lent.grad}, out={"w": lent.weights})
                    np.testing.assert_array_equal(lent.weights, -1.5)
                    self.assertFalse(lent.weights.flags.writeable)
                    with self.assertRaises(stepd.InvalidArgument):
                        client.lend("v")
                    checkpoint = client.checkpoint()
                    self.assertEqual(checkpoint.step, 3)
                    self.assertTrue(os.path.isdir(f"{checkpoints}/lent/{checkpoint.name}"))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
