#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A complete stepd worker on nothing but the stock protobuf package: softmax regression on
Fashion-MNIST. Those in c, go, node and java beside this folder may train the same job with it.

Make the messages:  protoc -Iproto --python_out=DIR proto/stepd.proto
Then, for each rank:  PYTHONPATH=DIR python3 softmax.py ADDRESS RANK WORKERS DATA WEIGHTS-FILE

The same bits as in the other languages: floats are computed in double, in the order of the loops
of c/softmax.c, by + - * / alone; so no math.exp(), whose last bit differs between machines, and no
sum(), which adds in a way of its own since Python 3.12.
"""
import gzip
import pathlib
import socket
import struct
import sys
import threading

import stepd_pb2 as pb

PIXELS, CLASSES, BATCH, STEPS, TEST, ROLLED_BACK = 784, 10, 16, 50, 1000, 17
START = [0, CLASSES * PIXELS, CLASSES * PIXELS + CLASSES]  # w, b and the end, in one list


class Connection:
    """One connection: a varint length in front of each Frame, in both directions."""

    def __init__(self, address, **hello):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        self.requests, self.lock = 0, threading.Lock()
        (self.welcome, _), = self.ask(hello=pb.Hello(protocol=1, **hello))

    def ask(self, **body):
        with self.lock:
            self.send(**body)
            return self.replies()

    def send(self, payload=b"", **body):
        self.requests += 1
        header = pb.Header(request_id=self.requests, **body)
        frame = pb.Frame(header=header, payload=payload).SerializeToString()
        self.socket.sendall(varint(len(frame)) + frame)

    def replies(self):  # to the one request that is under way: each (message, payload)
        replies = [self.read()]
        while not getattr(replies[-1][0], "last", True):  # Layout and Result may be several
            replies.append(self.read())
        return replies

    def read(self):
        length, shift, byte = 0, 0, 0x80
        while byte & 0x80:
            byte = self.exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
        frame = pb.Frame.FromString(self.exactly(length))
        body, error = frame.header.WhichOneof("body"), frame.header.error
        if body == "error":
            raise SystemExit("softmax: " + error.text + (error.code == ROLLED_BACK) *
                             "\nsoftmax: start it again: it goes on from the server's version")
        return getattr(frame.header, body), frame.payload

    def exactly(self, count):
        content = self.stream.read(count)
        if len(content) < count:
            raise SystemExit("softmax: the server has closed the connection")
        return content

    def keep_alive(self, ended):
        """Heartbeats, so that the lease does not run out while others are waited for."""
        while not ended.wait(self.welcome.lease_ms / 3000):
            self.ask(heartbeat=pb.Heartbeat())


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)


def exponential(x):
    """e^x for x <= 0: the series of e^(x/1024) up to x^12, squared ten times."""
    if x < -700:
        return 0.0
    p = 1.0
    for k in range(12, 0, -1):
        p = 1 + x / 1024 * p / k
    for _ in range(10):
        p = p * p
    return p


def score(w, pixels):
    scores = []
    for k in range(CLASSES):
        z = w[START[1] + k]
        for weight, x in zip(w[k * PIXELS:(k + 1) * PIXELS], pixels):
            z = z + weight * x
        scores.append(z)
    return scores


def gradient(w, batch):
    """Of the mean cross entropy over the batch."""
    rows, bias = [[0.0] * PIXELS for _ in range(CLASSES)], [0.0] * CLASSES
    for pixels, label in batch:
        z = score(w, pixels)
        highest, total = max(z), 0.0
        e = [exponential(s - highest) for s in z]
        for one in e:
            total = total + one
        for k in range(CLASSES):
            miss = e[k] / total - (k == label)
            rows[k] = [g + miss * x for g, x in zip(rows[k], pixels)]
            bias[k] = bias[k] + miss
    return [g / len(batch) for row in [*rows, bias] for g in row]


def pictures(folder, name, count):
    with gzip.open(f"{folder}/{name}-images-idx3-ubyte.gz") as file:
        pixels = [p / 255 for p in file.read(16 + count * PIXELS)[16:]]
    with gzip.open(f"{folder}/{name}-labels-idx1-ubyte.gz") as file:
        labels = file.read(8 + count)[8:]
    return [(pixels[i * PIXELS:(i + 1) * PIXELS], labels[i]) for i in range(count)]


class Model:
    """The weights here, and where the elements of each slice of the shards stand in them."""

    def __init__(self, control, address):
        self.w, self.version = [0.0] * START[2], 0
        self.ranges, self.shards, self.held = [], {}, {}
        for layout, _ in control.ask(get_layout=pb.GetLayout()):
            self.incarnation = layout.incarnation
            parts = zip(layout.part_tensors, layout.part_offsets, layout.part_elements)
            for shard, count in zip(layout.slice_shards, layout.slice_parts):
                self.held.setdefault(shard, []).append(len(self.ranges))
                of_slice = [next(parts) for _ in range(count)]
                self.ranges.append([slice(START[tensor] + at, START[tensor] + at + elements)
                                    for tensor, at, elements in of_slice])
        for shard in self.held:
            where = control.welcome.shard_addresses[shard - 1] or address
            self.shards[shard] = Connection(where, session=control.welcome.session, shard=shard)

    def pull(self, slices):
        return dict(pull=pb.Pull(incarnation=self.incarnation, slices=slices))

    def step(self, slices, grad):
        elements = [g for s in slices for r in self.ranges[s] for g in grad[r]]
        push = pb.Push(incarnation=self.incarnation, clock=self.version + 1, slices=slices,
                       base_versions=[self.version], examples=BATCH)
        return dict(step=pb.Step(push=push), payload=struct.pack(f"<{len(elements)}f", *elements))

    def ask(self, request, *given):
        """Asks all shards before it waits for any, as workers must that wait for each other."""
        for shard, connection in self.shards.items():
            connection.send(**request(self.held[shard], *given))
        versions = []
        for connection in self.shards.values():
            for result, payload in connection.replies():
                values = iter(struct.unpack(f"<{len(payload) // 4}f", payload))
                for r in (r for s in result.slices for r in self.ranges[s]):
                    self.w[r] = [next(values) for _ in range(r.start, r.stop)]
                versions += result.versions
        self.version = min(versions)


def main():
    if len(sys.argv) != 6:
        raise SystemExit("usage: softmax.py ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE")
    address, rank, workers, folder, out = sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:]
    control = Connection(address, job="softmax", worker=f"python:{rank}", rank=rank)
    sgd = pb.Group(name="all", match="*", optimizer="sgd",
                   settings=[pb.Setting(name="lr", values=[0.1])])
    control.ask(define_job=pb.DefineJob(mode=pb.SYNC, workers=workers, groups=[sgd]))
    tensors = [pb.Tensor(name="w", shape=[CLASSES, PIXELS]), pb.Tensor(name="b", shape=[CLASSES])]
    control.ask(define_tensors=pb.DefineTensors(tensors=tensors, last=True))
    model, ended = Model(control, address), threading.Event()
    threading.Thread(target=control.keep_alive, args=[ended], daemon=True).start()
    model.ask(model.pull)
    train = pictures(folder, "train", STEPS * workers * BATCH)
    while model.version < STEPS:  # the version is the number of steps that have been made
        first = (model.version * workers + rank) * BATCH
        model.ask(model.step, gradient(model.w, train[first:first + BATCH]))
    ended.set()
    control.ask(leave=pb.Leave(clock=STEPS))
    scored = [(score(model.w, pixels), label) for pixels, label in pictures(folder, "t10k", TEST)]
    right = sum(z.index(max(z)) == label for z, label in scored)
    print(f"rank {rank}, Python: {right * 100 / TEST:.1f} % of {TEST} pictures right")
    pathlib.Path(out).write_bytes(struct.pack(f"<{START[2]}f", *model.w))


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        raise SystemExit(f"softmax: {error}") from None
