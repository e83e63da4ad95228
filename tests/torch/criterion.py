# SPDX-License-Identifier: Apache-2.0
"""When two runs of one optimizer are the same.

All runs of a trial take the same float32 gradients, so that nothing is compared but the arithmetic
of the update: an optimizer that took its gradients at its own weights would amplify the last bit of
each step, and after 200 steps the distance would tell of the problem and not of the optimizer.
The gradients are those of a real problem nevertheless: computed at the weights of the float64 run.

A tensor passes when after every step, in the maximum norm,

    |stepd - float64|  <=  2 * |float32 - float64|  +  4 ulp

where float64 and float32 are the same reference (PyTorch, or the paper's algorithm) in the two
types, |float32 - float64| is the largest up to that step, and ulp is float32's at the largest
absolute weight of the tensor up to that step, its first values included.
"""
import math

FACTOR = 2.0
ULPS = 4.0


def ulp(scale):
    """The distance of float32's neighbours at a number of this size."""
    least = 2.0 ** -126
    return 2.0 ** (math.frexp(max(scale, least))[1] - 24)


class Verdict:
    """How one tensor of one run came out. ratio: worst distance by what was allowed."""

    def __init__(self, name, start, factor=FACTOR):
        self.name = name
        self.factor = factor
        self.ratio = 0.0
        self.text = f"{name}: equal at every step"
        self.float32 = 0.0  # worst distance of the float32 reference so far
        self.scale = largest(start)

    def passed(self):
        return self.ratio <= 1.0

    def look(self, step, ours, float32, float64):
        """One step's weights of the three runs."""
        self.scale = max(self.scale, largest(float64))
        self.float32 = max(self.float32, largest(float32.double() - float64))
        distance = largest(ours.double() - float64)
        allowed = self.factor * self.float32 + ULPS * ulp(self.scale)
        # What is not finite here and there is not compared, and must not pass for equal.
        ratio = distance / allowed if math.isfinite(distance + allowed) else math.inf
        if ratio > self.ratio:
            self.ratio = ratio
            one = ulp(self.scale)
            self.text = (f"{self.name}: step {step + 1}: stepd {distance / one:.3g} ulp, reference "
                         f"in float32 {self.float32 / one:.3g} ulp from float64; "
                         f"{ratio:.3g} of what is allowed (largest weight {self.scale:.4g})")


def largest(tensor):
    return tensor.abs().max().item()


def judge(tensors, ours, float32, float64, factor=FACTOR):
    """A Verdict for each tensor. tensors: names and first values; runs are lists over steps of lists
    over tensors."""
    verdicts = [Verdict(name, start, factor) for name, start in tensors]
    steps = len(float64)
    if not len(ours) == len(float32) == steps > 0:
        raise ValueError(f"runs of {len(ours)}, {len(float32)} and {steps} steps")
    for step in range(steps):
        for verdict, a, b, c in zip(verdicts, ours[step], float32[step], float64[step]):
            verdict.look(step, a, b, c)
    return verdicts
