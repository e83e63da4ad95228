# SPDX-License-Identifier: Apache-2.0
"""A proxy between workers and a daemon, which does to their connections what networks do.

It listens on a free port of loopback and passes bytes on. What becomes of a connection is a
`Fate`: an object with request(data) and reply(data), which see each run of bytes before it is
passed on and return what is passed on instead, and whether the connection goes on after that; if
not, it is cut there.
"""
import random
import socket
import struct
import threading

from frames import (PUSH, RESULT, STEP, Frames, delimited, outcomes, renumbered,
                    split_frame, what_it_asks)

READ_BYTES = 1 << 16


class Fate:
    """Nothing happens."""
    resets = False  # cut with RST, and not with FIN

    def request(self, data):
        return data, True

    def reply(self, data):
        return data, True


class Cut(Fate):
    """Cuts at a byte of the requests or of the replies that is drawn for each connection."""

    def __init__(self, rng, most, resets=False):
        self.resets = resets
        self.left = {"request": None, "reply": None}
        self.left[rng.choice(sorted(self.left))] = rng.randrange(most)

    def _pass(self, way, data):
        left = self.left[way]
        if left is None:
            return data, True
        self.left[way] = max(0, left - len(data))
        return data[:left], len(data) <= left

    def request(self, data):
        return self._pass("request", data)

    def reply(self, data):
        return self._pass("reply", data)


class DropReplies(Fate):
    """Cuts each connection when the first reply comes to a request that has had none before."""

    def __init__(self, dropped, lock):
        self.dropped, self.lock = dropped, lock  # of all connections
        self.asked = {}
        self.requests, self.replies = Frames(), Frames()

    def request(self, data):
        for frame in self.requests.feed(data):
            request_id, *_ = split_frame(frame)
            with self.lock:
                self.asked[request_id] = what_it_asks(frame)
        return data, True

    def reply(self, data):
        """Whole frames pass, up to the one that is lost."""
        passed = b""
        for frame in self.replies.feed(data):
            request_id, *_ = split_frame(frame)
            with self.lock:
                what = self.asked.get(request_id)
                if what is not None and what not in self.dropped:
                    self.dropped.add(what)
                    return passed, False
            passed += delimited(frame)
        return passed, True


class SendTwice(Fate):
    """Sends each push twice, and a third time before the next one, when its round may have closed.

    The copies have numbers of their own, and what is said to them is counted and kept back.
    """
    AT_ONCE, LATER = 1 << 61, 1 << 62

    def __init__(self, counts, lock):
        self.counts, self.lock = counts, lock  # of all connections
        self.requests, self.replies = Frames(), Frames()
        self.previous = None

    def request(self, data):
        passed = b""
        for frame in self.requests.feed(data):
            request_id, kind, _ = split_frame(frame)
            if kind not in (PUSH, STEP):
                passed += delimited(frame)
                continue
            if self.previous is not None:
                passed += delimited(self.previous)
            passed += delimited(frame) + delimited(renumbered(frame, request_id | self.AT_ONCE))
            self.previous = renumbered(frame, request_id | self.LATER)
        return passed, True

    def reply(self, data):
        passed = b""
        for frame in self.replies.feed(data):
            request_id, kind, body = split_frame(frame)
            if request_id & (self.AT_ONCE | self.LATER):
                with self.lock:
                    self.counts.update(outcomes(body) if kind == RESULT else [f"kind {kind}"])
            else:
                passed += delimited(frame)
        return passed, True


class Proxy:
    """with Proxy(address, lambda: fate) as proxy: ... proxy.address ... proxy.cuts"""

    def __init__(self, server, fate):
        self.fate, self.cuts, self.connections = fate, 0, []
        self.lock = threading.Lock()
        self.lead_to(server)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def lead_to(self, server):
        """New connections go to this server."""
        host, port = server.rsplit(":", 1)
        self.server = host, int(port)

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for ends in list(self.connections):
            self._end(ends, resets=False)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.server)
            except OSError:
                client.close()
                continue
            fate = self.fate()
            ends = (client, server)
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.append(ends)
            for source, sink, judge in ((client, server, fate.request),
                                        (server, client, fate.reply)):
                threading.Thread(target=self._pass, daemon=True,
                                 args=(ends, source, sink, judge, fate)).start()

    def _pass(self, ends, source, sink, judge, fate):
        try:
            while True:
                data = source.recv(READ_BYTES)
                if not data:
                    break
                passed, goes_on = judge(data)
                sink.sendall(passed)
                if not goes_on:
                    with self.lock:
                        self.cuts += 1
                    self._end(ends, fate.resets)
                    return
        except OSError:
            pass
        self._end(ends, resets=False)

    def _end(self, ends, resets):
        with self.lock:
            if ends not in self.connections:
                return
            self.connections.remove(ends)
        for end in ends:
            try:
                if resets:  # a close that does not linger sends RST, once nobody reads any more
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RD)
                    end.close()
                else:
                    end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def seeded(seed, most, resets=False):
    """A maker of Cut fates; all connections draw from one seed."""
    rng = random.Random(seed)
    return lambda: Cut(rng, most, resets)
