# SPDX-License-Identifier: Apache-2.0
"""A client without a server: its steps are plain SGD, and their weights come when they are waited for.

What libstepd would be reading or writing meanwhile is what a test may not find changed: gradients are
read, and weights written, at the last moment, when the result is asked for. What `fail` is, all fails
with until define() is called.
"""
import collections

import numpy
import stepd

Outcome = collections.namedtuple("Outcome", "version")
Step = collections.namedtuple("Step", "weights outcome")


class Future:
    def __init__(self, client, grads, out, options):
        self.client, self.grads, self.out, self.options = client, grads, out, options
        self.step = None

    def result(self, timeout=None):
        client = self.client
        if self.step is not None:
            return self.step
        if client.fail is not None:
            raise client.fail
        for name, grad in self.grads.items():
            if self.options["examples"]:
                scale = self.options["loss_scale"] or 1.0
                client.weights[name] = client.weights[name] - client.lr * grad / numpy.float32(scale)
            self.out[name][...] = client.weights[name]
            client.under_way.discard(name)
        client.log.append(("done", tuple(self.grads)))
        self.step = Step(self.out, Outcome(client.version))
        return self.step


class Client:
    """lr: of its SGD. log: ("sent" | "done", names) in their order."""

    def __init__(self, lr=0.1):
        self.lr, self.log, self.weights, self.fail = lr, [], None, None
        self.under_way, self.version, self.definition, self.options = set(), 0, None, []
        self.reports, self.left, self.closed = [], False, False
        self.futures = {}  # by a tensor's name, the newest that was started

    def define(self, tensors, **definition):
        self.definition, self.fail = definition, None
        self.under_way.clear()
        if self.weights is None:
            self.weights = {name: array.copy() for name, array in tensors.items()}

    def pull(self, names=None, *, out=None):
        for name, array in out.items():
            assert name not in self.under_way
            array[...] = self.weights[name]
        return out

    def step_start(self, grads, *, out, **options):
        for array in (*grads.values(), *(out[name] for name in grads)):
            if not (array.flags.c_contiguous and array.dtype == numpy.float32):
                raise TypeError("libstepd takes float32 arrays that lie in one piece")
        if self.under_way & set(grads):
            raise stepd.Error(f"pushed again before its last push has completed: {set(grads)}")
        self.under_way |= set(grads)
        self.log.append(("sent", tuple(grads)))
        self.options.append(options)
        self.version += 1
        future = Future(self, grads, out, options)
        self.futures.update(dict.fromkeys(grads, future))
        return future

    def step(self, grads, *, out, **options):
        return self.step_start(grads, out=out, **{"loss_scale": None, **options}).result()

    def report(self, step, loss, examples):
        self.reports.append((step, loss, examples))

    def leave(self):
        self.left = True

    def close(self):
        self.closed = True

    def sent(self):
        return [names for what, names in self.log if what == "sent"]
