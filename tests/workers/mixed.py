#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers in several languages train one job, and end with the bits that as many C workers get.

    mixed.py BIN C-WORKER LANGUAGE ...     a worker in each language, rank by rank

Each says in so many words why it cannot go on, and ends with a status that is not 0.
"""
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from languages import EXAMPLES, Missing, build  # noqa: E402
from processes import Daemon, environment, run_all  # noqa: E402

BIN, C_WORKER, *CREW = sys.argv[1:]
DATA = "/usr/share/datasets/fashion-mnist"
WEIGHTS_BYTES = 4 * (784 * 10 + 10)
RIGHT_PERCENT = 65  # of what the C workers got when this was written: 68.6
MOST_LINES = 199  # of the worker; where that is another file, without the mathematics
TRAIN_S = 200
SKIPPED = 77


def train(crew, commands, folder):
    """Returns the weights that each worker has at the end."""
    outs = [f"{folder}/{rank}-{language}" for rank, language in enumerate(crew)]
    with Daemon(f"{BIN}/stepd", "--shards", "2", "--slice-elements", "1024") as daemon:
        started = [[*commands[language][0], daemon.address, str(rank), str(len(crew)), DATA, out]
                   for rank, (language, out) in enumerate(zip(crew, outs))]
        env = {k: v for language in crew for k, v in commands[language][1].items()}
        said = "".join(run_all(started, TRAIN_S, env))
        daemon.wait_for("to=finished")
    print(said, end="")
    percents = [float(p) for p in re.findall(r"([\d.]+) % of", said)]
    assert len(percents) == len(crew) and min(percents) > RIGHT_PERCENT, percents
    weights = []
    for out in outs:
        with open(out, "rb") as file:
            weights.append(file.read())
    return weights


def check_refused(command, env, address, why):
    """What the worker cannot do as rank 7 of 2 it says in one line, and does not end well."""
    refused = subprocess.run([*command, address, "7", "2", DATA, "/dev/null"], text=True,
                             capture_output=True, timeout=TRAIN_S, check=False,
                             env={**environment(), **env})
    assert refused.returncode == 1, f"{command} ended with {refused.returncode} as rank 7 of 2"
    assert re.fullmatch(f"softmax: .*{why}.*\n", refused.stderr, re.IGNORECASE), refused.stderr


def check_length(language):
    worker, = (EXAMPLES / language).glob("[Ss]oftmax.*")
    lines = len(worker.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{worker} has {lines} lines"


def main():
    for language in CREW:
        check_length(language)
    commands = {"c": ([C_WORKER], {})}
    try:
        for language in set(CREW) - {"c"}:
            commands[language] = build(language)
    except Missing as missing:
        print(f"skipped: {missing}")
        raise SystemExit(SKIPPED) from None
    with tempfile.TemporaryDirectory() as folder:
        reference, *others = train(["c"] * len(CREW), commands, folder)
        assert len(reference) == WEIGHTS_BYTES, f"{len(reference)} bytes of weights"
        assert all(other == reference for other in others), "C workers differ from each other"
        for language, weights in zip(CREW, train(CREW, commands, folder)):
            assert weights == reference, f"the weights of the {language} worker are others"
    with Daemon(f"{BIN}/stepd") as daemon:
        for command, env in commands.values():
            check_refused(command, env, daemon.address, "rank 7 ")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = "%s:%d" % nobody.getsockname()
        for language in set(commands) - {"c"}:  # libstepd goes on trying for a while
            check_refused(*commands[language], address, "refused")
    print(f"the bits of {len(CREW)} C workers:", ", ".join(CREW))


if __name__ == "__main__":
    main()
