# SPDX-License-Identifier: Apache-2.0
"""Measures the way between two hosts by TCP, for lines.py.

usage: probe.py serve ADDRESS                      writes its port, and serves until it is ended
       probe.py ask ADDRESS PORT CONNECTS BYTES    writes what it has measured, as JSON

The server sends as many bytes as it is asked for, in 8 bytes. A transfer is shared out to several
connections: one alone begins so slowly on a long line that it would not show what the line can do.
"""
import json
import socket
import struct
import sys
import threading
import time

PIECE = bytes(1 << 20)
TIMEOUT_S = 30
STREAMS = 16


def serve_one(connection):
    with connection:
        asked = connection.recv(8, socket.MSG_WAITALL)
        left = struct.unpack("<Q", asked)[0] if len(asked) == 8 else 0
        while left > 0:
            left -= connection.send(PIECE[:left])


def serve(address):
    with socket.create_server((address, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=serve_one, args=listener.accept()[:1], daemon=True).start()


def connect(address, port):
    began = time.monotonic()
    connection = socket.create_connection((address, port), TIMEOUT_S)
    return connection, time.monotonic() - began


def take(connection, left, failed):
    room = bytearray(1 << 20)
    try:
        connection.sendall(struct.pack("<Q", left))
        while left > 0:
            got = connection.recv_into(room)
            if got == 0:
                raise OSError("the server hung up")
            left -= got
    except OSError as error:
        failed.append(error)


def ask(address, port, connects, transfer):
    round_trips, failed = [], []
    for _ in range(connects):
        connection, took = connect(address, port)
        connection.close()
        round_trips.append(took)
    streams = [connect(address, port)[0] for _ in range(STREAMS if transfer > 0 else 0)]
    threads = [threading.Thread(target=take, args=(stream, transfer // STREAMS, failed))
               for stream in streams]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    for stream in streams:
        stream.close()
    if failed:
        raise failed[0]
    print(json.dumps({"round_trip_s": min(round_trips), "transfer_s": took}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
