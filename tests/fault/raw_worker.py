#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker process that a test kills, stops and lets go on.

It trains until a version, or until a line comes in on stdin; a line is also what it waits for where
it is to be killed: at the step --cut-at it sends --cut-bytes of its pushes and no more. On stdout it
says what happens: "joined RANK CLOCK", "cut", "error TEXT", "done CLOCK".
"""
import argparse
import sys
import threading

import raw

ROWS, COLUMNS = 5, 256  # a slice is a row


def examples(rank):
    return rank + 1


def forcing(rank, version, index):
    """A number that two ranks, versions or elements seldom share; exact in f32."""
    return ((rank * 37 + version * 11 + index * 5) % 23 - 11) / 16


def gradient(rank, version, row, weights):
    return [w / 4 + forcing(rank, version, row * COLUMNS + i) for i, w in enumerate(weights)]


def say(*words):
    print(*words, flush=True)


def gradients(rank, version, pulled):
    return {row: raw.pack(gradient(rank, version, row, raw.floats(weights)))
            for row, (_, weights) in pulled.items()}


def cut(peer, version, bytes_left, grads):
    for connection, data in peer.push_frames(version, examples(peer.rank), grads):
        connection.socket.sendall(data[:bytes_left])
        bytes_left = max(0, bytes_left - len(data))
    say("cut")
    sys.stdin.readline()


def train(peer, options, told):
    pulled = peer.pull()
    version = min(version for version, _ in pulled.values())
    while version != options.until and not told.is_set():
        grads = gradients(peer.rank, version, pulled)
        if version == options.cut_at:
            cut(peer, version, options.cut_bytes, grads)
        peer.push(version, examples(peer.rank), grads)
        version += 1
        pulled = peer.pull(version)
    peer.leave()


def train_freely(peer, told):
    """Of a job whose versions are no rounds."""
    while not told.is_set():
        pulled = peer.pull()
        version = min(version for version, _ in pulled.values())
        peer.push(version, examples(peer.rank), gradients(peer.rank, version, pulled),
                  peer.clock + 1)
    peer.leave()


def listen(told):
    if sys.stdin.readline():  # and not its end
        told.set()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--rank", type=int, default=-1)
    parser.add_argument("--lease-ms", type=int, default=0)
    parser.add_argument("--until", type=int, default=-1)
    parser.add_argument("--cut-at", type=int, default=-1)
    parser.add_argument("--cut-bytes", type=int, default=0)
    parser.add_argument("--freely", action="store_true")
    parser.add_argument("--late", action="store_true", help="a push may come too late")
    options = parser.parse_args()
    told, over = threading.Event(), threading.Event()
    try:
        peer = raw.Peer(options.server, "j", rank=options.rank, lease_ms=options.lease_ms)
        if options.late:
            peer.taken = (*raw.TAKEN, raw.LATE_DROPPED)
        say("joined", peer.rank, peer.clock)
        threading.Thread(target=peer.beat, args=(over,), daemon=True).start()
        if options.cut_at < 0:
            threading.Thread(target=listen, args=(told,), daemon=True).start()
        peer.define("w", ROWS, COLUMNS)
        peer.open()
        if options.freely:
            train_freely(peer, told)
        else:
            train(peer, options, told)
    except (OSError, raw.Refused) as error:
        say("error", error)
        raise SystemExit(1) from error
    over.set()
    say("done", peer.clock)


if __name__ == "__main__":
    main()
