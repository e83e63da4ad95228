# SPDX-License-Identifier: Apache-2.0
"""Real processes for tests: a daemon on a free port of loopback, workers, a tiny data set.

Whatever is started here is ended here, by pid. Nothing sleeps: a daemon is ready when it has
written its `ready` line, and a worker is done when it has exited.
"""
import os
import random
import re
import signal
import struct
import subprocess
import threading
import time

READY_S = 30  # until the daemon listens; sanitizers are slow to start
END_S = 20  # until it has drained


def environment():
    """Ours without what would configure stepd behind the test's back."""
    launcher = ("STEPD_", "RANK", "WORLD_SIZE", "SLURM_", "OMPI_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(launcher)}
    return {**kept, "OPENBLAS_NUM_THREADS": "1"}


class Said:
    """What a process has written to its stderr, line by line, while it runs."""

    def __init__(self, process):
        self.lines, self.ended, self.more = [], False, threading.Condition()
        self.waited = {}  # pattern: lines that were waited for
        self.reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self.reader.start()

    def _read(self, stream):
        for line in stream:
            with self.more:
                self.lines.append(line)
                self.more.notify_all()
        with self.more:
            self.ended = True
            self.more.notify_all()

    def text(self):
        return "".join(list(self.lines))

    def find(self, pattern):
        """The first line that matches, or ""."""
        return next((line for line in list(self.lines) if re.search(pattern, line)), "")

    def wait_for(self, pattern, timeout_s):
        """The first line that matches, or "" where none has come when the process ends or
        timeout_s have passed."""
        with self.more:
            self.more.wait_for(lambda: self.ended or self.find(pattern), timeout_s)
        return self.find(pattern)

    def wait_for_count(self, pattern, count, timeout_s):
        """Until so many lines match. False: they have not come."""
        def found():
            return sum(1 for line in list(self.lines) if re.search(pattern, line)) >= count
        with self.more:
            self.more.wait_for(lambda: self.ended or found(), timeout_s)
        return found()

    def wait_for_next(self, pattern, timeout_s):
        """Until one more line matches than had when this was called last, or the process ends."""
        before = self.waited.get(pattern, 0)

        def count():
            return sum(1 for line in list(self.lines) if re.search(pattern, line))
        with self.more:
            self.more.wait_for(lambda: self.ended or count() > before, timeout_s)
        self.waited[pattern] = before + 1


class Daemon:
    """with Daemon(path, "--shards", "2") as daemon: ... daemon.address ...

    `within` is a command that runs another one, somewhere else."""

    def __init__(self, path, *flags, listen="127.0.0.1:0", within=()):
        self.process = subprocess.Popen([*within, path, "--listen", listen, *flags],
                                        stderr=subprocess.PIPE, text=True, env=environment())
        self.said = Said(self.process)

    def __enter__(self):
        ready = self.said.wait_for("event=ready", READY_S)
        if ready and self.process.poll() is None:
            self.address = re.search(r"listen=(\S+)", ready).group(1)
            return self
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"the daemon is not ready:\n{self.said.text()}")

    def log(self, pattern):
        """The first log line that matches, or ""."""
        return self.said.find(pattern)

    def wait_for(self, pattern, timeout_s=60):
        """Until a line of the log matches."""
        assert self.said.wait_for(pattern, timeout_s), \
            f"the daemon did not log '{pattern}':\n{self.said.text()}"

    def _end(self):
        """SIGTERM, and again: the thread sanitizer of gcc 12 loses a signal once in a while."""
        for _ in range(3):
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(END_S)
            except subprocess.TimeoutExpired:
                continue
        self.process.kill()
        self.process.wait()
        return "nothing: it had to be killed"

    def __exit__(self, kind, *_):
        status = self._end()
        self.said.reader.join()
        if kind is None and status != 0:
            raise AssertionError(f"the daemon ended with {status}:\n{self.said.text()}")


def run_all(commands, timeout_s, env=None):
    """Runs commands side by side; returns their outputs; fails with all of them if one fails."""
    running = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env={**environment(), **(env or {})}) for c in commands]
    outputs = []
    end = time.monotonic() + timeout_s
    try:
        for process in running:
            outputs.append(process.communicate(timeout=max(0.1, end - time.monotonic()))[0])
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
    failed = [f"{c}: exit {p.returncode}\n{o}" for c, p, o in zip(commands, running, outputs)
              if p.returncode != 0]
    if failed:
        raise AssertionError("\n".join(failed))
    return outputs


def write_idx(path, magic_type, shape, payload):
    header = struct.pack(f">I{len(shape)}I", magic_type << 8 | len(shape), *shape)
    with open(path, "wb") as file:
        file.write(header + payload)


def write_images(folder, train=640, test=64, seed=1):
    """A made-up image set in MNIST's files: each class is a pattern with noise over it."""
    rng = random.Random(seed)
    pattern = [bytes(rng.randrange(256) for _ in range(784)) for _ in range(10)]
    unsigned_byte = 8
    for name, count in (("train", train), ("t10k", test)):
        labels = bytes(rng.randrange(10) for _ in range(count))
        pixels = b"".join(bytes((p + rng.randrange(128)) // 2 for p in pattern[label])
                          for label in labels)
        write_idx(f"{folder}/{name}-labels-idx1-ubyte", unsigned_byte, [count], labels)
        write_idx(f"{folder}/{name}-images-idx3-ubyte", unsigned_byte, [count, 28, 28], pixels)
