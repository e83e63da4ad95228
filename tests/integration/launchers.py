# SPDX-License-Identifier: Apache-2.0
"""The Python package makes of a launcher's environment what C workers make of it.

    launchers.py BIN LAUNCHER CASES

LAUNCHER is client/python/stepd/launcher.py, which is read from the source: the package need not be
installed. CASES is tests/lib/launchers.txt, which says what stands in it.
"""
import importlib.util
import os
import pathlib
import sys
import types
from unittest import mock

LAUNCHER, CASES = sys.argv[2:]


class InvalidArgument(Exception):
    pass


def load():
    errors = types.ModuleType("stepd.errors")
    errors.InvalidArgument = InvalidArgument
    sys.modules |= {"stepd": types.ModuleType("stepd"), "stepd.errors": errors}
    spec = importlib.util.spec_from_file_location("launcher", LAUNCHER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def found(launcher):
    try:
        rank, world = launcher.rank(), launcher.world()
    except InvalidArgument:
        return "refused"
    who = "alone" if rank is None else f"{rank} {world}"
    return f"{who} {launcher.address()}"


def check_local_ranks(launcher):
    for rank, world, local in (("STEPD_RANK", "STEPD_WORLD", "STEPD_LOCAL_RANK"),
                               ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
                               ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
                               ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                "OMPI_COMM_WORLD_LOCAL_RANK")):
        with mock.patch.dict(os.environ, {rank: "6", world: "8", local: "2"}, clear=True):
            assert launcher.local_rank() == 2, local
    with mock.patch.dict(os.environ, {"RANK": "6", "WORLD_SIZE": "8"}, clear=True):
        assert launcher.local_rank() is None


def main():
    launcher, cases = load(), 0
    check_local_ranks(launcher)
    for line in pathlib.Path(CASES).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        said, wanted = (part.strip() for part in line.split("|"))
        environment = dict(word.split("=", 1) for word in said.split())
        with mock.patch.dict(os.environ, environment, clear=True):
            result = found(launcher)
        assert result == wanted, f"{line}\nfound: {result}"
        cases += 1
    assert cases >= 20, f"only {cases} cases"
    print(f"{cases} cases")


main()
