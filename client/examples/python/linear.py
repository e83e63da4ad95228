#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A complete stepd worker on nothing but the stock protobuf package: linear regression.

Fits y = x.w by full-batch gradient descent and compares with the exact least-squares solution.
Make the messages:  protoc -Iproto --python_out=DIR proto/stepd.proto
Then, for each rank:  PYTHONPATH=DIR python3 linear.py --server HOST:PORT --rank 0 --workers 2
"""
import argparse
import random
import socket
import struct

import stepd_pb2 as pb

FEATURES, EXAMPLES, STEPS = 3, 64, 300  # each rank takes every `workers`-th example


class Connection:
    """One connection: a varint length in front of each Frame, in both directions."""

    def __init__(self, address, **hello):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)))
        self.stream = self.socket.makefile("rb")
        self.requests = 0
        (self.welcome, _), = self.ask(hello=pb.Hello(protocol=1, **hello))

    def ask(self, payload=b"", **body):
        """Sends one request; returns its replies, each (message, payload)."""
        self.requests += 1
        header = pb.Header(request_id=self.requests, **body)
        frame = pb.Frame(header=header, payload=payload).SerializeToString()
        self.socket.sendall(varint(len(frame)) + frame)
        replies = [self.read()]
        while not getattr(replies[-1][0], "last", True):  # Layout and Result may be several
            replies.append(self.read())
        return replies

    def read(self):
        length, shift, byte = 0, 0, 0x80
        while byte & 0x80:
            byte = (self.stream.read(1) or b"\0")[0]  # at the end of the stream: an empty frame
            length |= (byte & 0x7F) << shift
            shift += 7
        frame = pb.Frame.FromString(self.stream.read(length))
        body = frame.header.WhichOneof("body")
        if body in (None, "error"):
            raise SystemExit(f"server: {frame.header.error.text or 'closed the connection'}")
        return getattr(frame.header, body), frame.payload


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def examples():
    """(x, y) pairs, the same in every worker; x ends in 1, so that the last weight is b."""
    rng = random.Random(1)
    rows = [[rng.uniform(-1, 1) for _ in range(FEATURES)] + [1.0] for _ in range(EXAMPLES)]
    return [(x, dot(x, [2.0, -1.0, 0.5, 3.0]) + rng.gauss(0, 0.1)) for x in rows]


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def gradient(w, batch):
    """Mean over the batch of d/dw (x.w - y)^2 / 2."""
    errors = [dot(x, w) - y for x, y in batch]
    return [dot(errors, column) / len(batch) for column in zip(*(x for x, _ in batch))]


def least_squares(batch):
    """Solves the normal equations X'X w = X'y by Gaussian elimination."""
    columns, ys = list(zip(*(x for x, _ in batch))), [y for _, y in batch]
    rows = [[dot(a, b) for b in columns] + [dot(a, ys)] for a in columns]
    for i, pivot in enumerate(rows):
        pivot[:] = [v / pivot[i] for v in pivot]
        for other in rows[:i] + rows[i + 1:]:
            other[:] = [v - other[i] * p for v, p in zip(other, pivot)]
    return [row[-1] for row in rows]


def main():
    flags = argparse.ArgumentParser()
    flags.add_argument("--server", default="127.0.0.1:7070")
    flags.add_argument("--rank", type=int, default=0)
    flags.add_argument("--workers", type=int, default=1)
    args = flags.parse_args()
    batch = examples()[args.rank::args.workers]
    who = dict(job="linear", worker=f"python:{args.rank}", rank=args.rank)
    control = Connection(args.server, **who)
    sgd = pb.Group(match="*", optimizer="sgd", settings=[pb.Setting(name="lr", values=[0.5])])
    control.ask(define_job=pb.DefineJob(mode=pb.SYNC, workers=args.workers, groups=[sgd]))
    tensor = pb.Tensor(name="w", shape=[FEATURES + 1])
    control.ask(define_tensors=pb.DefineTensors(tensors=[tensor], last=True))
    (layout, _), = control.ask(get_layout=pb.GetLayout())  # so small a tensor is one slice: 0
    owner = layout.slice_shards[0]
    address = control.welcome.shard_addresses[owner - 1] or args.server
    shard = Connection(address, session=control.welcome.session, shard=owner, **who)
    (_, payload), = shard.ask(pull=pb.Pull(incarnation=layout.incarnation, slices=[0]))
    for clock in range(1, STEPS + 1):
        w = struct.unpack(f"<{FEATURES + 1}f", payload)
        push = pb.Push(incarnation=layout.incarnation, clock=clock, slices=[0],
                       base_versions=[clock - 1], examples=len(batch))
        (_, payload), = shard.ask(struct.pack(f"<{FEATURES + 1}f", *gradient(w, batch)),
                                  step=pb.Step(push=push))
    control.ask(leave=pb.Leave(clock=STEPS))
    exact, w = least_squares(examples()), struct.unpack(f"<{FEATURES + 1}f", payload)
    for name, values in (("trained", w), ("exact  ", exact)):
        print(f"rank {args.rank}: {name}", *(f"{v:.6f}" for v in values))
    off = max(abs(p - q) for p, q in zip(w, exact))
    raise SystemExit(0 if off < 1e-5 else f"off by {off:.2e} from the least-squares solution")


if __name__ == "__main__":
    main()
