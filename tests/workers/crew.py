# SPDX-License-Identifier: Apache-2.0
"""Workers of several languages that train the job of client/examples together."""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from languages import EXAMPLES, Missing, build  # noqa: E402
from processes import Daemon, run_all  # noqa: E402

DATA = "/usr/share/datasets/fashion-mnist"
WEIGHTS_BYTES = 4 * (784 * 10 + 10)
RIGHT_PERCENT = 65  # of what the C workers got when this was written: 68.6
MOST_LINES = 199  # of the worker; where that is another file, without the mathematics
TRAIN_S = 200
SKIPPED = 77


def build_all(languages, c_worker):
    """{language: (command, environment)}; ends the test where a toolchain is missing."""
    for language in languages | {"c"}:
        worker, = (EXAMPLES / language).glob("[Ss]oftmax.*")
        lines = len(worker.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{worker} has {lines} lines"
    try:
        built = {language: build(language) for language in languages - {"c"}}
    except Missing as missing:
        print(f"skipped: {missing}")
        raise SystemExit(SKIPPED) from None
    return {"c": ([c_worker], {}), **built}


def arguments(command, address, rank, workers, out):
    return [*command, address, str(rank), str(workers), DATA, out]


def check_output(said, workers):
    print(said, end="")
    percents = [float(p) for p in re.findall(r"([\d.]+) % of", said)]
    assert len(percents) == workers and min(percents) > RIGHT_PERCENT, said


def read_weights(out):
    weights = pathlib.Path(out).read_bytes()
    assert len(weights) == WEIGHTS_BYTES, f"{len(weights)} bytes of weights"
    return weights


def train(bin_folder, crew, commands, folder):
    """Returns the weights that each worker has at the end."""
    outs = [f"{folder}/{rank}-{language}" for rank, language in enumerate(crew)]
    with Daemon(f"{bin_folder}/stepd", "--shards", "2", "--slice-elements", "1024") as daemon:
        started = [arguments(commands[language][0], daemon.address, rank, len(crew), out)
                   for rank, (language, out) in enumerate(zip(crew, outs))]
        env = {k: v for language in crew for k, v in commands[language][1].items()}
        said = "".join(run_all(started, TRAIN_S, env))
        daemon.wait_for("to=finished")
    check_output(said, len(crew))
    return [read_weights(out) for out in outs]
