# SPDX-License-Identifier: Apache-2.0
"""To be imported first: ends the script as skipped where this Python has no PyTorch, or another one.

PyTorch picks its kernels by the processor, and those for AVX2 and AVX-512 fuse a multiplication and an
addition into one rounding. Its float32 run is part of what is allowed, so the plain kernels are asked
for: the tests then say the same on every machine. With fused ones (ATEN_CPU_CAPABILITY=avx512) about
one trial in 500 is lost where a gradient and its weight decay cancel in all but the last digits.
"""
import os
import sys

VERSION = "2.13."
SKIPPED = 77
REMEDY = ("deploy/test.sh makes a virtual environment with it in build/venv-torch, which the next "
          "cmake finds; or: cmake -DSTEPD_TORCH_PYTHON=PYTHON")

os.environ.setdefault("ATEN_CPU_CAPABILITY", "default")
try:
    import torch
except ImportError:
    print(f"skipped: {sys.executable} has no torch. {REMEDY}")
    sys.exit(SKIPPED)
if not torch.__version__.startswith(VERSION):
    print(f"skipped: {sys.executable} has torch {torch.__version__}, and this compares with "
          f"{VERSION}*. {REMEDY}")
    sys.exit(SKIPPED)
