#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SET and GET of n bytes by a Redis server of its own, beside a bare exchange.

The server is started without persistence on loopback and on a Unix socket in a folder of its own, and
ended by its pid. The client is a bare socket here: RESP needs no more.

    python3 tests/bench/peers/redis_kv.py [--json] [--quick]
"""
import os
import shutil
import socket
import subprocess
import tempfile
import time

import peer

START_S = 10.0


class Redis:
    """A server, and a connection to it over each transport."""

    def __init__(self, binary, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        path = os.path.join(folder, "redis.sock")
        self.process = subprocess.Popen(
            [binary, "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", path, "--save", "",
             "--appendonly", "no", "--dir", folder, "--loglevel", "warning"],
            stdout=subprocess.DEVNULL)
        self.connections = {}
        try:
            self.connections["tcp"] = self.connect(
                lambda: socket.create_connection(("127.0.0.1", port)))
            self.connections["unix"] = self.connect(lambda: connect_unix(path))
            peer.tune(self.connections["tcp"])
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def connect(self, make):
        until = time.monotonic() + START_S
        while True:
            try:
                return make()
            except OSError:
                if self.process.poll() is not None or time.monotonic() >= until:
                    raise
                time.sleep(0.01)

    def end(self):
        for connection in self.connections.values():
            connection.close()
        self.process.terminate()
        self.process.wait()


def connect_unix(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def expect(connection, text):
    came = bytearray(len(text))
    peer.receive(connection, memoryview(came))
    if came != text:
        raise RuntimeError(f"redis answers {bytes(came)!r}")


def set_and_get(connection, send, into):
    connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nw\r\n$%d\r\n" % len(send))
    connection.sendall(send)
    connection.sendall(b"\r\n")
    expect(connection, b"+OK\r\n")
    connection.sendall(b"*2\r\n$3\r\nGET\r\n$1\r\nw\r\n")
    expect(connection, b"$%d\r\n" % len(send))
    peer.receive(connection, memoryview(into))
    expect(connection, b"\r\n")


def main():
    report = peer.Report("redis_kv", __doc__)
    binary = shutil.which("redis-server")
    if binary is None:
        peer.not_installed("Redis", "apt-get install --no-install-recommends redis-server")
    with tempfile.TemporaryDirectory() as folder, Redis(binary, folder) as redis, \
            peer.Bare() as bare:
        for size in report.sizes:
            send, into = bytes(size), bytearray(size)
            for transport, connection in redis.connections.items():
                taken = report.measure({
                    "redis": lambda c=connection: set_and_get(c, send, into),
                    "bare": lambda: bare.exchange(send, into)})
                report.add({"transport": transport, "bytes": size}, taken)
    report.end()


if __name__ == "__main__":
    main()
