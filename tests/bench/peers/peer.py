# SPDX-License-Identifier: Apache-2.0
"""What the scripts that measure a peer share: arguments, turns, rows, and a bare lane beside the
peer's own.

    python3 tests/bench/peers/{gloo,ddp,rpc,adamw,redis_kv}.py [--json] [--quick]

What is compared takes turns, one exchange each, so that what else the machine does falls on all of it.
A script ends with 77 and the remedy where its peer is not installed. Rows are those of stepd-bench:
us is the median in microseconds, ratio the peer's median over the lane's, gb_s counts the bytes one
way.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

NOT_INSTALLED = 77
SIZES = (4096, 1 << 18, 4 << 20, 64 << 20)  # bytes, as in stepd-bench's section `step`
QUICK_SIZES = (4096, 1 << 18)
SECONDS, SECONDS_QUICK = 3.0, 0.05
ROUNDS_WARM, ROUNDS_LEAST = 2, 5
TORCH_REMEDY = ("deploy/test.sh makes a virtual environment with it: run this script with "
                "build/venv-torch/bin/python, or pip install torch")


def not_installed(peer, remedy):
    print(f"{peer} is not installed: {remedy}", file=sys.stderr)
    sys.exit(NOT_INSTALLED)


def need_torch(*parts):
    """torch, or the end of the script. parts: of torch.distributed, as functions that say whether
    they are there."""
    try:
        import torch
        import torch.distributed
    except ImportError:
        not_installed("PyTorch", TORCH_REMEDY)
    for part in ("is_available", *parts):
        if not getattr(torch.distributed, part)():
            not_installed(f"this PyTorch's torch.distributed ({part})",
                          "take a build of PyTorch that has it")
    return torch


class Report:
    """Rows, each printed when it has been measured; the JSON object is whole at the end."""

    def __init__(self, section, description, kernels=None):
        """kernels: the default of --kernels, a library; None: there is no such option."""
        parser = argparse.ArgumentParser(description=description.splitlines()[0])
        parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
        parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
        if kernels is not None:
            parser.add_argument("--kernels", type=Path, default=kernels, metavar="FILE",
                                help="the library with stepd's kernel [%(default)s]")
        self.options = parser.parse_args()
        self.section = section
        self.rows = []
        self.sizes = QUICK_SIZES if self.options.quick else SIZES
        self.seconds = SECONDS_QUICK if self.options.quick else SECONDS

    def turns(self):
        """Yields, for each round, whether it counts."""
        until = time.monotonic() + self.seconds
        rounds = 0
        while rounds < ROUNDS_WARM + ROUNDS_LEAST or time.monotonic() < until:
            yield rounds >= ROUNDS_WARM
            rounds += 1

    def measure(self, lanes, prepare=None):
        """Calls the lanes ({name: function}) in turn; {name: seconds of each counted round}. prepare
        is called at each round's beginning and is not in the first lane's time."""
        taken = {name: [] for name in lanes}
        for counted in self.turns():
            if prepare is not None:
                prepare()
            for name, work in lanes.items():
                began = time.perf_counter()
                work()
                if counted:
                    taken[name].append(time.perf_counter() - began)
        return taken

    def add(self, subject, taken, count=None):
        """Rows of one comparison. subject: {"bytes": n} and what else it is of; the first lane is
        the peer's. count: of what one round works on, for ns each; without it, GB/s of the bytes."""
        first = statistics.median(next(iter(taken.values())))
        for lane, seconds in taken.items():
            median = statistics.median(seconds)
            deciles = statistics.quantiles(seconds, n=10, method="inclusive")
            row = {**subject, "lane": lane, "rounds": len(seconds), "us": 1e6 * median,
                   "p10_us": 1e6 * deciles[0], "p90_us": 1e6 * deciles[-1], "ratio": first / median}
            if count is None:
                row["gb_s"] = 1e-9 * subject["bytes"] / median
            else:
                row["ns_each"] = 1e9 * median / count
            self.print_row(row)
            self.rows.append(row)

    def print_row(self, row):
        if self.options.json:
            return
        if not self.rows:
            print("  ".join(f"{name:>12}" for name in row))
        cells = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row.values())
        print("  ".join(f"{cell:>12}" for cell in cells), flush=True)

    def end(self):
        if self.options.json:
            print(json.dumps({self.section: self.rows}, indent=1))


# ---- The bare lane ---------------------------------------------------------------------------------

def receive(connection, view):
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise EOFError("the other side has closed")
        view = view[count:]


class Bare:
    """Another process that reads n bytes over loopback TCP and writes n bytes back."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.process = subprocess.Popen(
                [sys.executable, "-B", __file__, str(listener.getsockname()[1])])
            self.connection, _ = listener.accept()
        tune(self.connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.wait()

    def exchange(self, send, into):
        """Sends a buffer and receives as many bytes."""
        self.connection.sendall(len(send).to_bytes(8, "little"))
        self.connection.sendall(send)
        receive(self.connection, memoryview(into))


def tune(connection):
    """As stepd does for loopback, where the system's default may be bbr."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    except OSError:
        pass  # not there: the system's own


def serve(port):
    connection = socket.create_connection(("127.0.0.1", port))
    tune(connection)
    length = bytearray(8)
    room = bytearray(0)
    try:
        while True:
            receive(connection, memoryview(length))
            size = int.from_bytes(length, "little")
            if len(room) != size:
                room = bytearray(size)
            receive(connection, memoryview(room))
            connection.sendall(room)
    except EOFError:
        connection.close()


def run_ranks(work, world, *arguments):
    """Forks ranks 1 to world - 1 and runs work(rank, *arguments) in all. Fails where one has."""
    children = []
    for rank in range(1, world):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work(rank, *arguments)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(pid)
    try:
        work(0, *arguments)
    except BaseException:
        for pid in children:
            os.kill(pid, signal.SIGTERM)
        raise
    finally:
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    if any(codes):
        sys.exit("another rank has failed")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
