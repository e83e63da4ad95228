#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two daemons and four workers on four hosts, each a network namespace: a line of its own to a
router, with a rate and a length, and mutual TLS on every connection. Three kinds of lines: `far`
(100 Mbit/s, 50 ms from host to host), `near` (1 Gbit/s, 1 ms) and `fast` (10 Gbit/s, 0.1 ms).

  - bits: they train the Fashion-MNIST network to the bits that one daemon on one host comes to
  - killed: so too where a daemon is killed and started again from the checkpoint, whichever it is
  - cut: and where the line of a daemon is cut for a while: STEPD_CUT_S seconds, 3 where nobody says
  - names: and where daemons have names with two addresses, the first of which does not answer

Before anything is trained the lines are measured: none may be shorter than it is said to be, nor,
in `bits`, faster. A line of `fast` is as fast as the machine, where that is slower.

usage: namespaces.py BIN [WHAT_KIND[_PLACE] ...]

as bits_far, or cut_near_0: the daemon whose place in the list is 0. BIN is a build's bin folder.

Where the kernel allows no namespaces the test is skipped, and says so. Nothing that it makes
outlives it: the namespaces end with their processes.
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
import lines
from network import Host, enter, skip
from processes import Daemon
from several import Runs, Workers

DATA = "/usr/share/datasets/fashion-mnist"
CUT_S = float(os.environ.get("STEPD_CUT_S", "3"))
PORT = 7070  # each host has a network of its own
NAMES = ("one", "two")


class Kind:
    """Of lines, and how long a training suits them."""

    def __init__(self, mbit, delay_ms, steps, every):
        self.line, self.steps, self.every = lines.Line(mbit, delay_ms), steps, every


KINDS = {"far": Kind(100, 50, 40, 8), "near": Kind(1000, 1, 300, 50),
         "fast": Kind(10000, 0.1, 300, 50)}


