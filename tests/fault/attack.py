#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training under attack from loopback: strangers and observers do what attackers.py knows, all at
once, for as long as it lasts.

    attack.py BIN [no-memory]           test: the weights have the bits of an undisturbed training, no
                                        worker has failed, an operator gets in, each limit that was
                                        attacked has counted, and the daemon's memory is flat
    attack.py BIN measure [--runs N] [--json]
                                        the times of steps, in trainings that are attacked and that
                                        are not, by turns

The attackers run at the lowest priority and with a bounded rate each, since they would have machines
of their own. Where the port speaks TLS, the workers come over the Unix socket.
"""
import argparse
import contextlib
import json
import pathlib
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import training
from processes import environment

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS_MAX = 64  # of the daemon; the crowd is ten times as many
RATES = {"refused": 50, "deaf": 20, "hoarders": 20, "empties": 5, "slowloris": 100,
         "handshakes": 100, "crowd": 200}
IN_CLEAR = tuple(RATES)
THROUGH_TLS = ("slowloris", "handshakes", "crowd")
GROWS_MOST = 16 << 20  # bytes; a connection costs its handshake, and what waits for a deaf one
MODEL = "mlp:784-400-10"  # of what is measured
WARM = 20  # steps that are not counted
END_S = 60


# ---- The attack ----------------------------------------------------------------------------------

def client_hello(folder):
    """The first letter of a handshake, in a file."""
    to, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(to, out, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    letter = pathlib.Path(folder) / "letter"
    letter.write_bytes(out.read())
    return str(letter)


class Attack:
    """All attackers of these kinds, from when each has made a round until the end."""

    def __init__(self, address, kinds, letter):
        self.address, self.kinds, self.letter = address, kinds, letter
        self.rounds, self.running = {}, []

    def __enter__(self):
        for kind in self.kinds:  # who wants to be let in comes before the crowd
            attacker = subprocess.Popen(
                [sys.executable, str(HERE / "attackers.py"), self.address, kind, str(RATES[kind]),
                 self.letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env=environment())
            self.running.append(attacker)
            assert attacker.stdout.readline() == "begun\n", f"{kind} has not begun"
        return self

    def __exit__(self, *_):
        for attacker in self.running:
            with contextlib.suppress(OSError):
                attacker.stdin.close()
        for attacker in self.running:
            said = attacker.stdout.read()
            if attacker.wait(END_S) == 0:
                done = json.loads(said)
                self.rounds[done["kind"]] = done["rounds"]


# ---- The daemon ----------------------------------------------------------------------------------

class Target:
    """A daemon to be attacked, and what is asked of it."""

    def __init__(self, runs, tls, *more):
        self.runs = runs
        self.socket = f"{runs.folder}/stepd.sock"
        flags = ["--connections-max", str(CONNECTIONS_MAX), "--hello-timeout-ms", "1000", "--unix",
                 self.socket, "--unsent-max-bytes", "1MiB", *more]
        if tls:
            pki = self.pki()
            flags += ["--tls-cert", f"{pki}/127.0.0.1.pem", "--tls-key", f"{pki}/127.0.0.1.key"]
        self.daemon = runs.daemon(*flags)

    def pki(self):
        folder = f"{self.runs.folder}/pki"
        if not pathlib.Path(folder).exists():
            subprocess.run([f"{self.runs.bin}/stepctl", "certs", folder, "--hosts", "127.0.0.1"],
                           check=True, stdout=subprocess.DEVNULL, env=environment())
        return folder

    def __enter__(self):
        self.daemon.__enter__()
        return self

    def __exit__(self, *how):
        self.daemon.__exit__(*how)

    @property
    def unix(self):
        return f"unix:{self.socket}"

    def refused(self):
        """{key of a limit: how often it was met}, as an operator reads it."""
        asked = subprocess.run([f"{self.runs.bin}/stepctl", "--server", self.unix, "status",
                                "--json"], stdout=subprocess.PIPE, check=True, text=True,
                               env=environment(), timeout=END_S)
        return {limit["name"]: limit["refused"] for limit in json.loads(asked.stdout)["limits"]}

    def memory(self):
        """Bytes of the process, now and at the most."""
        status = pathlib.Path(f"/proc/{self.daemon.process.pid}/status").read_text()
        return [int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) << 10
                for name in ("VmRSS", "VmHWM")]


# ---- The test ------------------------------------------------------------------------------------

STEPS = 4000
ATTACK_MAX_S = 240
LINES_PER_S = 40  # of the log; attackers make hundreds of rounds
MET_IN_CLEAR = ("unauthenticated_max", "refusals_max_per_s", "hello_max_bytes", "unsent_max_bytes",
                "old_versions_max_bytes")
MET_THROUGH_TLS = ("unauthenticated_max",)


def train_until_met(runs, target, met, tls):
    """Trains under attack, again and again, until each limit was met; how often each was."""
    end = time.monotonic() + ATTACK_MAX_S
    refused = {}
    while not refused or not all(refused[key] > 0 for key in met):
        assert time.monotonic() < end, f"not met: {[key for key in met if not refused[key]]}"
        address = target.unix if tls else target.daemon.address
        weights, _ = runs.train(address, 2, steps=STEPS)
        runs.expect(2, weights, f"attacked {'through TLS' if tls else 'in clear'}", steps=STEPS)
        refused = target.refused()
    return refused


def withstand(runs, letter, tls, look_at_memory):
    """One training under attack."""
    kinds, met = (THROUGH_TLS, MET_THROUGH_TLS) if tls else (IN_CLEAR, MET_IN_CLEAR)
    # Without memory for versions that observers have not taken, some of these must go.
    with Target(runs, tls, "--old-versions-max-bytes", "0") as target:
        runs.train(target.unix, 2, steps=100)
        before, _ = target.memory()
        began = time.monotonic()
        with Attack(target.daemon.address, kinds, letter) as attack:
            refused = train_until_met(runs, target, met, tls)
        _, most = target.memory()
        log_lines = len(target.daemon.said.lines)
    log_most = 300 + LINES_PER_S * (time.monotonic() - began)
    assert log_lines < log_most, f"the log has {log_lines} lines, more than {log_most:.0f}"
    assert not look_at_memory or most - before < GROWS_MOST, \
        f"the daemon has grown from {before >> 20} to {most >> 20} MiB"
    print(f"{'TLS' if tls else 'clear'}: rounds {attack.rounds}, memory {before >> 20} MiB and at "
          f"most {most >> 20}, {log_lines} lines of log, met "
          f"{ {key: count for key, count in refused.items() if count} }", flush=True)


def test(bin_folder, look_at_memory):
    with tempfile.TemporaryDirectory() as folder:
        runs = training.Runs(bin_folder, folder)
        letter = client_hello(folder)
        for tls in (False, True):
            withstand(runs, letter, tls, look_at_memory)


# ---- Measuring -----------------------------------------------------------------------------------

def timed_training(runs, target, steps):
    """The seconds of each step but the first ones, and the weights."""
    csv, weights = f"{runs.folder}/steps.csv", runs.weights_name()
    workers = [training.Worker(
        [f"{runs.bin}/stepd-train", "--server", target.daemon.address, "--data", runs.folder,
         "--model", MODEL, "--batch", "64", "--quiet", "--steps", str(steps), "--rank", str(rank),
         "--world", "2", *(["--csv", csv, "--save-weights", weights] if rank == 0 else [])])
        for rank in range(2)]
    codes = [worker.end() for worker in workers]
    assert codes == [0, 0], f"the workers ended with {codes}"
    at = [float(line.split(",")[4]) for line in pathlib.Path(csv).read_text().splitlines()[1:]]
    return [b - a for a, b in zip(at[WARM:], at[WARM + 1:])], pathlib.Path(weights).read_bytes()


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measure(bin_folder, how):
    """Trainings by turns; what was measured, as one object."""
    times, weights, rates, grown = {False: [], True: []}, set(), {}, 0
    with tempfile.TemporaryDirectory() as folder:
        runs = training.Runs(bin_folder, folder)
        letter = client_hello(folder)
        for turn in range(2 * how.runs):
            attacked = turn % 4 in (1, 2)  # each is first in every other pair
            with Target(runs, tls=False) as target:
                runs.train(target.unix, 1, steps=10)
                before, _ = target.memory()
                began = time.monotonic()
                with Attack(target.daemon.address, IN_CLEAR if attacked else (), letter) as attack:
                    seconds, final = timed_training(runs, target, how.steps)
                took = time.monotonic() - began
                _, most = target.memory()
            times[attacked].append(seconds)
            weights.add(final)
            if attacked:
                rates = {kind: round(rounds / took, 1) for kind, rounds in attack.rounds.items()}
                grown = max(grown, most - before)
            else:
                planned = most - before
    assert len(weights) == 1, "an attack has changed weights"
    pooled = {attacked: [s for run in runs_of for s in run] for attacked, runs_of in times.items()}
    return {
        "steps": len(pooled[True]), "rounds_per_s": rates,
        "grown_bytes": grown, "grown_alone_bytes": planned,
        **{f"{name}_ms": [round(1e3 * quantile(pooled[attacked], share), 3)
                          for attacked in (False, True)]
           for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))},
        "p99_ratio": round(quantile(pooled[True], 0.99) / quantile(pooled[False], 0.99), 3),
        "p99_ratio_of_pairs": round(statistics.median(
            quantile(a, 0.99) / quantile(b, 0.99) for a, b in zip(times[True], times[False])), 3)}


def show(measured):
    print(f"{measured['steps']} steps attacked, as many alone; rounds per second of the attackers: "
          f"{measured['rounds_per_s']}")
    for name in ("p50", "p90", "p99"):
        alone, attacked = measured[f"{name}_ms"]
        print(f"{name}: alone {alone} ms, attacked {attacked} ms")
    print(f"p99 attacked over alone: {measured['p99_ratio']} of all, "
          f"{measured['p99_ratio_of_pairs']} in the median of pairs; the same bits in all")
    print(f"memory: the daemon grew by {measured['grown_bytes'] >> 10} KiB at most, alone by "
          f"{measured['grown_alone_bytes'] >> 10}")


def main():
    if sys.argv[2:3] != ["measure"]:
        return test(sys.argv[1], "no-memory" not in sys.argv[2:])
    parser = argparse.ArgumentParser(prog="attack.py BIN measure")
    parser.add_argument("--runs", type=int, default=6, help="trainings of each kind")
    parser.add_argument("--steps", type=int, default=800, help="of each training")
    parser.add_argument("--json", action="store_true")
    how = parser.parse_args(sys.argv[3:])
    measured = measure(sys.argv[1], how)
    if how.json:
        print(json.dumps({"attack": measured}, indent=2))
    else:
        show(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
