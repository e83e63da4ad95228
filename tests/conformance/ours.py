#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The exchanges, played to stepd and to libstepd; and what is not as recorded is found out.

    ours.py BIN CLIENT
"""
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from processes import Daemon, environment  # noqa: E402

BIN, CLIENT = sys.argv[1:]
SERVER_EXCHANGES, CLIENT_EXCHANGES = 6, 4  # at least
RUN_S = 120
SKIPPED = 77


def play(*flags):
    done = subprocess.run([sys.executable, str(HERE / "run.py"), *flags], capture_output=True,
                          text=True, timeout=RUN_S, check=False, env=environment())
    if done.returncode == SKIPPED:
        print(done.stdout, end="")
        raise SystemExit(SKIPPED)
    assert done.returncode in (0, 1), done.stderr
    return done


def check_plays(least, *flags):
    done = play(*flags)
    print(done.stdout, end="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed, 0 failed", done.stdout).group(1)) >= least, done.stdout


def check_differs(what, *flags):
    done = play(*flags)
    assert done.returncode == 1 and what in done.stdout, f"{flags}: {done.stdout}{done.stderr}"


def changed(folder, old, new):
    """`training` with other bytes: where the server says `old`, it should have said `new`."""
    text = (HERE / "exchanges/training.txt").read_text(encoding="utf-8")
    assert text.count(old) == 1, f"'{old}' stands {text.count(old)} times in training.txt"
    path = pathlib.Path(folder) / "changed.txt"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


def main():
    check_plays(SERVER_EXCHANGES + CLIENT_EXCHANGES - 1, "--check")
    with Daemon(f"{BIN}/stepd", "--shards", "1") as daemon:
        check_plays(SERVER_EXCHANGES, "--server", daemon.address)
    client = f"{CLIENT} {{address}}"
    check_plays(CLIENT_EXCHANGES, "--client", client)
    with tempfile.TemporaryDirectory() as folder:
        weights = changed(folder, "00 00 00 3F 00 00 10 40 00 00 80 BE",
                          "00 00 00 3F 00 00 10 40 00 00 80 BF")
        check_differs("text says another thing", "--check", weights)
        with Daemon(f"{BIN}/stepd", "--shards", "1") as daemon:
            check_differs("shard result: recorded:", "--server", daemon.address, weights)
        gradient = changed(folder, "00 00 20 C0", "00 00 20 C1")
        check_differs("shard step: recorded:", "--client", client, gradient)
    check_differs("the client has hung up", "--client",
                  f"{sys.executable} -c \"import socket; socket.create_connection("
                  "'{address}'.split(':'))\"", "training")


if __name__ == "__main__":
    main()
