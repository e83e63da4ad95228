# SPDX-License-Identifier: Apache-2.0
"""A worker on nothing but sockets, which sends what a test wants, down to the byte.

It speaks the few messages of proto/stepd.proto that training needs, through a codec of its own: a
message is a dict from a field's number to the list of its values, numbers or bytes.
"""
import socket
import struct
import threading

HELLO, WELCOME, DEFINE_TENSORS, GET_LAYOUT, LAYOUT = 2, 3, 6, 8, 9
PUSH, PULL, RESULT, HEARTBEAT, LEAVE, ERROR = 11, 12, 14, 16, 17, 23
WORKER, OBSERVER = 0, 1
TAKEN = (1, 2)  # outcomes of a push that counts: APPLIED, DUPLICATE
LATE_DROPPED = 3
BEAT_S = 0.25  # of the least lease, 1 s
TIMEOUT_S = 120


class Refused(Exception):
    """The server answered with an Error."""


# ---- Messages ------------------------------------------------------------------------------------

def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def encode(fields):
    """fields: a list of (number, value); numbers, bytes, texts, lists of numbers (packed)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
            continue
        if isinstance(value, list):
            value = b"".join(map(varint, value))
        elif isinstance(value, str):
            value = value.encode()
        out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def take_varint(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def decode(data):
    fields, at = {}, 0
    while at < len(data):
        key, at = take_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = take_varint(data, at)
        else:
            size, at = (8, at) if wire == 1 else take_varint(data, at)
            value, at = data[at:at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def numbers(fields, number):
    """A packed list."""
    values = []
    for data in fields.get(number, []):
        at = 0
        while at < len(data):
            value, at = take_varint(data, at)
            values.append(value)
    return values


def first(fields, number, default=0):
    return fields.get(number, [default])[0]


# ---- A connection --------------------------------------------------------------------------------

class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S)
        self.stream = self.socket.makefile("rb")
        self.requests = 0
        self.mutex = threading.Lock()

    def frame(self, kind, body, payload=b""):
        """The bytes of the next request."""
        self.requests += 1
        header = encode([(1, self.requests), (kind, encode(body))])
        frame = encode([(1, header)] + ([(2, payload)] if payload else []))
        return varint(len(frame)) + frame

    def read(self):
        length, shift, byte = 0, 0, 0x80
        while byte & 0x80:
            read = self.stream.read(1)
            if not read:
                raise Refused("the server closed the connection")
            byte = read[0]
            length |= (byte & 0x7F) << shift
            shift += 7
        frame = decode(self.stream.read(length))
        header = decode(frame[1][0])
        if ERROR in header:
            raise Refused(first(decode(header[ERROR][0]), 2, b"").decode())
        kind = next(number for number in header if number != 1)
        return kind, decode(header[kind][0]), first(frame, 2, b"")

    def close(self):
        self.stream.close()
        self.socket.close()

    def ask(self, kind, body, payload=b""):
        with self.mutex:
            self.socket.sendall(self.frame(kind, body, payload))
            return self.read()


def read_results(connection):
    """[(slice, version, weights, outcome)] of all frames of an answer."""
    results, last = [], False
    while not last:
        _, body, payload = connection.read()
        last = bool(first(body, 6))
        slices, at = numbers(body, 1), 0
        each = len(payload) // max(1, len(slices))
        for index, outcome, version in zip(slices, numbers(body, 2), numbers(body, 3)):
            results.append((index, version, payload[at:at + each], outcome))
            at += each
    return results


# ---- A worker, or an observer --------------------------------------------------------------------

class Peer:
    """Slices are all of one length: the tests' jobs see to that."""

    def __init__(self, address, job, role=WORKER, rank=-1, **options):
        self.address = address
        self.control = Connection(address)
        zigzag = rank << 1 if rank >= 0 else 1
        body = [(1, 1), (2, role), (3, job), (4, options.get("name", "raw")), (5, zigzag),
                (9, options.get("lease_ms", 0))]
        _, welcome, _ = self.control.ask(HELLO, body)
        self.session, self.rank = first(welcome, 1, b""), first(welcome, 3)
        self.clock = first(welcome, 6)
        self.incarnation, self.shard_of, self.shards = 0, [], {}
        self.taken = TAKEN

    def define(self, name, rows, columns):
        tensor = encode([(1, name), (2, [rows, columns])])
        self.control.ask(DEFINE_TENSORS, [(2, tensor), (3, 1)])

    def open(self):
        """Gets the layout and connects to all shards that have slices."""
        _, layout, _ = self.control.ask(GET_LAYOUT, [])
        self.incarnation, self.shard_of = first(layout, 1), numbers(layout, 3)
        for shard in sorted(set(self.shard_of)):
            self.shards[shard] = Connection(self.address)
            self.shards[shard].ask(HELLO, [(1, 1), (7, self.session), (8, shard)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in (self.control, *self.shards.values()):
            connection.close()

    def slices_of(self, shard):
        return [i for i, owner in enumerate(self.shard_of) if owner == shard]

    def pull(self, min_version=0):
        """{slice: (version, weights)}"""
        pulled = {}
        for shard, connection in self.shards.items():
            connection.socket.sendall(connection.frame(
                PULL, [(1, self.incarnation), (2, self.slices_of(shard)), (3, min_version)]))
            pulled.update({i: (version, weights)
                           for i, version, weights, _ in read_results(connection)})
        return pulled

    def push_frames(self, version, examples, gradients, clock=None):
        """[(connection, bytes)], shard by shard; gradients: {slice: packed floats}

        Without a clock, it is that of a sync job.
        """
        frames = []
        for shard, connection in self.shards.items():
            slices = self.slices_of(shard)
            body = [(1, self.incarnation), (2, clock or version + 1), (3, slices),
                    (4, [version]), (5, examples)]
            payload = b"".join(gradients[i] for i in slices)
            frames.append((connection, connection.frame(PUSH, body, payload)))
        return frames

    def push(self, version, examples, gradients, clock=None):
        frames = self.push_frames(version, examples, gradients, clock)
        for connection, data in frames:
            connection.socket.sendall(data)
        for connection, _ in frames:
            for i, _, _, outcome in read_results(connection):
                if outcome not in self.taken:
                    raise Refused(f"outcome {outcome} of slice {i}")
        self.clock = clock or version + 1

    def beat(self, stop):
        while not stop.wait(BEAT_S):
            try:
                self.control.ask(HEARTBEAT, [])
            except (OSError, Refused):
                return

    def leave(self):
        self.control.ask(LEAVE, [(1, self.clock)])


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def pack(values):
    return struct.pack(f"<{len(values)}f", *values)
