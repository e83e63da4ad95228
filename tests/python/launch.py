#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers take address, rank and number from whoever launched them."""
import os
import subprocess
import sys
import unittest
from unittest import mock

import need_stepd
import stepd
from stepd import launcher

WORKER = """
import numpy as np, stepd
with stepd.connect() as c:
    c.define({"w": stepd.Constant((2,))}, groups=[stepd.Group(optimizer="sgd", lr=1)])
    c.pull()
    w = c.step({"w": np.full(2, c.rank, np.float32)}).weights["w"]
    print(f"{c.rank} of {c.world}: {w[0]}")
"""


def said(**environment):
    return mock.patch.dict(os.environ, environment)


class Environment(unittest.TestCase):
    def test_rank__of_each_launcher__is_found(self):
        for rank, world in (("STEPD_RANK", "STEPD_WORLD"), ("RANK", "WORLD_SIZE"),
                            ("SLURM_PROCID", "SLURM_NTASKS"),
                            ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")):
            with said(**{rank: "2", world: "5"}):
                self.assertEqual((launcher.rank(), launcher.world()), (2, 5))

    def test_rank__of_two_launchers__is_the_nearer_ones(self):
        with said(RANK="1", WORLD_SIZE="2", SLURM_PROCID="0", SLURM_NTASKS="1"):
            self.assertEqual((launcher.rank(), launcher.world()), (1, 2))

    def test_rank__without_a_launcher__is_none(self):
        self.assertEqual((launcher.rank(), launcher.world(), launcher.job()), (None, None, None))
        self.assertEqual(launcher.address(), "127.0.0.1:7070")

    def test_token_and_tls__of_the_environment__are_for_servers_that_want_them(self):
        self.assertEqual((launcher.token(), launcher.of_tls("tls:h:1", "STEPD_CA")), (None, None))
        with said(STEPD_TOKEN="secret", STEPD_CA="ca.pem"):
            self.assertEqual(launcher.token(), "secret")
            self.assertEqual(launcher.of_tls("tls:h:1", "STEPD_CA"), "ca.pem")
            self.assertEqual(launcher.of_tls("unix:/s", "STEPD_CA"), "ca.pem")
            self.assertIsNone(launcher.of_tls("h:1", "STEPD_CA"))

    def test_rank__of_half_a_pair__is_an_error_that_names_the_other_half(self):
        for name, missing in (("RANK", "WORLD_SIZE"), ("WORLD_SIZE", "RANK")):
            with said(**{name: "1"}), self.assertRaises(stepd.InvalidArgument) as caught:
                launcher.rank()
            self.assertIn(f"{name} is set in the environment, but {missing} is not",
                          str(caught.exception))

    def test_rank__that_is_none_of_the_world__is_an_error(self):
        for rank, world in (("2", "2"), ("-1", "2"), ("one", "2"), ("0", "0")):
            with said(RANK=rank, WORLD_SIZE=world), self.assertRaises(stepd.InvalidArgument):
                launcher.rank()


class Launched(need_stepd.DaemonCase):
    def test_workers__of_stepctl_launch__train_together(self):
        said_by_all = subprocess.run(
            [f"{need_stepd.BIN}/stepctl", "--server", self.address, "launch", "-n", "2", "--env",
             "STEPD_JOB=launched", "--", sys.executable, "-c", WORKER],
            timeout=120, capture_output=True, text=True, check=True).stdout
        self.assertEqual(sorted(said_by_all.splitlines()),
                         ["[0] 0 of 2: -0.5", "[1] 1 of 2: -0.5"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")
