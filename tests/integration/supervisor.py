# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells a service manager (sd_notify), from a socket of the test's own.

    supervisor.py BIN

A thread is made to hang by ptrace, which stops one thread and leaves the others alone. That nothing
is said can only be seen by listening for a while: as long as the watchdog would wait, and more.
"""
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from processes import Daemon, environment  # noqa: E402
from several import free_addresses  # noqa: E402

STEPD = f"{sys.argv.pop(1)}/stepd"
PATIENCE_S = 60
WATCHDOG_S = 1.0  # a beat is half of it
EXIT_CONFIG = 78

PTRACE_SEIZE, PTRACE_DETACH, PTRACE_INTERRUPT = 0x4206, 17, 0x4207
WALL = 0x40000000  # __WALL: wait for threads too
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


class Stopped:
    """One thread of the daemon stands still."""

    def __init__(self, thread):
        self.thread = thread

    def __enter__(self):
        try:
            ptrace(PTRACE_SEIZE, self.thread)
        except PermissionError as error:
            raise unittest.SkipTest("no thread can be stopped here: ptrace is not allowed") from error
        ptrace(PTRACE_INTERRUPT, self.thread)
        os.waitpid(self.thread, WALL)

    def __exit__(self, *_):
        ptrace(PTRACE_DETACH, self.thread)


def thread_of(process, name):
    """The thread of this name; "": the main one."""
    for thread in sorted(map(int, os.listdir(f"/proc/{process.pid}/task"))):
        said = pathlib.Path(f"/proc/{process.pid}/task/{thread}/comm").read_text().strip()
        if said == name or (name == "" and thread == process.pid):
            return thread
    raise AssertionError(f"there is no thread '{name}'")


class Supervised(Daemon):
    """A daemon with NOTIFY_SOCKET, and what more stands in its environment."""

    def __init__(self, address, *flags, **variables):
        within = ["env", f"NOTIFY_SOCKET={address}", *(f"{k}={v}" for k, v in variables.items())]
        super().__init__(STEPD, *flags, within=within)


class Supervisor(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def tearDown(self):
        self.socket.close()
        self.folder.cleanup()

    def hear(self, timeout_s=PATIENCE_S):
        """The lines of the next datagram as a dictionary, or None where none comes."""
        self.socket.settimeout(timeout_s)
        try:
            said = self.socket.recv(4096).decode()
        except (TimeoutError, BlockingIOError):
            return None
        return dict(line.split("=", 1) for line in said.split("\n"))

    def hear_of(self, name):
        said = self.hear()
        while said is not None and name not in said:
            said = self.hear()
        return said

    def count_beats(self, seconds):
        end, beats = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            said = self.hear(max(0.001, end - time.monotonic()))
            beats += said is not None and "WATCHDOG" in said
        return beats

    def supervised(self, *flags, **variables):
        return Supervised(self.path, *flags, **variables)

    def watched(self, *flags):
        return self.supervised(*flags, WATCHDOG_USEC=int(WATCHDOG_S * 1e6))

    def test_daemon__that_serves__says_ready_and_where(self):
        with self.supervised("--shards", "2") as daemon:
            said = self.hear()
            self.assertEqual(said["READY"], "1")
            self.assertEqual(said["STATUS"], f"serves at {daemon.address} with 2 shards")

    def test_daemons__that_wait_for_each_other__say_so_until_they_serve(self):
        first, other = free_addresses(2)
        peers = ["--peers", f"{first},{other}"]
        with Daemon(STEPD, *peers, listen=other):
            with Daemon(STEPD, *peers, listen=first, within=["env", f"NOTIFY_SOCKET={self.path}"]):
                waits = f"listens at {first} and waits for daemon 1 of 2 (0 is the first)"
                self.assertEqual(self.hear()["STATUS"], waits)
                self.assertEqual(self.hear_of("STATUS")["STATUS"], f"serves at {first} with 1 shard")

    def test_member__that_has_not_joined__says_so(self):
        first, other = free_addresses(2)
        with Daemon(STEPD, "--peers", f"{first},{other}", listen=other,
                    within=["env", f"NOTIFY_SOCKET={self.path}"]):
            self.assertEqual(self.hear()["STATUS"], f"listens at {other} and joins {first}")
            self.assertEqual(self.hear_of("STATUS")["STATUS"],
                             f"listens at {other} and has not joined {first}: Connection refused")

    def test_daemon__that_is_told_to_end__says_stopping(self):
        with self.supervised():
            self.assertEqual(self.hear()["READY"], "1")
        self.assertEqual(self.hear()["STOPPING"], "1")
        self.assertIsNone(self.hear(0))

    def test_daemon__that_cannot_serve__is_never_ready(self):
        with Daemon(STEPD) as other:
            result = subprocess.run([STEPD, "--listen", other.address], capture_output=True,
                                    env={**environment(), "NOTIFY_SOCKET": self.path}, timeout=PATIENCE_S)
        self.assertEqual(result.returncode, 1)
        self.assertIsNone(self.hear(0))

    def test_hangup__while_it_serves__is_a_reload_between_two_readies(self):
        with self.supervised() as daemon:
            self.hear()
            before = time.monotonic_ns() // 1000
            daemon.process.send_signal(signal.SIGHUP)
            said = self.hear()
            self.assertEqual(said["RELOADING"], "1")
            self.assertGreaterEqual(int(said["MONOTONIC_USEC"]), before)
            self.assertLessEqual(int(said["MONOTONIC_USEC"]), time.monotonic_ns() // 1000)
            self.assertEqual(self.hear()["READY"], "1")

    def test_abstract_name__is_heard(self):
        name = f"stepd-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
            abstract.bind(f"\0{name}")
            abstract.settimeout(PATIENCE_S)
            with Supervised(f"@{name}"):
                self.assertTrue(abstract.recv(4096).startswith(b"READY=1\n"))

    def test_watchdog__while_all_turns__is_fed_in_time(self):
        with self.watched("--shards", "3"):
            for _ in range(4):
                before = time.monotonic()
                self.assertEqual(self.hear_of("WATCHDOG")["WATCHDOG"], "1")
                # Twice what systemd would allow would be dead; half of it is what is aimed at.
                self.assertLess(time.monotonic() - before, WATCHDOG_S)

    def test_watchdog__of_nobody__is_not_fed(self):
        with self.supervised():
            self.hear()
            self.assertEqual(self.count_beats(2 * WATCHDOG_S), 0)

    def test_watchdog__of_another_process__is_not_fed(self):
        with self.supervised(WATCHDOG_USEC=int(WATCHDOG_S * 1e6), WATCHDOG_PID=1):
            self.hear()
            self.assertEqual(self.count_beats(2 * WATCHDOG_S), 0)

    def check_hung(self, name):
        with self.watched("--shards", "2") as daemon:
            self.hear_of("WATCHDOG")
            with Stopped(thread_of(daemon.process, name)):
                # One answer may have been on its way.
                self.assertLessEqual(self.count_beats(3 * WATCHDOG_S), 1)
            self.assertIsNotNone(self.hear_of("WATCHDOG"))

    def test_shard__that_hangs__lets_the_watchdog_bite(self):
        self.check_hung("shard 2")

    def test_main_loop__that_hangs__lets_the_watchdog_bite(self):
        self.check_hung("")

    def test_supervisor__that_is_gone__ends_nothing(self):
        with self.watched() as daemon:
            self.hear()
            self.socket.close()
            os.unlink(self.path)
            daemon.wait_for("event=supervisor_not_told reason=")

    def test_environment__that_makes_no_sense__is_refused(self):
        for variables, words in (({"NOTIFY_SOCKET": "vsock:2:1"}, "neither a path nor"),
                                 ({"NOTIFY_SOCKET": "/" + 200 * "x"}, "at most 107"),
                                 ({"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "soon"}, "from 2000 up"),
                                 ({"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": "1999"}, "from 2000 up")):
            result = subprocess.run([STEPD, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                                    env={**environment(), **variables}, timeout=PATIENCE_S)
            self.assertEqual(result.returncode, EXIT_CONFIG, variables)
            self.assertIn(words, result.stderr)


unittest.main(verbosity=2, warnings="ignore")
