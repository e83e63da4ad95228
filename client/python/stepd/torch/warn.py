# SPDX-License-Identifier: Apache-2.0
"""Warnings at the line of the user's program that led to them, and not at one of PyTorch's or ours."""
from __future__ import annotations

import sys
import warnings

LIBRARIES = ("stepd", "torch")


def warn(text: str) -> None:
    """A RuntimeWarning."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
