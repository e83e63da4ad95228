# SPDX-License-Identifier: Apache-2.0
"""A worker whose gradients PyTorch computes, and whose weights stepd keeps: a module trains with it as
with an optimizer. It speaks the protocol by itself (tests/fault/raw.py), on one daemon."""
import pathlib
import struct
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
import raw  # noqa: E402

PART_TENSORS, PART_OFFSETS, PART_ELEMENTS, SLICE_PARTS = 5, 6, 7, 4
VALUES = 3
SKIPPED = 4  # outcome of a push to what is frozen


class Worker:
    """The only worker of a job that the daemon has: the module's parameters, in their order."""

    def __init__(self, address, job, module):
        self.parameters = dict(module.named_parameters())
        self.peer = raw.Peer(address, job, rank=0)
        self.peer.taken = (*raw.TAKEN, SKIPPED)
        tensors = [(2, raw.encode([(1, name), (2, list(p.shape)), (3, raw.encode([(1, VALUES)]))]))
                   for name, p in self.parameters.items()]
        self.peer.control.ask(raw.DEFINE_TENSORS, [*tensors, (3, 1)])
        _, layout, _ = self.peer.control.ask(raw.GET_LAYOUT, [])
        parts = list(zip(*(raw.numbers(layout, field)
                           for field in (PART_TENSORS, PART_OFFSETS, PART_ELEMENTS))))
        self.parts = []  # of each slice: [(tensor's index, first element, elements)]
        for count in raw.numbers(layout, SLICE_PARTS):
            self.parts.append(parts[:count])
            parts = parts[count:]
        self.peer.open()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Without a word: it may come back."""
        self.peer.__exit__()

    def pull(self):
        """Brings stepd's weights into the module; returns their version."""
        flat = [parameter.data.view(-1) for parameter in self.parameters.values()]
        pulled = self.read()
        for index, (_, weights) in pulled.items():
            values = torch.tensor(raw.floats(weights))
            for tensor, first, elements in self.parts[index]:
                flat[tensor][first:first + elements] = values[:elements]
                values = values[elements:]
        version, = {version for version, _ in pulled.values()}
        return version

    def read(self):
        """{slice: (version, weights)}; slices are of several lengths, so each is asked for alone."""
        pulled = {}
        for index, shard in enumerate(self.peer.shard_of):
            connection = self.peer.shards[shard]
            connection.socket.sendall(connection.frame(
                raw.PULL, [(1, self.peer.incarnation), (2, [index])]))
            (_, version, weights, _), = raw.read_results(connection)
            pulled[index] = version, weights
        return pulled

    def push(self, version, clock):
        """The module's gradients, that were computed at the version."""
        flat = [parameter.grad.reshape(-1) for parameter in self.parameters.values()]
        gradients = {}
        for index, parts in enumerate(self.parts):
            values = torch.cat([flat[t][first:first + n] for t, first, n in parts]).tolist()
            gradients[index] = struct.pack(f"<{len(values)}f", *values)
        self.peer.push(version, 1, gradients, clock)
