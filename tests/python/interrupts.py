#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C ends every wait at once, and leaves a client that can be used and closed. The signal is
sent when the daemon says that the call waits there."""
import signal
import threading
import time
import unittest

import need_stepd
import numpy as np
import stepd

SGD = [stepd.Group(optimizer="sgd", lr=0.5)]
W = {"w": np.zeros(4, np.float32)}
ONE = {"w": np.ones(4, np.float32)}


class Interrupts(need_stepd.DaemonCase):
    def setUp(self):
        """Rank 0 of two; the other one makes it wait. Asked by a third."""
        self.client, self.other = self.connect(rank=0), self.connect(rank=1)
        self.client.define(W, workers=2, groups=SGD)
        self.other.define(W, workers=2, groups=SGD)
        self.weights = self.client.pull()
        self.other.pull()
        self.asker = self.connect(observer=True)
        self.job = self.id().rpartition(".")[2]

    def status(self):
        return self.asker.status(self.job)["jobs"][0]

    def is_parked(self):
        return self.status()["parked"] > 0

    def is_at_barrier(self):
        return any(member["barrier"] for member in self.status()["members"])

    def interrupted(self, is_due, function, *arguments, **options):
        began = time.monotonic()
        with need_stepd.Interrupter(is_due, signal.SIGINT), self.assertRaises(KeyboardInterrupt):
            function(*arguments, **options)
        self.assertLess(time.monotonic() - began, need_stepd.PROMPT_S)

    def test_pull__that_is_interrupted__leaves_a_client_that_pulls(self):
        self.interrupted(self.is_parked, self.client.pull, min_version=1000)
        np.testing.assert_array_equal(self.client.pull()["w"], self.weights["w"])

    def test_push__that_is_interrupted__counts_when_the_others_come(self):
        self.interrupted(self.is_parked, self.client.push, ONE)
        self.other.push(ONE)
        self.assertEqual(self.client.pull(min_version=1)["w"][0], -0.5)
        with_other = self.other.push_start(ONE)
        self.client.step(ONE)
        with_other.result()

    def test_step__that_is_interrupted__ends_with_its_client(self):
        self.interrupted(self.is_parked, self.client.step, ONE)
        began = time.monotonic()
        self.client.close()
        self.assertLess(time.monotonic() - began, need_stepd.PROMPT_S)

    def test_result__that_is_interrupted__can_be_asked_for_again(self):
        future = self.client.step_start(ONE)
        self.interrupted(self.is_parked, future.result)
        self.assertFalse(future.done())
        self.other.push(ONE)
        self.assertEqual(future.result().weights["w"][0], -0.5)

    def test_barrier__that_is_interrupted__goes_on_where_it_was(self):
        self.interrupted(self.is_at_barrier, self.client.barrier, "epoch")
        other = threading.Thread(target=self.other.barrier, args=("epoch",))
        other.start()
        self.client.barrier("epoch")
        other.join()

    def test_wait__that_a_signal_handler_ends__raises_what_it_raises(self):
        class Alarm(Exception):
            """Of this test."""

        def on_signal(number, frame):
            raise Alarm
        before = signal.signal(signal.SIGUSR1, on_signal)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        with need_stepd.Interrupter(self.is_at_barrier, signal.SIGUSR1), self.assertRaises(Alarm):
            self.client.barrier("epoch")

    def test_wait__of_another_thread__releases_the_interpreter_and_ends_with_the_client(self):
        caught = []

        def wait():
            try:
                self.client.barrier("epoch")
            except stepd.Error as error:
                caught.append(error)
        thread = threading.Thread(target=wait)
        thread.start()
        while not self.is_at_barrier():
            pass
        self.client.close()
        thread.join()
        self.assertIsInstance(caught[0], stepd.Cancelled)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
