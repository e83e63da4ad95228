# SPDX-License-Identifier: Apache-2.0
"""To be imported first: ends the script as skipped where this Python has no PyTorch, or another one."""
import sys

VERSION = "2.13."
SKIPPED = 77
REMEDY = ("deploy/test.sh makes a virtual environment with it in build/venv-torch, which the next "
          "cmake finds; or: cmake -DSTEPD_TORCH_PYTHON=PYTHON")

try:
    import torch
except ImportError:
    print(f"skipped: {sys.executable} has no torch. {REMEDY}")
    sys.exit(SKIPPED)
if not torch.__version__.startswith(VERSION):
    print(f"skipped: {sys.executable} has torch {torch.__version__}, and this compares with "
          f"{VERSION}*. {REMEDY}")
    sys.exit(SKIPPED)
