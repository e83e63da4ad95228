# SPDX-License-Identifier: Apache-2.0
"""numpy arrays, as the library takes them: checked, and used where they lie.

An array is of 32-bit floats, C-contiguous, and has its tensor's shape; nothing is converted behind
the caller's back, because that would be a copy. Errors name the tensor and what to do.
"""
from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from stepd._handle import ffi
from stepd.errors import FailedPrecondition, InvalidArgument

Array = npt.NDArray[np.float32]

_FLOAT = np.dtype(np.float32)
_FLOATS = ffi.typeof("float[]")


class Tensor(NamedTuple):
    """What is known of one tensor of a job."""

    index: int  # type: ignore[assignment]
    """In the job's list, from 0."""
    name: str
    group: str
    """The name of its param group."""
    shape: tuple[int, ...]
    elements: int


class Layout:
    """The job's tensors by name, and the arrays that are lent for them."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = tuple(tensors)
        self._by_name = {tensor.name: tensor for tensor in self.tensors}
        self.lent: dict[str, int] = {}
        """Where lent weights lie, which may be written by the library alone."""

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._by_name.get(name)
        if tensor is None:
            raise self._unknown(name)
        return tensor

    def _unknown(self, name: object) -> Exception:
        if not self.tensors:
            return FailedPrecondition("the job's tensors are not known yet: call define, or attach "
                                      "where another worker defines them")
        near = difflib.get_close_matches(str(name), self._by_name, n=1, cutoff=0.0)
        return InvalidArgument(f"the job has no tensor '{name}'; of its {len(self.tensors)} the "
                               f"nearest name is '{near[0] if near else self.tensors[0].name}'")

    def empty(self, names: Optional[Iterable[str]]) -> dict[str, Array]:
        """New arrays for tensors; None: for all."""
        if names is None:
            if not self.tensors:
                raise self._unknown("")
            names = self._by_name
        elif isinstance(names, str):
            raise InvalidArgument(f"names is the string '{names}': give a list of names")
        return {name: np.empty(self[name].shape, np.float32) for name in names}

    def pointer(self, tensor: Tensor, what: str, array: Any, writable: bool) -> Any:
        """Where an array lies; it is pinned there for as long as the result lives."""
        if not _is_usable(tensor.shape, array):
            raise _refusal(f"tensor '{tensor.name}': its {what}", tensor.shape, array)
        pointer = ffi.from_buffer(_FLOATS, array)
        if writable and not array.flags.writeable:
            if int(ffi.cast("uintptr_t", pointer)) != self.lent.get(tensor.name):
                raise InvalidArgument(f"tensor '{tensor.name}': its {what} is read-only, and is "
                                      "to be written to: give a copy")
        return pointer


def _is_usable(shape: tuple[int, ...], array: Any) -> bool:
    """Whether an array can be used where it lies."""
    return (isinstance(array, np.ndarray) and array.dtype == _FLOAT and array.shape == shape and
            array.flags.c_contiguous)


def _refusal(where: str, shape: tuple[int, ...], array: Any) -> InvalidArgument:
    """Why it cannot, and what to do."""
    if not isinstance(array, np.ndarray):
        return InvalidArgument(f"{where} is a {type(array).__name__}, and an array of numpy is "
                               "needed: numpy.asarray(..., numpy.float32) makes one")
    if array.dtype != _FLOAT:
        return InvalidArgument(f"{where} has dtype {array.dtype}, and float32 is needed: convert "
                               "it with .astype(numpy.float32)")
    if array.shape != shape:
        return InvalidArgument(f"{where} has shape {array.shape}, and the tensor's is {shape}")
    return InvalidArgument(f"{where} is not contiguous (a slice or a transpose of another array): "
                           "numpy.ascontiguousarray makes a copy that is")


class Batch:
    """The arrays of one operation, as the library takes them."""

    def __init__(self, layout: Layout, grads: Optional[Mapping[str, Any]],
                 out: Optional[Mapping[str, Any]]) -> None:
        named = grads if grads is not None else out
        if not isinstance(named, Mapping):
            raise InvalidArgument(f"arrays are given as a {type(named).__name__}: give a mapping "
                                  "from the tensors' names to arrays")
        self.count = len(named)
        self.arrays = ffi.new("struct stepd_array[]", self.count)
        self.pinned: list[Any] = []
        for to, name in zip(self.arrays, named):
            tensor = layout[name]
            to.tensor = tensor.index
            if grads is not None:
                to.grad = self._pin(layout.pointer(tensor, "gradient", grads[name], False))
            if out is not None:
                if name not in out:
                    raise InvalidArgument(f"tensor '{name}': out has no array for its weights")
                to.weights = self._pin(layout.pointer(tensor, "array for weights", out[name], True))

    def _pin(self, pointer: Any) -> Any:
        self.pinned.append(pointer)
        return pointer

    def add_hessians(self, layout: Layout, hessians: Mapping[str, Any]) -> Any:
        """``struct stepd_hessian[]``, of square arrays by the name of a group's first tensor."""
        made = ffi.new("struct stepd_hessian[]", len(hessians))
        self.pinned.append(made)
        for i, (name, array) in enumerate(hessians.items()):
            made[i].tensor = layout[name].index
            side: int = max(getattr(array, "shape", ()), default=0)
            if not _is_usable((side, side), array):
                raise _refusal(f"tensor '{name}': its Hessian", (side, side), array)
            made[i].values = self._pin(ffi.from_buffer(_FLOATS, array))
        return made
