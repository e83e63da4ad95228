#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each status is an exception of its own, and the texts say what to do."""
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import need_stepd
import numpy as np
import stepd

SGD = [stepd.Group(optimizer="sgd", lr=0.5)]
W = {"w": np.zeros(4, np.float32)}
ONE = {"w": np.ones(4, np.float32)}

ALONE = """
import sys, numpy, stepd
w, b = numpy.zeros(4, numpy.float32), numpy.zeros(2, numpy.float32)
with stepd.connect(sys.argv[1], job=sys.argv[2]) as client:
    client.define({"w": w, "b": b}, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
    client.pull()
    for function in (client.step, client.push):
        try:
            function({"w": w})
        except stepd.InvalidArgument as refusal:
            print(refusal)
    client.step({"w": w, "b": b})
"""


class Statuses(unittest.TestCase):
    def test_status__of_every_kind__has_the_librarys_number(self):
        from stepd._stepd import ffi, lib
        for status in stepd.Status:
            self.assertEqual(getattr(lib, f"STEPD_{status.name}"), status)
            self.assertEqual(ffi.string(lib.stepd_status_name(status)).decode(), status.name)

    def test_exceptions__are_also_pythons_own(self):
        self.assertTrue(issubclass(stepd.InvalidArgument, ValueError))
        self.assertTrue(issubclass(stepd.DeadlineExceeded, TimeoutError))
        self.assertTrue(issubclass(stepd.Unavailable, ConnectionError))

    def test_exception__that_was_pickled__is_the_same(self):
        for kind in (stepd.RolledBack, stepd.Unavailable, stepd.InvalidArgument):
            again = pickle.loads(pickle.dumps(kind("why")))
            self.assertIs(type(again), kind)
            self.assertEqual((str(again), again.code), ("why", kind.code))


