# SPDX-License-Identifier: Apache-2.0
"""Strangers and observers who wish a daemon ill, each kind a process of its own.

    attackers.py ADDRESS KIND RATE [LETTER]

It makes RATE rounds a second at most, at the lowest priority that there is, until its standard input
ends, and then says how many it has made and what became of them. What goes wrong for an attacker is
none of its business: it comes again. LETTER is bytes for the kind `handshakes`, in a file.
"""
import collections
import contextlib
import json
import os
import select
import socket
import sys

import raw

GET_STATUS = 19
JOB = "train"  # that stepd-train trains: an observer of none is not let in at a shard
EMPTY_TENSORS = b"\x0a\x00" * 30000  # 60 KB of sub-messages of nothing: as many as a header takes
SLOW = 24  # connections of a slowloris
DEAF = 4  # connections that never read
BURST = 200  # requests in one write
FRAME = raw.varint(60000) + b"\x0a" + raw.varint(59990) + bytes(60000)  # which is never whole
TIMEOUT_S = 2


def dial(address):
    """A connection, perhaps still on its way."""
    host, port = address.rsplit(":", 1)
    to = socket.socket()
    to.setblocking(False)
    to.connect_ex((host, int(port)))
    return to


def send(to, data):
    """As much as is taken now; False: it is broken."""
    try:
        to.send(data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def drain(to):
    """Reads what is there."""
    with contextlib.suppress(OSError):
        while to.recv(1 << 16, socket.MSG_DONTWAIT):
            pass


class Observer:
    """Is let in, since everybody is, and then says what it likes."""

    def __init__(self, address):
        raw.TIMEOUT_S = TIMEOUT_S
        self.control = raw.Connection(address)
        _, welcome, _ = self.control.ask(
            raw.HELLO, [(1, 1), (2, raw.OBSERVER), (3, JOB), (4, "attacker")])
        self.shard = raw.Connection(address)
        self.shard.ask(raw.HELLO, [(1, 1), (7, raw.first(welcome, 1, b"")), (8, 1)])
        self.sent, self.pull = 0, None

    def layout(self):
        """The job's incarnation, and the slices of shard 1."""
        _, layout, _ = self.control.ask(raw.GET_LAYOUT, [])
        shards = raw.numbers(layout, 3)
        return raw.first(layout, 1), [i for i, shard in enumerate(shards) if shard == 1]

    def flood(self, connection, kind, body, count=BURST):
        """The same request again and again, without a look at the answers."""
        connection.socket.setblocking(False)
        return send(connection.socket, b"".join(connection.frame(kind, body) for _ in range(count)))

    def close(self):
        self.control.close()
        self.shard.close()


def observers(address, count):
    """So many, or as many as are let in."""
    made = []
    for _ in range(count):
        with contextlib.suppress(OSError, raw.Refused):
            made.append(Observer(address))
    return made


# ---- The kinds: each a generator that makes a round for each value -------------------------------

def crowd(address, _):
    """Ten times more connections than are allowed, which say nothing."""
    held = collections.deque()
    most = int(os.environ.get("ATTACK_CROWD", "640"))
    while True:
        held.append(dial(address))
        if len(held) > most:
            held.popleft().close()
        yield


def slowloris(address, _):
    """Hellos and frames that come byte by byte, and never whole."""
    hello = b"\x81\x08\x0a" + b"\xfe\x07" + b"\x00" * 1000  # a frame of 1025 bytes
    slow = collections.deque((dial(address), 0) for _ in range(SLOW))
    inside = []
    while True:
        to, at = slow.popleft()
        if send(to, hello[at:at + 1]) and at < len(hello) - 1:
            slow.append((to, at + 1))
        else:
            to.close()
            slow.append((dial(address), 0))
        inside.extend(observers(address, 2 - len(inside)))
        for observer in list(inside):
            observer.shard.socket.setblocking(False)
            if not send(observer.shard.socket, FRAME[observer.sent:observer.sent + 1]):
                inside.remove(observer)
                observer.close()
            observer.sent = min(observer.sent + 1, len(FRAME) - 2)
        yield


def handshakes(address, letter):
    """Handshakes of TLS that are begun, and not gone on with; some are nonsense."""
    held = collections.deque()
    rounds = 0
    while True:
        to = dial(address)
        select.select([], [to], [], TIMEOUT_S)
        send(to, letter if rounds % 4 else letter[:-20] + os.urandom(20))
        held.append(to)
        if len(held) > 500:
            held.popleft().close()
        rounds += 1
        yield


def refused(address, _):
    """Strangers whose Hello cannot be, and observers whose every request is refused."""
    bad = (b"\x0a\x0a\x08\x08\x01\x12\x04\x08\x09\x10\x01", b"GET / HTTP/1.1\r\n\r\n",
           b"\x06\x0a\x04\x08\x01\x12\x00", os.urandom(64))
    inside = []
    rounds = 0
    while True:
        to = dial(address)
        select.select([], [to], [], TIMEOUT_S)
        send(to, bad[rounds % len(bad)])
        drain(to)
        to.close()
        inside.extend(observers(address, 2 - len(inside)))
        for observer in list(inside):
            floods = ((observer.control, GET_STATUS, [(1, "no-such-job")]),
                      (observer.shard, raw.PULL, [(1, 7), (2, [0])]))
            if not all(observer.flood(*flood) for flood in floods):
                inside.remove(observer)
                observer.close()
                continue
            drain(observer.control.socket)
            drain(observer.shard.socket)
        rounds += 1
        yield


def deaf(address, _):
    """Observers who ask and ask and never read."""
    inside = []
    while True:
        inside.extend(observers(address, DEAF - len(inside)))
        for observer in list(inside):
            if not observer.flood(observer.control, GET_STATUS, [(1, "")], count=20) or \
                    not observer.flood(observer.shard, raw.PULL, [(1, 7), (2, [0])], count=20):
                inside.remove(observer)
                observer.close()
        yield


def hoarders(address, _):
    """Observers who pull the weights of the job that trains, again and again, and never read them: no
    round is to wait for the versions that they are being sent."""
    inside, rounds = [], 0
    while True:
        if rounds % 20 == 0:  # the job may have begun anew
            for observer in inside:
                observer.close()
            inside = observers(address, DEAF)
            for observer in inside:
                observer.shard.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for observer in list(inside):
            with contextlib.suppress(OSError, raw.Refused):
                observer.pull = observer.pull or observer.layout()
                incarnation, slices = observer.pull
                observer.flood(observer.shard, raw.PULL, [(1, incarnation), (2, slices)], count=100)
        rounds += 1
        yield


def empties(address, _):
    """A mebibyte of empty sub-messages, which take hundreds of times that when they are unpacked."""
    while True:
        with contextlib.suppress(OSError, raw.Refused):
            connection = raw.Connection(address)
            connection.ask(raw.HELLO, [(1, 1), (2, raw.OBSERVER), (4, "attacker")])
            header = raw.encode([(1, 2)]) + raw.varint(raw.DEFINE_TENSORS << 3 | 2) + \
                raw.varint(len(EMPTY_TENSORS)) + EMPTY_TENSORS
            frame = raw.encode([(1, header)])
            connection.socket.sendall((raw.varint(len(frame)) + frame) * 18)
            connection.close()
        with contextlib.suppress(OSError):
            to = dial(address)  # the same as a stranger, as far as it comes
            select.select([], [to], [], TIMEOUT_S)
            send(to, raw.varint(5000) + b"\x0a" + raw.varint(4990) + EMPTY_TENSORS[:4990])
            to.close()
        yield


KINDS = {kind.__name__: kind for kind in (crowd, slowloris, handshakes, refused, deaf, hoarders,
                                       empties)}


def be_humble():
    """What the attackers compute is to be none of the daemon's and the workers' time: they would
    stand on machines of their own."""
    os.nice(19)


def main():
    address, kind, rate = sys.argv[1], sys.argv[2], float(sys.argv[3])
    letter = b""
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as file:
            letter = file.read()
    be_humble()
    rounds = 0
    for _ in KINDS[kind](address, letter):
        rounds += 1
        if rounds == 1:
            print("begun", flush=True)
        if select.select([sys.stdin], [], [], 1 / rate)[0]:
            break
    print(json.dumps({"kind": kind, "rounds": rounds}), flush=True)


if __name__ == "__main__":
    main()
