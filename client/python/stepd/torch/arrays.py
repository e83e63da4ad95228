# SPDX-License-Identifier: Apache-2.0
"""Tensors of PyTorch as the arrays that libstepd sends from and receives into.

A parameter that is float32, dense, contiguous and in the processor's memory is used where it lies,
and so is its gradient: nothing is copied. Parameters on other devices, half-precision ones and those
that lie otherwise in memory have an array of their own beside them, to and from which is copied; of
bfloat16 and float16 the server then keeps the float32 weights that mixed precision wants. Double
precision, whole and complex numbers and sparse tensors are refused.
"""
from __future__ import annotations

import numpy
import torch

HALVES = (torch.bfloat16, torch.float16)
SAMPLE = 64
"""So many elements of an array are compared, to notice what PyTorch does not count: writes by `.data`."""


def refuse(name: str, tensor: torch.Tensor) -> None:
    """TypeError where stepd cannot keep such a tensor."""
    if tensor.layout is not torch.strided:
        raise TypeError(f"parameter '{name}' is {tensor.layout}, and stepd keeps whole tensors: use "
                        f"'{name}.to_dense()'")
    if tensor.is_inference():
        raise TypeError(f"parameter '{name}' was made within torch.inference_mode(), and cannot be trained: make the "
                        "model outside of it")
    if tensor.device.type == "meta":
        raise TypeError(f"parameter '{name}' is on the meta device and has no values: initialize the model "
                        "before its optimizer is made, with model.to_empty(device=...) and its own init")
    if tensor.dtype is not torch.float32 and tensor.dtype not in HALVES:
        raise TypeError(f"parameter '{name}' is {tensor.dtype}, and stepd's weights are float32: use "
                        "model.float(), or bfloat16 or float16, of which stepd keeps float32 masters")


def in_place(tensor: torch.Tensor) -> bool:
    """Can the array be the tensor's own memory?"""
    return (tensor.dtype is torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()
            and not tensor.is_neg())


def view(tensor: torch.Tensor) -> numpy.ndarray:
    """The memory of a tensor for which in_place() holds, with its shape."""
    return tensor.detach().numpy()


def sample(array: numpy.ndarray, whole: bool) -> numpy.ndarray:
    """Some elements of an array, spread over it; all of them, if it is to be the whole."""
    flat = array.reshape(-1)
    return flat if whole else flat[::len(flat) // SAMPLE | 1]


def sample_of(tensor: torch.Tensor, whole: bool) -> bytes | None:
    """As sample(). None: it lies where looking at it costs more than is gained."""
    if in_place(tensor):
        return sample(view(tensor), whole).tobytes()
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes() if whole else None


class Weights:
    """Where a parameter's weights arrive: in itself, or beside it.

    array: float32, C-contiguous, of the parameter's shape.
    whole: all elements are looked at for what others have written, and not some of them.
    """

    def __init__(self, name: str, parameter: torch.Tensor, whole: bool = False) -> None:
        refuse(name, parameter)
        self.name, self.parameter, self.whole = name, parameter, whole
        self.address = parameter.data_ptr()
        self.beside = not in_place(parameter)
        self.early: numpy.ndarray | None = None
        if self.beside:
            self.array = numpy.empty(tuple(parameter.shape), dtype=numpy.float32)
            self.take()
        else:
            self.array = view(parameter)
        self.looked_at = sample(self.array, whole)
        self.mark()

    def take(self) -> None:
        """The parameter's values into the array."""
        if self.beside:
            values = self.parameter.detach().to("cpu", torch.float32).contiguous()
            numpy.copyto(self.array, values.numpy())

    def aside(self) -> numpy.ndarray:
        """An array for weights that come before the parameter may change; deliver() takes them from there."""
        if self.beside:
            return self.array
        if self.early is None:
            self.early = numpy.empty_like(self.array)
        return self.early

    def deliver(self, aside: bool = False) -> bool:
        """What has arrived in the array (or in what aside() gave), into the parameter. False: somebody
        else had written into it since mark()."""
        untouched = not self.written() if aside else self.parameter._version == self.version
        if self.beside:
            with torch.no_grad():
                self.parameter.copy_(torch.from_numpy(self.array))
        else:
            if aside:
                numpy.copyto(self.array, self.aside())
            torch.autograd.graph.increment_version(self.parameter)
        self.mark()
        return untouched

    def mark(self) -> None:
        """Takes note of how the parameter is."""
        self.version = self.parameter._version
        self.noted = self.look()

    def look(self) -> bytes | None:
        """Of the parameter's elements those that are looked at."""
        return sample_of(self.parameter, self.whole) if self.beside else self.looked_at.tobytes()

    def alike(self) -> bool:
        """Are those elements that are looked at as at the last mark()?"""
        return self.look() == self.noted

    def written(self) -> bool:
        """Has somebody written into the parameter since the last mark()? What has then put the old
        values back, has too."""
        return self.parameter._version != self.version or not self.alike()

    def holds(self, array: numpy.ndarray) -> bool:
        """Are these the parameter's weights, bit for bit?"""
        theirs = torch.from_numpy(array).to(self.parameter.dtype).to(torch.float32)
        ours = self.parameter.detach().to("cpu", torch.float32).contiguous().resolve_neg()
        return bool(ours.numpy().tobytes() == theirs.numpy().tobytes())

    def announce(self) -> None:
        """Weights will arrive in the parameter itself from now on: PyTorch is told that it changes."""
        torch.autograd.graph.increment_version(self.parameter)
        self.version = self.parameter._version

    def check_place(self) -> None:
        """RuntimeError where the parameter has other memory than when the array was taken."""
        if self.parameter.data_ptr() != self.address:
            raise RuntimeError(
                f"parameter '{self.name}' has been moved since its optimizer was made (model.to(), "
                "model.half(), parameter.data = ...), and weights would arrive where nobody looks: move the "
                "model first, and then make the optimizer")


def gradient(name: str, parameter: torch.Tensor) -> numpy.ndarray | None:
    """The gradient as an array of the parameter's shape, float32 and C-contiguous: the gradient's own
    memory where that can be, otherwise a copy. None: it has none. TypeError: it is sparse."""
    grad = parameter.grad
    if grad is None:
        return None
    if grad.layout is not torch.strided:
        raise TypeError(f"the gradient of '{name}' is sparse, and stepd takes whole ones: make the layer with "
                        "sparse=False")
    if not in_place(grad):
        grad = grad.detach().to("cpu", torch.float32).contiguous().resolve_neg()
    return view(grad)
