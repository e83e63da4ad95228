#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two daemons and four workers on four hosts, each a network namespace: a line of its own to a
router, with a rate (and, where the kernel has netem, a delay), and mutual TLS on every connection.

  - they train the Fashion-MNIST network to the bits that one daemon on one host comes to
  - so too where a daemon is killed and started again from the checkpoint, whichever it is
  - and where the line of a daemon is cut for a while: STEPD_CUT_S seconds, 3 where nobody says

usage: namespaces.py BIN [CASE ...]

Where the kernel allows no namespaces the test is skipped, and says so. Nothing that it makes outlives
it: the namespaces end with their processes.
"""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

# pylint: disable=wrong-import-position
from network import Host, enter
from processes import Daemon
from several import Runs, Workers

DATA = "/usr/share/datasets/fashion-mnist"
STEPS, EVERY = 300, 50
CUT_S = float(os.environ.get("STEPD_CUT_S", "3"))
RATE, DELAY = "400mbit", "1ms"
PORT = 7070  # each host has a network of its own
NETEM = ["netem", "rate", RATE, "delay", DELAY]
TBF = ["tbf", "rate", RATE, "burst", "256kb", "latency", "100ms"]


def shape(host):
    """Gives the host's line its rate; says by what."""
    for way in (NETEM, TBF):
        made = subprocess.run([*host.within, "tc", "qdisc", "add", "dev", "eth0", "root", *way],
                              stderr=subprocess.DEVNULL, check=False)
        if made.returncode == 0:
            return way[0]
    return "nothing"


class Field:
    """with Field(runs) as field: four hosts, and what each shows of itself."""

    def __init__(self, runs):
        self.runs, self.hosts, self.stack = runs, [], contextlib.ExitStack()
        self.daemon = {}
        self.store = runs.path("store")
        self.certs = runs.path("certs")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.hosts = [stack.enter_context(Host(n)) for n in range(1, 5)]
            self.stack = stack.pop_all()
        self.shaped = {shape(host) for host in self.hosts}
        hosts = ",".join(host.address for host in self.hosts[:2])
        code, said = self.runs.ctl("-", "certs", self.certs, "--hosts", hosts, "--clients", "w")
        assert code == 0, said
        self.peers = ",".join(f"{host.address}:{PORT}" for host in self.hosts[:2])
        self.server = f"tls:{self.hosts[0].address}:{PORT}"
        return self

    def shows(self, name):
        return ["--tls-cert", f"{self.certs}/{name}.pem", "--tls-key", f"{self.certs}/{name}.key"]

    def start(self, place):
        """A daemon of this place, which finds itself in the list by its own address."""
        host = self.hosts[place]
        flags = ["--peers", self.peers, "--shards", str(1 + place), "--slice-elements", "4096",
                 *self.shows(host.address), "--tls-client-ca", f"{self.certs}/ca.pem",
                 "--checkpoint-dir", self.store, "--checkpoint-every-steps", str(EVERY)]
        daemon = Daemon(self.runs.stepd, *flags, listen=f"{host.address}:{PORT}",
                        within=host.within)
        daemon.__enter__()
        self.daemon[place] = daemon

    def kill(self, place):
        daemon = self.daemon.pop(place)
        daemon.process.kill()
        daemon.process.wait()
        daemon.said.reader.join()

    def workers(self):
        """Of two hosts, two each."""
        workers = Workers(self.runs, self.server, STEPS)
        client = ["--tls-ca", f"{self.certs}/ca.pem", *self.shows("w")]
        workers.commands = [[*self.hosts[2 + rank // 2].within, *command, *client]
                            for rank, command in enumerate(workers.commands)]
        return workers

    def version(self):
        """How far the job is; 0 where nobody can say."""
        asked = subprocess.run(
            [*self.hosts[0].within, f"{self.runs.bin}/stepctl", "--server", self.server, "--tls-ca",
             f"{self.certs}/ca.pem", *self.shows("w"), "status"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        for line in asked.stdout.splitlines():
            if line.startswith("job ") and ", version " in line:
                return int(line.split(", version ")[1].split()[0])
        return 0

    def wait_for_version(self, version, workers):
        end = time.monotonic() + 120
        while self.version() < version:
            assert time.monotonic() < end, f"version {version} has not come:\n{self.logs()}"
            assert not workers.tend(), "the training was over before anything has happened"

    def logs(self):
        return "\n".join(f"--- daemon {p}\n{d.said.text()}" for p, d in self.daemon.items())

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.logs(), file=sys.stderr)
        try:
            for place in sorted(self.daemon, reverse=True):
                self.daemon[place].__exit__(kind or AssertionError)
        finally:
            self.stack.close()


@contextlib.contextmanager
def cut(host):
    """Nothing passes on the host's line."""
    subprocess.run(["ip", "link", "set", host.link, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", host.link, "up"], check=True)


def check_bits(runs, one):
    with Field(runs) as field:
        for place in (0, 1):
            field.start(place)
        by = " and ".join(sorted(field.shaped))
        print(f"lines of {RATE} by {by}" + ("" if field.shaped == {"netem"} else
                                            ": this kernel has no netem, so there is no delay"))
        with field.workers() as workers:
            assert workers.finish() == one, "four hosts give other bits than one"
    print("two daemons and four workers on four hosts: the bits of one host")


def check_killed(runs, one):
    for place in (1, 0):
        with Field(runs) as field:
            for at in (0, 1):
                field.start(at)
            with field.workers() as workers:
                field.wait_for_version(EVERY + 10, workers)
                field.daemon[0].wait_for("event=checkpoint ")
                field.kill(place)
                field.start(place)
                field.daemon[0].wait_for("event=job_restored")
                assert workers.finish() == one, f"daemon {place} was killed: other bits"
    print("a daemon that is killed and started again from the checkpoint: the same bits")


def check_cut(runs, one):
    for place in (1, 0):
        with Field(runs) as field:
            for at in (0, 1):
                field.start(at)
            with field.workers() as workers:
                field.wait_for_version(EVERY, workers)
                with cut(field.hosts[place]):
                    end = time.monotonic() + CUT_S
                    while time.monotonic() < end:
                        workers.tend()
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            workers.running[0].wait(0.1)
                assert workers.finish() == one, f"daemon {place} was cut off: other bits"
            assert not field.daemon[0].log("daemon_lost"), field.logs()
    print(f"the line of either daemon cut for {CUT_S:g} s: nobody is lost, the same bits")


def main():
    enter()
    cases = {"bits": check_bits, "killed": check_killed, "cut": check_cut}
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(sys.argv[1], folder)
        if os.path.isdir(DATA):
            runs.folder_of_data = DATA
        else:
            print(f"{DATA} is not here (deploy/setup.sh data): made-up pictures instead")
        one = runs.alone(steps=STEPS)
        for name in sys.argv[2:] or cases:
            cases[name](runs, one)


if __name__ == "__main__":
    main()
