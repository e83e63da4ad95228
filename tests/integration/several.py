# SPDX-License-Identifier: Apache-2.0
"""Several daemons that serve jobs together, on loopback, and workers of one job.

Addresses must be known before the daemons start, so each is one that was free a moment ago; where
somebody else has taken it meanwhile, the daemon says so and others are tried.
"""
import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

# pylint: disable=wrong-import-position
from processes import END_S, Daemon, environment, run_all, write_images
from proxy import Fate, Proxy

WORKERS = 4
UNEQUAL = "64,32,128,16"  # examples per step, by rank
TIMEOUT_S = 240
TRIES = 5


def free_addresses(count):
    """Addresses of loopback on which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for listener in sockets:
        listener.close()
    return addresses


class Closed(Fate):
    """Nothing passes."""

    def request(self, data):
        return b"", False


class Link(Proxy):
    """What stands between a member daemon and control's, and can be cut."""

    def __init__(self, server):
        super().__init__(server, lambda: Fate() if self.open else Closed())
        self.open = True

    def cut(self):
        """What stands; another connection may be made."""
        for ends in list(self.connections):
            self._end(ends, resets=False)

    def close(self):
        self.open = False
        self.cut()


class Peers:
    """with Peers(path, [flags of the first, flags of the second, ...]) as peers: ...

    `start` says which are started at once; the others by start(place)."""

    def __init__(self, path, flags, start=None):
        self.path, self.flags = path, flags
        self.first = range(len(flags)) if start is None else start
        self.daemon = {}
        self.addresses = []

    def start(self, place, *more, first=None):
        """first: the address that this one believes control's daemon to have."""
        listed = [first or self.addresses[0], *self.addresses[1:]]
        flags = ["--peers", ",".join(listed), "--slice-elements", "4096", *self.flags[place], *more]
        daemon = Daemon(self.path, *flags, listen=self.addresses[place])
        daemon.__enter__()
        self.daemon[place] = daemon
        return daemon

    def __enter__(self):
        for attempt in range(TRIES):
            self.addresses = free_addresses(len(self.flags))
            try:
                for place in self.first:
                    self.start(place)
                return self
            except AssertionError as error:
                self.end()
                if "in use" not in str(error) or attempt == TRIES - 1:
                    raise
        raise AssertionError("no free addresses")

    def kill(self, place):
        daemon = self.daemon.pop(place)
        daemon.process.kill()
        daemon.process.wait()
        daemon.said.reader.join()

    def stop(self, place):
        """SIGTERM, and until it has ended well."""
        self.daemon.pop(place).__exit__(None)

    def end(self):
        """All of them at once: one that ends waits for nobody then."""
        for daemon in self.daemon.values():
            daemon.process.send_signal(signal.SIGTERM)
        said = []
        for place in list(self.daemon):
            daemon = self.daemon.pop(place)
            try:
                status = daemon.process.wait(END_S)
            except subprocess.TimeoutExpired:
                daemon.process.kill()
                status = daemon.process.wait()
            daemon.said.reader.join()
            if status != 0:
                said.append(f"daemon {place} ended with {status}:\n{daemon.said.text()}")
        return said

    def logs(self):
        return "\n".join(f"--- daemon {p}\n{d.said.text()}" for p, d in self.daemon.items())

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.logs(), file=sys.stderr)
        failed = self.end()
        if kind is None and failed:
            raise AssertionError("\n".join(failed))

    @property
    def address(self):
        return self.addresses[0]


class Runs:
    def __init__(self, bin_folder, folder):
        self.bin, self.folder = bin_folder, folder
        self.stepd, self.train = f"{bin_folder}/stepd", f"{bin_folder}/stepd-train"
        self.count = 0
        self.folder_of_data = folder
        write_images(folder)

    def path(self, name):
        self.count += 1
        return f"{self.folder}/{name}-{self.count}"

    def commands(self, weights, server, *flags, steps=12, world=WORKERS, bare=False):
        """bare: the optimizer is the server's affair."""
        rule = [] if bare else ["--warmup", "3", "--optimizer", "adamw", "--lr", "0.003"]
        return [[self.train, "--data", self.folder_of_data, "--model", "mlp:784-48-32-10", "--quiet",
                 "--steps", str(steps), *rule, "--batch", UNEQUAL, "--save-weights", weights, "--server", server, "--rank",
                 str(rank), "--world", str(world), *flags] for rank in range(world)]

    def train_at(self, server, *flags, **how):
        """Trains to the end, and gives the bytes of the weights' file."""
        weights = self.path("weights")
        run_all(self.commands(weights, server, *flags, **how), TIMEOUT_S)
        with open(weights, "rb") as file:
            return file.read()

    def alone(self, *flags, daemon=(), **how):
        """What one daemon comes to."""
        with Daemon(self.stepd, "--slice-elements", "4096", *daemon) as alone:
            return self.train_at(alone.address, *flags, **how)

    def ctl(self, server, *words):
        said = subprocess.run([f"{self.bin}/stepctl", "--server", server, *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=environment(), timeout=TIMEOUT_S, check=False)
        return said.returncode, said.stdout

    def status(self, server):
        code, said = self.ctl(server, "status", "--json")
        assert code == 0, said
        return json.loads(said)


@contextlib.contextmanager
def training(runs, server, *flags, **how):
    """Workers beside the test. Gives a function that waits for them and gives the weights."""
    weights = runs.path("weights")
    running = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env=environment())
               for c in runs.commands(weights, server, *flags, **how)]

    def finish():
        for rank, process in enumerate(running):
            said = process.communicate(timeout=TIMEOUT_S)[0]
            assert process.returncode == 0, f"rank {rank}: exit {process.returncode}\n{said}"
        with open(weights, "rb") as file:
            return file.read()
    try:
        yield finish
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_for_version(runs, server, version):
    """Until the job has come so far."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        assert time.monotonic() < end, f"version {version} did not come"
        jobs = runs.status(server)["jobs"]
        if jobs and jobs[0]["version_min"] >= version:
            return jobs[0]["version_min"]


class Workers:
    """Workers that somebody starts again when they end because the job went back."""

    def __init__(self, runs, server, steps):
        self.weights = runs.path("weights")
        self.commands = runs.commands(self.weights, server, steps=steps)
        self.running = [None] * len(self.commands)
        self.said = [""] * len(self.commands)

    def tend(self):
        """Starts who is missing. True: all have done their work."""
        for rank, process in enumerate(self.running):
            if process is not None and process.poll() is None:
                continue
            if process is not None and process.returncode == 0:
                continue
            if process is not None:
                self.said[rank] += process.communicate()[0]
            self.running[rank] = subprocess.Popen(
                self.commands[rank], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=environment())
        return all(p is not None and p.poll() == 0 for p in self.running)

    def finish(self):
        end = time.monotonic() + TIMEOUT_S
        while not self.tend():
            assert time.monotonic() < end, "\n".join(self.said)
            for process in self.running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
        with open(self.weights, "rb") as file:
            return file.read()

    def __enter__(self):
        self.tend()
        return self

    def __exit__(self, *_):
        for process in self.running:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def run_cases(cases):
    """Behind the folder of programs the arguments name some of the cases; none: all."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(sys.argv[1], folder)
        for name in sys.argv[2:] or cases:
            cases[name](runs)
