# SPDX-License-Identifier: Apache-2.0
"""To be imported first: ends the script as skipped where this Python has no PyTorch or no package
stepd. A script's first argument is the folder of the binaries (need_stepd.BIN)."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import need_stepd  # noqa: E402

try:
    import torch
except ImportError:
    print(f"skipped: {sys.executable} has no torch; deploy/test.sh makes an environment with it in "
          "build/venv-torch, which the next cmake finds")
    sys.exit(need_stepd.SKIPPED)
torch.set_num_threads(1)
