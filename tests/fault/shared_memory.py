#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker that shares memory with the daemon and abuses it; nobody else may notice.

Its gradients change while they are read, it makes holes in them, it lies about them, it comes again
and again, and it dies with all of it in its hands. The weights of the other worker's job are checked
element by element.
usage: shared_memory.py BIN [TEST ...]
"""
import array
import ctypes
import mmap
import os
import pathlib
import socket
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import raw
from processes import Daemon  # pylint: disable=wrong-import-position

BIN = sys.argv[1]
ROWS, COLUMNS = 16, 4096  # a slice is a row
PAGE = 4096
BYTES = ROWS * COLUMNS * 4
LR, STEPS, TRIES = 0.25, 20, 10000
APPLIED = 1
PUNCH_HOLE_KEEP_SIZE = 3
CONFIG = f"""
jobs:
  - name: j
    workers: 2
    on_loss: shrink
    slice_elements: {COLUMNS}
    groups: [{{name: all, optimizer: sgd, lr: {LR}}}]
"""


class UnixConnection(raw.Connection):
    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(raw.TIMEOUT_S)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")
        self.requests = 0
        self.mutex = threading.Lock()

    def descriptors(self):
        """Those that come with the next byte, which stays to be read."""
        room = socket.CMSG_SPACE(8 * 4)
        _, messages, _, _ = self.socket.recvmsg(1, room, socket.MSG_PEEK)
        return [fd for _, _, data in messages for fd in array.array("i", data)]


class Sharer(raw.Peer):
    """A worker of a daemon with one shard, whose memory it has mapped."""

    def __init__(self, daemon, path):
        super().__init__(daemon.address, "j", lease_ms=1000)
        self.path = path
        self.weights_fd = self.gradients_fd = -1
        self.gradients = None

    def open(self):
        _, layout, _ = self.control.ask(raw.GET_LAYOUT, [])
        self.incarnation, self.shard_of = raw.first(layout, 1), raw.numbers(layout, 3)
        self.connect()

    def connect(self):
        """Over a new connection, which replaces the one before; returns the descriptors."""
        connection = UnixConnection(self.path)
        self.shards = {1: connection}
        connection.socket.sendall(connection.frame(
            raw.HELLO, [(1, 1), (7, self.session), (8, 1), (13, 1)]))
        self.weights_fd, self.gradients_fd = connection.descriptors()
        _, welcome, _ = connection.read()
        assert raw.first(welcome, 12) == BYTES
        self.gradients = mmap.mmap(self.gradients_fd, BYTES)
        return raw.first(welcome, 11)

    def fill(self, value):
        self.gradients[:] = raw.pack([value]) * (ROWS * COLUMNS)

    def ask_to_push(self, version, payload=b"", incarnation=0):
        """A push whose gradient lies where it is shared."""
        connection = self.shards[1]
        slices = self.slices_of(1)
        body = [(1, incarnation or self.incarnation), (2, version + 1), (3, slices), (4, [version]),
                (5, 1), (10, 1)]
        connection.socket.sendall(connection.frame(raw.PUSH, body, payload))

    def results(self):
        return raw.read_results(self.shards[1])

    def give_back(self):
        if self.gradients is not None:
            self.gradients.close()
            os.close(self.weights_fd)
            os.close(self.gradients_fd)
            self.gradients = None


class Toggle:
    """Writes two gradients in turn, as fast as it can."""

    def __init__(self, sharer, *values):
        self.sharer, self.stop = sharer, threading.Event()
        self.rows = [raw.pack([value]) * (ROWS * COLUMNS) for value in values]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            for row in self.rows:
                self.sharer.gradients[:] = row

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class SharedMemory(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder, "socket")
        config = pathlib.Path(folder, "stepd.yaml")
        config.write_text(CONFIG, encoding="utf-8")
        self.daemon = self.enterContext(Daemon(
            pathlib.Path(BIN, "stepd"), "--config", str(config), "--unix", str(path)))
        self.honest = self.enterContext(raw.Peer(self.daemon.address, "j", lease_ms=1000))
        self.sharer = self.enterContext(Sharer(self.daemon, str(path)))
        self.addCleanup(self.sharer.give_back)
        for peer in (self.honest, self.sharer):
            peer.define("w", ROWS, COLUMNS)
            peer.open()
            self.beat(peer)

    def beat(self, peer):
        stop = threading.Event()
        thread = threading.Thread(target=peer.beat, args=(stop,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)

    def weights(self, version):
        pulled = self.honest.pull(version)
        return [x for row in range(ROWS) for x in raw.floats(pulled[row][1])]

    def send_honest(self, version):
        """A gradient of 1 everywhere, whose answer is read later."""
        ones = raw.pack([1.0]) * COLUMNS
        (connection, data), = self.honest.push_frames(version, 1,
                                                      {i: ones for i in range(ROWS)})
        connection.socket.sendall(data)

    def read_honest(self):
        for _, _, _, outcome in raw.read_results(self.honest.shards[1]):
            self.assertEqual(outcome, APPLIED)

    def test_gradient_that_changes_while_it_is_read_is_one_or_the_other(self):
        before, mixed = self.weights(0), 0
        with Toggle(self.sharer, 2.0, 4.0):
            for version in range(STEPS):
                self.send_honest(version)
                self.sharer.ask_to_push(version)
                self.read_honest()
                self.sharer.results()
                after = self.weights(version + 1)
                steps = {b - a for a, b in zip(before, after)}
                self.assertLessEqual(steps, {-LR * 1.5, -LR * 2.5})
                mixed += len(steps) == 2
                before = after
        print(f"{mixed} of {STEPS} gradients were written while they were read")

    def test_gradient_that_is_nan_at_times_never_reaches_the_weights(self):
        refused = version = 0
        with Toggle(self.sharer, 2.0, float("nan")):
            self.send_honest(0)
            for _ in range(TRIES):
                self.sharer.ask_to_push(version)
                try:
                    self.sharer.results()
                except raw.Refused as why:
                    self.assertIn("NaN", str(why))
                    refused += 1
                    continue
                self.read_honest()
                version += 1
                self.assertEqual(set(self.weights(version)), {-LR * 1.5 * version})
                if version == STEPS:
                    break
                self.send_honest(version)
        print(f"{refused} gradients refused, {version} steps")
        self.assertGreater(refused, 0)

    def test_lies_are_refused_and_cost_nothing(self):
        self.sharer.fill(3.0)
        self.sharer.ask_to_push(0, payload=bytes(BYTES))
        self.assertRaisesRegex(raw.Refused, "262144", self.sharer.results)
        self.sharer.ask_to_push(0, incarnation=self.sharer.incarnation + 1)
        self.assertRaises(raw.Refused, self.sharer.results)
        self.send_honest(0)
        self.sharer.ask_to_push(0)
        self.sharer.results()
        self.read_honest()
        self.assertEqual(set(self.weights(1)), {-LR * 2})

    def test_nothing_can_be_taken_from_under_the_daemon(self):
        with self.assertRaises(PermissionError):
            mmap.mmap(self.sharer.weights_fd, PAGE)
        for fd in (self.sharer.weights_fd, self.sharer.gradients_fd):
            with self.assertRaises(PermissionError):
                os.ftruncate(fd, PAGE)
        libc = ctypes.CDLL(None, use_errno=True)
        size = ctypes.c_long(BYTES)
        self.sharer.fill(3.0)
        self.assertEqual(libc.fallocate(self.sharer.gradients_fd, PUNCH_HOLE_KEEP_SIZE,
                                        ctypes.c_long(0), size), 0)
        self.send_honest(0)
        self.sharer.ask_to_push(0)
        self.sharer.results()
        self.read_honest()
        self.assertEqual(set(self.weights(1)), {-LR * 0.5})

    def memories(self):
        """What the daemon holds of shared memory: what it has mapped of it."""
        maps = pathlib.Path("/proc", str(self.daemon.process.pid), "maps").read_text()
        return maps.count("memfd:stepd")

    def test_coming_again_and_again_leaves_nothing_behind(self):
        held = self.memories()
        for _ in range(50):
            self.sharer.give_back()
            old = self.sharer.shards[1]
            self.sharer.connect()
            self.assertEqual(self.memories(), held)  # though the old connection has not ended
            old.close()
        self.sharer.fill(3.0)
        self.send_honest(0)
        self.sharer.ask_to_push(0)
        self.sharer.results()
        self.read_honest()
        self.assertEqual(set(self.weights(1)), {-LR * 2})

    def test_who_dies_in_mid_step_holds_nobody_up(self):
        held = self.memories()
        self.sharer.fill(3.0)
        self.send_honest(0)
        self.sharer.ask_to_push(0)
        self.sharer.results()
        self.read_honest()
        self.sharer.shards[1].close()  # its memory is still mapped
        self.sharer.control.socket.shutdown(socket.SHUT_RDWR)
        for version in range(1, 4):
            self.send_honest(version)
            self.read_honest()
        self.assertEqual(set(self.weights(4)), {-LR * 5})
        self.assertEqual(self.memories(), held - 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
