#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the worker of a language does where things do not go well.

    alone.py BIN C-WORKER LANGUAGE

It says why it cannot go on, and ends with status 1: where the server refuses it, where nobody
listens, where the connection is lost, and where the job has gone back. While it waits for another
rank it keeps its own, for longer than its lease; and when that other rank has been lost twice and a
C worker takes it over, both end with the bits of two C workers.
"""
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / part)
                for part in ("fault", "integration")]
import frames  # noqa: E402
import raw  # noqa: E402
from crew import TRAIN_S, arguments, build_all, check_output, read_weights, train  # noqa: E402
from processes import Daemon, environment  # noqa: E402

BIN, C_WORKER, LANGUAGE = sys.argv[1:]
LEASE_MS = 2000
DEFINE_JOB, JOB_DEFINED, TENSORS_DEFINED, STEP, ROLLED_BACK = 4, 5, 7, 13, 17
WELCOME = [(1, b"0123456789abcdef"), (7, 60000), (9, b"")]
LAYOUT = [(1, 1), (3, [1]), (4, [2]), (5, [0, 1]), (6, [0, 0]), (7, [7840, 10]), (9, 1), (10, 1)]
WEIGHTS = bytes(4 * 7850)
# What a server says that goes back at the first step: to each request its reply and the payload.
GOES_BACK = {
    raw.HELLO: (raw.WELCOME, WELCOME, b""),
    DEFINE_JOB: (JOB_DEFINED, [(1, 1), (2, 1)], b""),
    raw.DEFINE_TENSORS: (TENSORS_DEFINED, [(1, 2)], b""),
    raw.GET_LAYOUT: (raw.LAYOUT, LAYOUT, b""),
    raw.PULL: (raw.RESULT, [(1, [0]), (2, [0]), (3, [0]), (6, 1)], WEIGHTS),
    STEP: (raw.ERROR, [(1, ROLLED_BACK), (2, "it went back")], b""),
}
HANGS_UP = {kind: reply for kind, reply in GOES_BACK.items() if kind != STEP}


def check_says(said, command, env, address, rank=0, workers=1):
    ended = subprocess.run(arguments(command, address, rank, workers, "/dev/null"), text=True,
                           capture_output=True, timeout=TRAIN_S, check=False,
                           env={**environment(), **env})
    assert ended.returncode == 1, f"ended with {ended.returncode} where it should say '{said}'"
    assert re.fullmatch(said, ended.stderr, re.IGNORECASE), ended.stderr


def serve(connection, replies):
    """Answers one connection, and closes it where there is no reply to what it asks."""
    stream = frames.Frames()
    with connection:
        while received := connection.recv(65536):
            for frame in stream.feed(received):
                request_id, asked, _ = frames.split_frame(frame)
                if asked not in replies:
                    return
                kind, body, payload = replies[asked]
                header = raw.encode([(1, request_id), (kind, raw.encode(body))])
                reply = raw.encode([(1, header)] + ([(2, payload)] if payload else []))
                connection.sendall(frames.delimited(reply))


def check_says_of(replies, said, command, env):
    """What the worker says of a server that gives these replies, over control and one shard."""
    def accept():
        for _ in range(2):
            dialled, _ = listener.accept()
            threading.Thread(target=serve, args=[dialled, replies], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        check_says(said, command, env, "%s:%d" % listener.getsockname())


def check_nobody(command, env):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        check_says("softmax: .*refused.*\n", command, env, "%s:%d" % nobody.getsockname())


def lose_rank(daemon, rank):
    """Somebody joins as this rank, and is never heard of again."""
    stranger = raw.Connection(daemon.address)
    sint = rank << 1
    stranger.socket.sendall(stranger.frame(raw.HELLO, [(1, 1), (3, "softmax"), (5, sint)]))
    stranger.read()
    stranger.close()
    daemon.said.wait_for_next(rf"event=worker_lost .*rank={rank}", TRAIN_S)
    assert not daemon.log(r"event=worker_lost .*rank=0"), "rank 0 has not kept its lease"


def check_lease(command, env, folder):
    mine, other = f"{folder}/mine", f"{folder}/other"
    with Daemon(f"{BIN}/stepd", "--lease-ms", str(LEASE_MS)) as daemon:
        waits = subprocess.Popen(arguments(command, daemon.address, 0, 2, mine), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 env={**environment(), **env})
        try:
            daemon.wait_for("event=job_state .*to=ready")
            lose_rank(daemon, 1)
            lose_rank(daemon, 1)
            subprocess.run(arguments([C_WORKER], daemon.address, 1, 2, other), check=True,
                           timeout=TRAIN_S, env=environment())
            said, _ = waits.communicate(timeout=TRAIN_S)
        finally:
            waits.kill()
            waits.wait()
    check_output(said, 1)
    return read_weights(mine), read_weights(other)


def main():
    commands = build_all({LANGUAGE}, C_WORKER)
    command, env = commands[LANGUAGE]
    with Daemon(f"{BIN}/stepd") as daemon:
        check_says("softmax: .*rank 7 .*\n", command, env, daemon.address, 7, 2)
    check_nobody(command, env)
    check_says_of(GOES_BACK, "softmax: it went back\nsoftmax: start it again: .*\n", command, env)
    check_says_of(HANGS_UP, "softmax: the server has closed the connection.*\n", command, env)
    with tempfile.TemporaryDirectory() as folder:
        reference, _ = train(BIN, ["c", "c"], commands, folder)
        for weights in check_lease(command, env, folder):
            assert weights == reference, "the weights are not those of two C workers"


if __name__ == "__main__":
    main()