class Refusals(need_stepd.DaemonCase):
    def test_connect__to_nobody__is_unavailable(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(stepd.Unavailable) as caught:
                stepd.connect(f"unix:{folder}/none", job="j", connect_timeout=0.05)
        self.assertEqual(caught.exception.code, stepd.Status.UNAVAILABLE)

    def test_connect__without_a_job__is_refused(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            stepd.connect(self.address)
        self.assert_says(caught, "job")

    def test_connect__with_a_rank_that_is_taken__already_exists(self):
        self.connect(rank=0)
        with self.assertRaises(stepd.AlreadyExists):
            self.connect(rank=0)

    def test_connect__with_an_unknown_dtype__says_which_there_are(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.connect(push_dtype="float32")
        self.assert_says(caught, "f32, f16, bf16")

    def test_connect__with_a_negative_time__is_refused(self):
        with self.assertRaises(ValueError):
            self.connect(connect_timeout=-1)

    def test_connect__with_what_is_no_address_or_job__says_what_to_give(self):
        for options, kind, words in (
                ({"address": 7070}, TypeError, ("address is 7070 (int)", "'host:port'")),
                ({"address": "http://127.0.0.1:7070"}, ValueError, ("takes no URL", "'host:port'")),
                ({"address": "localhost"}, ValueError, ("localhost",)),
                ({"address": self.address, "job": 7}, TypeError, ("job is 7 (int): give text",)),
                ({"address": self.address, "job": None}, ValueError, ("job is missing",
                                                                     "STEPD_JOB")),
                ({"address": self.address, "rank": -1}, ValueError, ("rank is -1", "from 0 to")),
                ({"address": self.address, "rank": "0"}, TypeError, ("rank is '0' (str)",)),
                ({"address": self.address, "lease": "60"}, TypeError, ("lease is '60' (str)",)),
                ({"address": self.address, "worker": 3}, TypeError, ("worker is 3 (int)",)),
                ({"address": self.address, "busy_poll": -1}, ValueError, ("busy_poll is -1",)),
        ):
            with self.subTest(**options), self.assertRaises(kind) as caught:
                stepd.connect(**{"job": "j", **options})
            self.assert_says(caught, *words)

    def test_training__with_what_makes_no_sense__names_argument_value_and_remedy(self):
        client = self.connect()
        client.define({**W, "b": np.zeros(2, np.float32)}, groups=SGD)
        weights = client.pull()
        for function, options, kind, words in (
                (client.step, {"grads": None}, ValueError, ("grads is None: give a mapping",)),
                (client.push, {"grads": ONE["w"]}, ValueError, ("grads is array", "(ndarray)")),
                (client.step, {"grads": weights, "out": [1]}, ValueError, ("out is [1] (list)",)),
                (client.step, {"grads": weights, "out": {"w": weights["w"]}}, ValueError,
                 ("'b': out has no array",)),
                (client.push, {"grads": weights, "examples": -1}, ValueError,
                 ("examples is -1: give a whole number from 0 to 1073741824",)),
                (client.push, {"grads": weights, "examples": .5}, TypeError,
                 ("examples is 0.5 (float): give a whole number",)),
                (client.push, {"grads": weights, "loss": "low"}, TypeError,
                 ("loss is 'low' (str): give a number",)),
                (client.push, {"grads": weights, "priority": 2**40}, ValueError, ("priority is",)),
                (client.push, {"grads": weights, "deadline": "soon"}, TypeError,
                 ("deadline is 'soon'",)),
                (client.pull, {"names": ["w"], "out": {"b": weights["b"]}}, ValueError,
                 ("'w' is asked for by names, and out has no array for it: it has 'b'",)),
                (client.pull, {"names": ["w"], "out": None, "min_version": -1}, ValueError,
                 ("min_version is -1",)),
                (client.pull, {"view": ["ema"]}, ValueError, ("view is ['ema'] (list): give one of "
                                                              "training",)),
                (client.report, {"step": -1, "loss": 0.5}, ValueError,
                 ("step is -1: give a whole number from 1 to",)),
                (client.report, {"step": 1, "loss": None}, TypeError, ("loss is None",)),
                (client.barrier, {"name": 7}, TypeError, ("name is 7 (int): give text",)),
        ):
            with self.subTest(**options), self.assertRaises(kind) as caught:
                function(**options)
            self.assert_says(caught, *words)
        self.assertEqual(client.step({"w": ONE["w"], "b": weights["b"]}).weights["w"][0], -0.5)

    def test_status__of_a_job_that_there_is_not__can_be_asked_without_naming_it(self):
        with self.assertRaises(stepd.NotFound) as caught:
            self.connect(observer=True)
        self.assert_says(caught, "there is no job", "name none to look at all")
        names = [job["name"] for job in self.connect(observer=True, job=None).status()["jobs"]]
        self.assertNotIn(self.id().rpartition(".")[2], names)

    def test_attach__to_a_job_that_nobody_defines__is_late(self):
        with self.assertRaises(stepd.DeadlineExceeded):
            self.connect().attach(timeout=0.01)

    def test_push__that_another_worker_does_not_join__says_who_is_waited_for(self):
        client, other = self.connect(rank=0), self.connect(rank=1)
        client.define(W, workers=2, groups=SGD)
        other.define(W, workers=2, groups=SGD)
        client.pull()
        with self.assertRaises(stepd.DeadlineExceeded) as caught:
            client.push(ONE, deadline=0.05)
        self.assert_says(caught, "rank 1")

    def test_step__without_a_tensor_of_the_same_slice__is_refused_at_once(self):
        """In a process that has no other thread, which might bring the tensor."""
        done = subprocess.run([sys.executable, "-c", ALONE, self.address, self.id()],
                              capture_output=True, text=True, timeout=need_stepd.PROMPT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("'w' travels in one slice with 'b', which is missing"),
                         2, done.stdout)

    def test_push__that_another_call_completes__is_whole(self):
        client = self.connect()
        client.define({**W, "b": np.zeros(2, np.float32)}, groups=SGD)
        weights = client.pull()
        first = client.push_start(ONE)
        client.push({"b": weights["b"]})
        self.assertEqual(first.result().applied, 1)

    def test_push__that_waits_for_another_tensor__is_told_of(self):
        told = queue.SimpleQueue()
        client = self.connect(on_event=told.put)
        client.define({**W, "b": np.zeros(2, np.float32)}, groups=SGD)
        client.pull()
        client.push_start(ONE)
        event = told.get(timeout=need_stepd.PROMPT_S)
        self.assertEqual(event.kind, "waiting")
        self.assertIn("tensor 'w' waits for 'b'", event.text)

    def test_push__of_nan__is_refused_by_the_tensors_name(self):
        client = self.connect()
        client.define(W, groups=SGD)
        client.pull()
        with self.assertRaises(stepd.InvalidArgument) as caught:
            client.push({"w": np.array([0, np.nan, 0, 0], np.float32)})
        self.assert_says(caught, "w")
        self.assertEqual(client.step(ONE).weights["w"][0], -0.5)

    def test_define__of_a_model_that_changed__says_in_what(self):
        self.connect(rank=0).define(W, workers=2, groups=SGD)
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.connect(rank=1).define({"w": np.zeros(5, np.float32)}, workers=2, groups=SGD)
        self.assert_says(caught, "'w'", "4", "5")

    def test_define__of_a_list_where_a_number_stands__says_what_to_write(self):
        for params in ({"amsgrad": [1]}, {"clip_norm": (0.5,)}):
            group = stepd.Group(optimizer="adam", lr=0.1, **params)
            with self.assertRaises(stepd.InvalidArgument) as caught:
                self.connect(job=self.id() + str(params)).define(W, groups=[group])
            self.assert_says(caught, "takes one value, and not a list: write ")

    def test_define__that_was_refused_half_way__can_be_corrected(self):
        client = self.connect()
        with self.assertRaises(stepd.InvalidArgument):
            client.define(W, groups=[stepd.Group("b", optimizer="sgd", lr=0.5)])
        with self.assertRaises(stepd.InvalidArgument):
            client.define({**W, "__metadata__": np.zeros(1, np.float32)}, groups=SGD)
        client.define(W, groups=SGD, mode="async")
        client.pull()
        self.assertEqual(client.step(ONE).weights["w"][0], -0.5)

    def test_define__of_an_optimizer_that_there_is_not__names_it(self):
        with self.assertRaises(stepd.Error) as caught:
            self.connect().define(W, groups=[stepd.Group(optimizer="sdg", lr=1)])
        self.assert_says(caught, "sdg")

    def test_push__by_an_observer__is_refused(self):
        self.connect().define(W, groups=SGD)
        observer = self.connect(observer=True)
        observer.attach()
        np.testing.assert_array_equal(observer.pull()["w"], W["w"])
        with self.assertRaises(stepd.FailedPrecondition):
            observer.push(ONE)

    def test_checkpoint__of_a_daemon_that_keeps_none__says_what_to_do(self):
        client = self.connect()
        client.define(W, groups=SGD)
        with self.assertRaises(stepd.FailedPrecondition) as caught:
            client.checkpoint()
        self.assert_says(caught, "--checkpoint-dir")

    def test_call__on_a_closed_client__is_cancelled(self):
        client = self.connect()
        client.close()
        client.close()
        with self.assertRaises(stepd.Cancelled):
            client.status()


class Deaths(unittest.TestCase):
    """Of the daemon."""

    def test_step__of_a_daemon_that_was_killed__is_unavailable(self):
        with need_stepd.start_daemon() as daemon:
            client = stepd.connect(daemon.address, job="j", reconnect_timeout=0)
            self.addCleanup(client.close)
            client.define(W, groups=SGD)
            client.pull()
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            with self.assertRaises(stepd.Unavailable):
                client.step(ONE)
            daemon.process.returncode = 0  # as it was to be

    def test_training__over_a_daemon_that_starts_again__goes_on_after_rolled_back(self):
        events = []
        with tempfile.TemporaryDirectory() as folder:
            address = f"{folder}/socket"
            with need_stepd.start_daemon("--unix", address):
                client = stepd.connect(f"unix:{address}", job="j", on_event=events.append)
                self.addCleanup(client.close)
                client.define(W, groups=SGD)
                client.pull()
                client.step(ONE)
            with need_stepd.start_daemon("--unix", address):
                with self.assertRaises(stepd.RolledBack):
                    client.step(ONE)
                client.define(W, groups=SGD)
                np.testing.assert_array_equal(client.pull()["w"], W["w"])
                self.assertEqual(client.step(ONE).weights["w"][0], -0.5)
                client.leave()
        kinds = [event.kind for event in events]
        self.assertIn("lost", kinds)
        self.assertIn("rolled_back", kinds)


class Forks(need_stepd.DaemonCase):
    def test_client__in_a_forked_process__refuses_and_leaves_the_parents_alone(self):
        client = self.connect()
        client.define(W, groups=SGD)
        client.pull()
        child = os.fork()
        if child == 0:
            try:
                client.step(ONE)
            except stepd.FailedPrecondition as refusal:
                client.close()
                os._exit(0 if "fork" in str(refusal) else 1)
            os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(client.step(ONE).outcome.applied, 1)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
