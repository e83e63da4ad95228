# SPDX-License-Identifier: Apache-2.0
"""Random problems to take gradients of: a noisy quadratic, a logistic regression, a small CNN.

    problem = make(seed)
    problem.names, problem.start          tensors: scalars, vectors, matrices, 4-D; first values
    problem.loss(params, step)            in the type of params; each step has its own mini-batch

Each problem has a tensor that is cut into several slices of 256 elements, and several that are
packed into one.
"""
import torch


class Problem:
    """Tensors with names, and a loss that depends on all of them. Biases begin at 0."""

    def __init__(self, seed, shapes):
        self.random = torch.Generator().manual_seed(seed)
        self.names = list(shapes)
        self.start = [self.normal(*shape, scale=0.0 if name.endswith("bias") else 0.5).float()
                      for name, shape in shapes.items()]

    def normal(self, *shape, scale=1.0):
        return scale * torch.randn(shape, generator=self.random, dtype=torch.float64)

    def uniform(self, *shape):
        return torch.rand(shape, generator=self.random, dtype=torch.float64)


class Quadratic(Problem):
    """1/2 (w - c)' A (w - c) + noise' w, with eigenvalues of A from 0.1 to about 4, and the noise
    different at each step as that of a mini-batch is."""

    SHAPES = {"first.weight": (9, 5), "first.bias": (9,), "gain": (),
              "kernel.weight": (3, 2, 2, 3), "last.weight": (20, 19), "last.bias": (20,)}
    SMALL = {"first.weight": (4, 3), "first.bias": (4,), "gain": (), "last.weight": (3, 2, 3)}

    def __init__(self, seed, steps, shapes=None):
        super().__init__(seed, shapes or self.SHAPES)
        count = sum(t.numel() for t in self.start)
        root = self.normal(count, count) / count ** 0.5
        self.matrix = root @ root.T + 0.1 * torch.eye(count, dtype=torch.float64)
        self.centre = self.normal(count)
        self.noise = self.normal(steps, count, scale=0.3)

    def loss(self, params, step):
        kind = params[0].dtype
        away = torch.cat([p.reshape(-1) for p in params])
        noise = self.noise[step].to(kind) @ away
        away = away - self.centre.to(kind)
        return 0.5 * away @ (self.matrix.to(kind) @ away) + noise

    def hessian(self, tensors):
        """With respect to these tensors (indices, rising), one after another."""
        counts = [t.numel() for t in self.start]
        places = torch.cat([torch.arange(sum(counts[:i]), sum(counts[:i + 1])) for i in tensors])
        return self.matrix[places][:, places]


class Logistic(Problem):
    """Softmax regression in mini-batches of 16, with a factor for each feature and a temperature."""

    CLASSES, BATCH, ROWS = 6, 16, 256
    SHAPES = {"scale.weight": (2, 3, 4, 2), "classes.weight": (CLASSES, 48),
              "classes.bias": (CLASSES,), "temperature": ()}

    def __init__(self, seed, steps):
        super().__init__(seed, self.SHAPES)
        self.features = self.normal(self.ROWS, 48)
        scores = self.features @ self.normal(48, self.CLASSES) + self.normal(self.ROWS, self.CLASSES)
        self.labels = scores.argmax(dim=1)
        self.batches = torch.randint(self.ROWS, (steps, self.BATCH), generator=self.random)

    def loss(self, params, step):
        scale, weight, bias, temperature = params
        rows = self.batches[step]
        features = self.features[rows].to(scale.dtype) * scale.reshape(-1)
        scores = (features @ weight.T + bias) * torch.exp(0.2 * temperature)
        return torch.nn.functional.cross_entropy(scores, self.labels[rows])


class Network(Problem):
    """A convolution, tanh, two dense layers and a gain at the end, on random pictures."""

    BATCH, ROWS = 8, 128
    SHAPES = {"conv.weight": (4, 1, 3, 3), "conv.bias": (4,), "hidden.weight": (10, 64),
              "hidden.bias": (10,), "out.weight": (5, 10), "out.bias": (5,), "gain": ()}

    def __init__(self, seed, steps):
        super().__init__(seed, self.SHAPES)
        self.pictures = self.normal(self.ROWS, 1, 6, 6)
        self.labels = torch.randint(5, (self.ROWS,), generator=self.random)
        self.batches = torch.randint(self.ROWS, (steps, self.BATCH), generator=self.random)

    def loss(self, params, step):
        kernel, kernel_bias, hidden, hidden_bias, out, out_bias, gain = params
        rows = self.batches[step]
        pictures = self.pictures[rows].to(kernel.dtype)
        maps = torch.tanh(torch.nn.functional.conv2d(pictures, kernel, kernel_bias))
        units = torch.tanh(maps.flatten(1) @ hidden.T + hidden_bias)
        scores = (units @ out.T + out_bias) * torch.exp(gain)
        return torch.nn.functional.cross_entropy(scores, self.labels[rows])


KINDS = (Quadratic, Logistic, Network)


def make(seed, steps):
    """The seed's problem; three neighbouring seeds have the three kinds."""
    return KINDS[seed % len(KINDS)](seed, steps)


def gradients(problem, params, step):
    """The loss at these weights, and its gradients as float32."""
    leaves = [p.detach().requires_grad_() for p in params]
    loss = problem.loss(leaves, step)
    return loss.item(), [g.detach().float() for g in torch.autograd.grad(loss, leaves)]
