# SPDX-License-Identifier: Apache-2.0
"""stepd for PyTorch: an optimizer whose step a server takes, for all workers of a job.

    Optimizer       in the place of an optimizer of PyTorch
    from_torch      what an optimizer of PyTorch and its schedulers are for it
    LocalSteps      many steps of each worker's own, and then one of the server's: local SGD, DiLoCo
"""
try:
    import torch as _torch  # noqa: F401
except ImportError as missing:
    raise ImportError("stepd.torch needs PyTorch: pip install torch, or pip install 'stepd[torch]'") from missing

from .local_steps import LocalSteps
from .optimizer import Optimizer
from .schedulers import Refused
from .translate import Settings, from_torch

__all__ = ["LocalSteps", "Optimizer", "Refused", "Settings", "from_torch"]
