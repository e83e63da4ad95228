#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The examples with PyTorch. The README's is the file that is named there, short, nearly plain PyTorch,
and two workers of it end with the same model, which has learned. Local steps come to the accuracy of a
step for every batch, with that many fewer bytes.

usage: examples.py BIN
"""
import difflib
import gzip
import os
import pathlib
import re
import sys
import tempfile
import unittest

import torch_here  # noqa: F401
from need_stepd import BIN, DaemonCase
from processes import run_all, write_images

SOURCE = pathlib.Path(__file__).resolve().parents[3]
EXAMPLES = SOURCE / "client/examples/python"
SPDX = "# SPDX-License-Identifier: Apache-2.0\n"
LINES_BELOW, LINES_APART = 40, 4


def text_of(name):
    return (EXAMPLES / name).read_text(encoding="utf-8").removeprefix(SPDX)


def write_compressed(folder):
    """A made-up image set in the files of Fashion-MNIST's package."""
    write_images(folder, train=2560, test=256)
    for path in list(pathlib.Path(folder).iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


class Example(DaemonCase):
    def test_readme__shows_the_file__which_is_short(self):
        readme = (SOURCE / "README.md").read_text(encoding="utf-8")
        blocks = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
                  if "stepd.torch" in block]
        self.assertEqual(blocks, [text_of("torch_mnist.py")])
        self.assertLess(text_of("torch_mnist.py").count("\n"), LINES_BELOW)

    def test_example__next_to_plain_pytorch__differs_in_few_lines(self):
        ours = text_of("torch_mnist.py").splitlines()
        plain = text_of("torch_mnist_alone.py").splitlines()
        apart = [line for line in difflib.ndiff(plain, ours) if line.startswith("+ ")]
        self.assertLessEqual(len(apart), LINES_APART, apart)
        self.assertIn("torch.optim.Adam", "\n".join(plain))

    def test_example__by_two_workers__learns_one_model(self):
        with tempfile.TemporaryDirectory() as folder:
            write_compressed(folder)
            script = pathlib.Path(folder) / "example.py"
            script.write_text(re.sub(r'FOLDER = ".*?"', f'FOLDER = "{folder}"', text_of("torch_mnist.py")),
                              encoding="utf-8")
            output, = run_all([[f"{BIN}/stepctl", "launch", "-n", "2", "--", sys.executable, str(script)]], 120,
                              {"STEPD_ADDRESS": self.address, "OMP_NUM_THREADS": "1"})
        said = re.findall(r"test accuracy ([\d.]+)", output)
        self.assertEqual(len(said), 2, output)
        self.assertEqual(said[0], said[1])
        self.assertGreater(float(said[0]), 0.9)

    def test_local_steps__come_to_the_accuracy_of_sync__with_fewer_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            write_compressed(folder)
            output, = run_all([[sys.executable, str(EXAMPLES / "torch_local_steps.py"), "--data", folder,
                                "--workers", "2", "--batch", "16", "--every", "20"]], 200,
                              {"PATH": f"{BIN}:{os.environ['PATH']}"})
        points, times = re.search(r"([-+][\d.]+) points, ([\d.]+) times fewer bytes", output).groups()
        self.assertGreaterEqual(float(points), -1.0, output)
        self.assertGreaterEqual(float(times), 20.0, output)
        self.assertGreater(float(re.search(r"sync\s+([\d.]+)", output).group(1)), 0.9, output)


if __name__ == "__main__":
    sys.exit(unittest.main())
