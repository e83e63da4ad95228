#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Private daemons end with whoever started them, in every way that a process can end."""
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import need_stepd
import numpy as np
import stepd

STARTS_ONE = """
import stepd, sys
daemon = stepd.local()
print(daemon.pid, daemon.address.partition(":")[2], flush=True)
sys.stdin.read()
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # one that nobody has reaped is dead
        return stat.read().rpartition(")")[2].split()[0] != "Z"


class Local(unittest.TestCase):
    def setUp(self):
        patch = mock.patch.dict(os.environ, {"STEPD_DAEMON": f"{need_stepd.BIN}/stepd"})
        patch.start()
        self.addCleanup(patch.stop)
        folder = self.enter(tempfile.TemporaryDirectory(prefix="t"))
        self.enter(mock.patch.object(tempfile, "tempdir", folder))
        self.addCleanup(lambda: self.assertEqual(os.listdir(folder), [], "folders are left"))

    def enter(self, manager):
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def assert_ends(self, pid, path):
        until = time.monotonic() + need_stepd.PROMPT_S
        while is_alive(pid) or os.path.exists(path):
            self.assertLess(time.monotonic(), until, "the daemon lives on")
            os.sched_yield()

    def start_parent(self):
        """A process that has started a daemon; the daemon's pid and socket."""
        parent = subprocess.Popen([sys.executable, "-c", STARTS_ONE], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(parent.wait)
        self.addCleanup(parent.kill)
        pid, path = parent.stdout.readline().split()
        self.assertTrue(is_alive(int(pid)))
        return parent, int(pid), path

    def test_daemon__is_trained_with_and_ends_with_its_block(self):
        with stepd.local(shards=2, lease_ms=5000) as daemon, daemon.connect(job="j") as client:
            client.define({"w": np.zeros(2, np.float32)}, groups=[stepd.Group(optimizer="sgd", lr=1.)])
            client.pull()
            self.assertEqual(client.step({"w": np.ones(2, np.float32)}).weights["w"][0], -1)
        self.assert_ends(daemon.pid, daemon.address.partition(":")[2])
        daemon.close()

    def test_daemon__of_a_process_that_is_killed__ends(self):
        parent, pid, path = self.start_parent()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        self.assert_ends(pid, path)

    def test_daemon__of_a_process_that_exits__ends(self):
        parent, pid, path = self.start_parent()
        parent.stdin.close()
        self.assertEqual(parent.wait(), 0)
        self.assert_ends(pid, path)

    def test_daemon__of_a_process_group_that_is_interrupted__lives_on(self):
        with stepd.local() as daemon:
            self.assertNotEqual(os.getpgid(daemon.pid), os.getpgid(0))

    def test_daemon__does_not_take_its_settings_from_the_environment(self):
        with mock.patch.dict(os.environ, {"STEPD_SHARDS": "none", "STEPD_LOG_LEVEL": "error"}):
            with stepd.local() as daemon:
                self.assertIn("shards=1", daemon.log)

    def test_daemon__with_a_setting_that_there_is_not__says_so(self):
        with self.assertRaises(stepd.Unavailable) as caught:
            stepd.local(colour="blue")
        self.assertIn("--colour", str(caught.exception))

    def test_daemon__with_a_setting_that_is_no__has_it_so(self):
        with stepd.local(checkpoint_on_exit=False) as daemon:
            self.assertIn("event=ready", daemon.log)

    def test_daemon__that_there_is_not__is_not_found(self):
        with mock.patch.dict(os.environ, {"STEPD_DAEMON": "/nowhere/stepd"}):
            with self.assertRaises(stepd.NotFound) as caught:
                stepd.local()
        self.assertIn("STEPD_DAEMON", str(caught.exception))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
