# SPDX-License-Identifier: Apache-2.0
"""To be imported first: ends the script as skipped where this Python has no PyTorch."""
import sys

SKIPPED = 77
try:
    import torch  # noqa: F401
except ImportError:
    print(f"skipped: {sys.executable} has no torch; deploy/test.sh makes an environment with it in "
          "build/venv-torch, which the next cmake finds")
    sys.exit(SKIPPED)
