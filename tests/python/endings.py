#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts that end without leaving, by an exception or killed, and are started again."""
import signal
import subprocess
import sys
import unittest

import need_stepd
import numpy as np
import stepd

SGD = [stepd.Group(optimizer="sgd", lr=0.5)]
W = {"w": np.zeros(4, np.float32)}
ONE = {"w": np.ones(4, np.float32)}

# A worker that has joined and waits to be killed.
WORKER = """
import sys, numpy, stepd
client = stepd.connect(sys.argv[1], job=sys.argv[2], worker=sys.argv[3] or None)
client.define({"w": numpy.zeros(4, numpy.float32)}, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
client.step({"w": numpy.ones(4, numpy.float32)}) if client.pull() else None
print("joined", flush=True)
sys.stdin.read()
"""


class Exceptions(need_stepd.DaemonCase):
    class Failure(Exception):
        """Of a script."""

    def test_block__that_fails_before_anything_is_defined__frees_rank_and_job(self):
        job = self.id()
        with self.assertRaises(stepd.InvalidArgument):
            with stepd.connect(self.address, job=job) as client:
                client.define(W, groups=[stepd.Group(optimizer="sgd", lr=-1)])
        with stepd.connect(self.address, job=job) as client:
            client.define({"b": np.zeros(2, np.float32)}, workers=1, mode="async", groups=SGD)

    def test_block__that_fails_between_steps__is_a_lost_worker_whose_rank_is_free(self):
        job = self.id()
        with self.assertRaises(self.Failure):
            with stepd.connect(self.address, job=job) as client:
                client.define(W, groups=SGD)
                client.pull()
                client.step(ONE)
                raise self.Failure
        with stepd.connect(self.address, job=job) as client:
            self.assertEqual(client.rank, 0)
            client.define(W, groups=SGD)
            np.testing.assert_array_equal(client.pull()["w"], -0.5 * ONE["w"])
            np.testing.assert_array_equal(client.step(ONE).weights["w"], -ONE["w"])

    def test_block__that_fails__is_no_end_of_its_job(self):
        job = self.id()
        observer = self.connect(observer=True, job=None)
        with self.assertRaises(self.Failure):
            with stepd.connect(self.address, job=job) as client:
                client.define(W, groups=SGD)
                raise self.Failure
        while True:
            seen = observer.status(job)["jobs"][0]
            if seen["members"][0]["state"] != "present":
                break
        self.assertEqual((seen["state"], seen["members"][0]["state"]), ("running", "lost"))


class Kills(need_stepd.DaemonCase):
    def kill_one(self, job, name):
        """Starts a worker, kills it, and waits until the daemon has seen that it is gone."""
        worker = subprocess.Popen([sys.executable, "-c", WORKER, self.address, job, name],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(worker.stdout.close)
        self.addCleanup(worker.stdin.close)
        self.addCleanup(worker.wait)
        self.addCleanup(worker.kill)
        self.assertEqual(worker.stdout.readline().strip(), "joined")
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    def refusal(self, job):
        """Of who comes under another name, as soon as the daemon knows of the death."""
        while True:
            with self.assertRaises(stepd.ResourceExhausted) as caught:
                stepd.connect(self.address, job=job, worker="other")
            if "connection lost" in str(caught.exception):
                return caught

    def test_connect__where_the_worker_was_killed__is_told_who_it_was_and_what_to_do(self):
        self.kill_one(self.id(), "trainer-0")
        self.assert_says(self.refusal(self.id()), "rank 0 by worker 'trainer-0' (connection lost, ",
                         "lease", " runs out in ", " s: connect again then, or now under the "
                         "worker name of one that is lost")

    def test_connect__under_the_name_of_one_that_was_killed__goes_on_at_once(self):
        self.kill_one(self.id(), "trainer-0")
        self.refusal(self.id())
        with stepd.connect(self.address, job=self.id(), worker="trainer-0") as client:
            client.define(W, groups=SGD)
            np.testing.assert_array_equal(client.pull()["w"], -0.5 * ONE["w"])
            np.testing.assert_array_equal(client.step(ONE).weights["w"], -ONE["w"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")
