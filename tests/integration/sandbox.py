# SPDX-License-Identifier: Apache-2.0
"""The daemon makes no system call that the unit of systemd forbids, and no socket of a family that it
forbids.

    sandbox.py BIN UNIT

strace counts the calls of a daemon that trains over TCP and shared memory, keeps checkpoints, reads
its settings again and ends; systemd-analyze says which calls the unit's SystemCallFilter lets pass.
Neither needs systemd to run. Skipped where one of the two is missing, or tracing is not allowed.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from processes import Daemon, environment, run_all, write_images  # noqa: E402

BIN, UNIT = sys.argv[1:]
SKIPPED = 77
TRAIN_S = 120
# What the daemon does without where it is refused: its limit is raised by LimitNOFILE already, and
# OpenBLAS asks how many processors there are.
REFUSABLE = {"setrlimit", "sched_setaffinity"}


def members(group):
    """The system calls of one of systemd's groups."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group],
                          capture_output=True, text=True, check=True).stdout
    found = set()
    for word in re.findall(r"^ +([@\w-]+)$", said, re.MULTILINE):
        found |= members(word) if word.startswith("@") else {word}
    return found


def allowed(unit):
    """What the SystemCallFilter lines let pass, which are applied in their order."""
    calls = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        for word in line.lstrip("~").split():
            named = members(word) if word.startswith("@") else {word}
            calls = calls - named if line.startswith("~") else calls | named
    return calls


def train(address, folder, job):
    return [f"{BIN}/stepd-train", "--server", address, "--job", job, "--data", folder,
            "--model", "mlp:784-8-10", "--batch", "64", "--epochs", "1"]


def calls_of_a_daemon(folder):
    """strace's summary, through a named pipe that ends with strace. -D: the daemon is our child."""
    pipe = f"{folder}/calls"
    os.mkfifo(pipe)
    summary = []
    reader = threading.Thread(target=lambda: summary.append(pathlib.Path(pipe).read_text()))
    reader.start()
    within = ["strace", "-D", "-f", "-c", "-qq", "-o", pipe]
    flags = ["--shards", "2", "--unix", f"{folder}/socket", "--checkpoint-dir", f"{folder}/kept",
             "--checkpoint-every-steps", "3"]
    with Daemon(f"{BIN}/stepd", *flags, within=within) as daemon:
        run_all([train(daemon.address, folder, "over-tcp"),
                 train(f"unix:{folder}/socket", folder, "shared")], TRAIN_S)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("event=reloaded")
    reader.join()
    rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", summary[0], re.MULTILINE)
    return {name: int(count) for count, name in rows if name != "total"}


def families_of_a_daemon(folder):
    """Those of its sockets, where it looks for itself in a list in which it is not."""
    trace = pathlib.Path(folder) / "sockets"
    done = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=socket", "-o", str(trace), f"{BIN}/stepd", "--listen",
         "127.0.0.1:7070", "--peers", "127.0.0.1:7,127.0.0.2:7"], capture_output=True, text=True,
        timeout=TRAIN_S, env=environment(), check=False)
    assert "none of the 2 in the list" in done.stderr, done.stderr
    return set(re.findall(r"socket\((AF_\w+)", trace.read_text()))


def main():
    for tool in ("strace", "systemd-analyze"):
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed (deploy/setup.sh test installs it)")
            return SKIPPED
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode:
        print("skipped: no process may be traced here")
        return SKIPPED
    lets_pass = allowed(pathlib.Path(UNIT).read_text())
    [named] = re.findall(r"^RestrictAddressFamilies=(.*)$", pathlib.Path(UNIT).read_text(),
                         re.MULTILINE)
    assert len(lets_pass) > 200, f"systemd-analyze names only {len(lets_pass)} calls"
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder)
        calls = calls_of_a_daemon(folder)
        families = families_of_a_daemon(folder)
    assert len(calls) > 20 and "sendmsg" in calls, f"strace counted only {calls}"
    forbidden = sorted(set(calls) - lets_pass - REFUSABLE)
    assert not forbidden, f"the unit forbids what the daemon does: {forbidden}"
    assert "AF_NETLINK" in families, f"it has asked for no addresses: {families}"
    assert families <= set(named.split()), f"the unit forbids sockets that it makes: {families}"
    print(f"{len(calls)} system calls made, {sum(calls.values())} times, none forbidden; "
          f"{len(lets_pass)} allowed")
    return 0


sys.exit(main())
