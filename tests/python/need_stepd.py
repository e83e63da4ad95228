# SPDX-License-Identifier: Apache-2.0
"""To be imported first: ends the script as skipped where this Python has no package stepd.

A script's first argument is the folder of the binaries; unittest has the rest.
"""
import os
import pathlib
import sys
import threading
import unittest

SKIPPED = 77
REMEDY = ("deploy/test.sh dev installs it into build/venv-torch, which the next cmake finds; or: "
          "PYTHON -m pip install ./client/python, and cmake -DSTEPD_TORCH_PYTHON=PYTHON")

try:
    import stepd
except ImportError as missing:
    print(f"skipped: {sys.executable} cannot import stepd ({missing}). {REMEDY}")
    sys.exit(SKIPPED)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from processes import Daemon, environment  # pylint: disable=wrong-import-position

BIN = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
PROMPT_S = 20  # far more than what is prompt takes, also with a sanitizer on a busy machine

for name in set(os.environ) - set(environment()):
    del os.environ[name]


def start_daemon(*flags, **options):
    """A context manager: a daemon on a port of its own."""
    return Daemon(f"{BIN}/stepd", *flags, **options)


class DaemonCase(unittest.TestCase):
    """Tests that share a daemon, each with a job of its own."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.daemon = start_daemon(*cls.FLAGS)
        cls.daemon.__enter__()
        cls.addClassCleanup(cls.daemon.__exit__, None, None, None)
        cls.address = cls.daemon.address

    def connect(self, **options):
        """A client of this test's job, closed at its end."""
        client = stepd.connect(self.address, **{"job": self.id().rpartition(".")[2][:200],
                                                **options})
        self.addCleanup(client.close)
        return client

    def assert_says(self, caught, *words):
        for word in words:
            self.assertIn(word, str(caught.exception))


class Interrupter:
    """Sends this process a signal as soon as `is_due` says so: it is asked again and again, and
    asks the daemon, so that nothing sleeps."""

    def __init__(self, is_due, signal_number):
        def wait_and_send():
            while not self.stopped:
                if is_due():
                    os.kill(os.getpid(), signal_number)
                    return
        self.stopped = False
        self.thread = threading.Thread(target=wait_and_send, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
