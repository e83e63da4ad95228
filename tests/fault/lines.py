# SPDX-License-Identifier: Apache-2.0
"""Lines with a rate and a length, between the hosts of network.py and their router.

What goes from one host to another passes two lines, each with its rate both ways; it is under way
for `delay_ms`, half of it on each. netem does it where the kernel has it. Elsewhere the rate is
tbf's affair and the length delay_line's, a program that stands in the line and holds each packet
for its time. measure() finds out what came of it: the round trip, by connects of TCP, and the rate, by a
transfer.
"""
import dataclasses
import json
import pathlib
import subprocess
import sys

from network import Space, skip

BURST_BYTES = 256 << 10  # what tbf lets pass at once
WAITING_MS = 100  # of the queue before the line, when it is full
CONNECTS = 5
TRANSFER_S = 2  # at the line's rate: TCP's slow start must not hide that the rate is not there
TRANSFER_BYTES_MAX = 64 << 20
PROBE = str(pathlib.Path(__file__).with_name("probe.py"))
END_S = 20


@dataclasses.dataclass
class Line:
    mbit: int
    delay_ms: float

    def __str__(self):
        return f"{self.mbit} Mbit/s, {self.delay_ms:g} ms"

    def bytes_in(self, seconds):
        return int(self.mbit * 125000 * seconds)

    @property
    def room(self):
        """What a line may hold: as much as fits on it twice, and some large packets."""
        return 2 * self.bytes_in(self.delay_ms / 1000) + (4 << 20)


class Length:
    """What stands in a line and keeps each packet for a while; counts() says what it had."""

    def __init__(self, program, line):
        self.command = [program, "far", "near", str(round(line.delay_ms * 1000 / 2)),
                        str(line.room)]
        self.space, self.process, self.said = Space(), None, ""

    def __enter__(self):
        self.space.__enter__()
        return self

    def join(self, link, space):
        """link - far, near - eth0 of the other space."""
        subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "far", "netns",
                        self.space.pid], check=True)
        self.space.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "eth0", "netns",
                       space.pid)
        for end in ("near", "far"):
            self.space.run("ip", "link", "set", end, "up")
        self.process = subprocess.Popen([*self.space.within, *self.command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(f"{self.command[0]} did not start")

    def end(self):
        """What it has counted, a line for each way."""
        process, self.process = self.process, None
        if process is not None:
            self.said = process.communicate(timeout=END_S)[0]
            assert process.returncode == 0, f"delay_line ended with {process.returncode}"
        return self.said

    def __exit__(self, *_):
        try:
            self.end()
        finally:
            self.space.__exit__()


def _add_qdisc(within, device, *words):
    return subprocess.run([*within, "tc", "qdisc", "add", "dev", device, "root", *words],
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


def has_netem():
    """Asked of a namespace that is gone afterwards."""
    with Space() as space:
        return _add_qdisc(space.within, "lo", "netem", "delay", "1ms")


def shape(host, line, netem):
    """Gives both ends of a host's line its rate; of netem also its length."""
    tbf = ["tbf", "rate", f"{line.mbit}mbit", "burst", str(BURST_BYTES), "latency",
           f"{WAITING_MS}ms"]
    packets = str(1000 + line.room // 1000)
    words = ["netem", "rate", f"{line.mbit}mbit", "delay", f"{round(line.delay_ms * 500)}us",
             "limit", packets] if netem else tbf
    for within, device in ((host.within, "eth0"), ((), host.link)):
        if not _add_qdisc(within, device, *words):
            skip(f"this kernel has no {words[0]}, so no line gets a rate")


def measure(server, client, transfer_bytes):
    """The shortest of some round trips between two hosts, and how long so many bytes take."""
    with subprocess.Popen([*server.within, sys.executable, PROBE, "serve", server.address],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as serving:
        try:
            port = serving.stdout.readline().strip()
            said = subprocess.run([*client.within, sys.executable, PROBE, "ask", server.address,
                                   port, str(CONNECTS), str(transfer_bytes)],
                                  stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        finally:
            serving.kill()
    found = json.loads(said)
    return found["round_trip_s"], found["transfer_s"]


def check(line, server, client, rate=True):
    """Is the line what it is said to be? Never shorter, and never faster, if that is asked."""
    transfer = min(line.bytes_in(TRANSFER_S), TRANSFER_BYTES_MAX) & -4096 if rate else 0
    round_trip_s, transfer_s = measure(server, client, transfer)
    least = 2 * line.delay_ms / 1000
    most = 1.5 * least + 0.02  # a busy machine adds to it
    assert least <= round_trip_s <= most, f"{line}: a round trip took {1000 * round_trip_s:.2f} ms"
    said = f"a round trip of {1000 * round_trip_s:.2f} ms"
    if not rate:
        return said
    least = (transfer - BURST_BYTES) / line.bytes_in(1)
    assert transfer_s >= least, f"{line}: {transfer} bytes took {transfer_s:.3f} s"
    return f"{said}, a transfer at {transfer / transfer_s / 125000:.0f} Mbit/s"