class Field:
    """with Field(runs, kind) as field: four hosts, and what each shows of itself.

    files: what stands on all of them in the place of the machine's own; names: what the daemons'
    hosts are called in `peers` and in their certificates; rate: it is measured too."""

    def __init__(self, runs, kind, files=None, names=None, rate=False):
        self.runs, self.kind, self.files = runs, kind, files
        self.hosts, self.stack = [], contextlib.ExitStack()
        self.daemon = {}
        self.names, self.rate = names, rate
        self.store = runs.path("store")
        self.certs = runs.path("certs")

    def __enter__(self):
        line, netem = self.kind.line, lines.has_netem()
        program = pathlib.Path(self.runs.bin).parent / "tests" / "delay_line"
        self.lengths = [None if netem else lines.Length(str(program), line) for _ in range(4)]
        with contextlib.ExitStack() as stack:
            self.hosts = [stack.enter_context(Host(1 + n, length, self.files))
                          for n, length in enumerate(self.lengths)]
            for host in self.hosts:
                lines.shape(host, line, netem)
            print(f"lines of {line}, by {'netem' if netem else 'tbf and delay_line'}: "
                  f"{lines.check(line, self.hosts[0], self.hosts[2], self.rate)}", flush=True)
            self.names = self.names or [host.address for host in self.hosts[:2]]
            code, said = self.runs.ctl("-", "certs", self.certs, "--hosts", ",".join(self.names),
                                       "--clients", "w")
            assert code == 0, said
            self.stack = stack.pop_all()
        self.peers = ",".join(f"{name}:{PORT}" for name in self.names)
        self.server = f"tls:{self.names[0]}:{PORT}"
        return self

    def shows(self, name):
        return ["--tls-cert", f"{self.certs}/{name}.pem", "--tls-key", f"{self.certs}/{name}.key"]

    def start(self, place, listen=None):
        """A daemon of this place, which finds itself in the list by its own address."""
        host = self.hosts[place]
        flags = ["--peers", self.peers, "--shards", str(1 + place), "--slice-elements", "4096",
                 *self.shows(self.names[place]), "--tls-client-ca", f"{self.certs}/ca.pem",
                 "--checkpoint-dir", self.store, "--checkpoint-every-steps",
                 str(self.kind.every)]
        daemon = Daemon(self.runs.stepd, *flags, listen=listen or f"{host.address}:{PORT}",
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
        workers = Workers(self.runs, self.server, self.kind.steps)
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

    def count(self):
        """What the lines have dropped, missed and lost. netem says nothing."""
        counts = {"dropped": 0, "missed": 0, "lost": 0}
        for length in self.lengths:
            said = "" if length is None else length.end()
            for word in said.split():
                name, _, value = word.partition("=")
                if name in counts:
                    counts[name] += int(value)
        return ", ".join(f"{value} {name}" for name, value in counts.items())

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


def check_bits(runs, kind, one, _):
    with Field(runs, kind, rate=True) as field:
        for place in (0, 1):
            field.start(place)
        began = time.monotonic()
        with field.workers() as workers:
            assert workers.finish() == one, "four hosts give other bits than one"
        took = time.monotonic() - began
        print(f"{kind.steps} steps in {took:.1f} s, from the workers' start to their end")
        print(f"packets: {field.count()}")
    print("two daemons and four workers on four hosts: the bits of one host")


def check_killed(runs, kind, one, place):
    with Field(runs, kind) as field:
        for at in (0, 1):
            field.start(at)
        with field.workers() as workers:
            field.wait_for_version(kind.every + 10, workers)
            field.daemon[0].wait_for("event=checkpoint ")
            field.kill(place)
            field.start(place)
            field.daemon[0].wait_for("event=job_restored")
            assert workers.finish() == one, f"daemon {place} was killed: other bits"
    print(f"daemon {place} was killed and started again from the checkpoint: the same bits")


def check_cut(runs, kind, one, place):
    with Field(runs, kind) as field:
        for at in (0, 1):
            field.start(at)
        with field.workers() as workers:
            field.wait_for_version(kind.every, workers)
            with cut(field.hosts[place]):
                end = time.monotonic() + CUT_S
                while time.monotonic() < end:
                    workers.tend()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        workers.running[0].wait(0.1)
            began = time.monotonic()
            assert workers.finish() == one, f"daemon {place} was cut off: other bits"
            took = time.monotonic() - began
        assert not field.daemon[0].log("daemon_lost"), field.logs()
    print(f"daemon {place}'s line was cut for {CUT_S:g} s: nobody is lost, the same bits, "
          f"{took:.1f} s later")


def resolved(host, name):
    """The addresses of a name, in the resolver's order."""
    said = subprocess.run([*host.within, "getent", "ahostsv4", name], stdout=subprocess.PIPE,
                          text=True, check=False).stdout
    return [line.split()[0] for line in said.splitlines() if "STREAM" in line]


def check_names(runs, kind, one, _):
    """Each daemon has a name with two addresses; the first is nobody's, and silent."""
    path = runs.path("hosts")
    with open(path, "w", encoding="ascii") as file:
        file.write("127.0.0.1 localhost\n")
        for number, name in enumerate(NAMES, start=1):
            file.write(f"10.111.{number}.99 {name}\n10.111.{number}.2 {name}\n")
    with Field(runs, kind, {"/etc/hosts": path}, NAMES) as field:
        for number, name in enumerate(NAMES, start=1):
            subprocess.run(["ip", "route", "add", "blackhole", f"10.111.{number}.99/32"],
                           check=True)
            for host in field.hosts[number:]:  # a daemon's own host has its own address first
                found = resolved(host, name)
                if found != [f"10.111.{number}.99", f"10.111.{number}.2"]:
                    skip(f"the resolver gives {name} the addresses {found}")
        for place in (0, 1):
            field.start(place, listen=(f"{NAMES[0]}:{PORT}", f"0.0.0.0:{PORT}")[place])
        began = time.monotonic()
        field.daemon[0].wait_for("event=reign_begun daemons=2")
        joined = time.monotonic()
        with field.workers() as workers:
            assert workers.finish() == one, "other bits"
        ended = time.monotonic()
    print(f"names with two addresses, the first of which does not answer: the same bits; the "
          f"daemons met after {joined - began:.1f} s, the workers took {ended - joined:.1f} s")


PLACES = ("0", "1")
WHATS = {"bits": check_bits, "killed": check_killed, "cut": check_cut, "names": check_names}
CASES = ["bits_far", "bits_near", "bits_fast", "names_near",
         *(f"{what}_{kind}_{place}" for what in ("killed", "cut") for kind in ("far", "near")
           for place in PLACES)]


def main():
    enter()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(sys.argv[1], folder)
        if os.path.isdir(DATA):
            runs.folder_of_data = DATA
        else:
            print(f"{DATA} is not here (deploy/setup.sh data): made-up pictures instead")
        for name in sys.argv[2:] or CASES:
            what, kind, *places = name.split("_")
            kind = KINDS[kind]
            one = runs.alone(steps=kind.steps)
            for place in places or (PLACES if what in ("killed", "cut") else "0"):
                WHATS[what](runs, kind, one, int(place))


if __name__ == "__main__":
    main()
