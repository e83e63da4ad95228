#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nested parameters, as plain Python has them, and as JAX has where it is loaded."""
import collections
import dataclasses
import sys
import types
import unittest
from unittest import mock

import need_stepd
import numpy as np
import stepd

Layer = collections.namedtuple("Layer", ["w", "b"])


@dataclasses.dataclass
class Model:
    layers: list
    scale: np.ndarray


def array(*values):
    return np.array(values, np.float32)


def model(value):
    layers = [Layer(w=array(value, value), b=None), {"w": array(value), "b": (array(value),)}]
    return Model(layers=layers, scale=np.array(value, np.float32))


class Trees(need_stepd.DaemonCase):
    def test_leaves__of_a_nested_tree__are_called_by_the_way_to_them(self):
        self.assertEqual(list(stepd.tree.leaves(model(0))),
                         ["layers.0.w", "layers.1.b.0", "layers.1.w", "scale"])

    def test_leaves__of_dicts_that_were_filled_differently__are_in_one_order(self):
        self.assertEqual(list(stepd.tree.leaves({"b": 1, "a": 2})),
                         list(stepd.tree.leaves({"a": 2, "b": 1})))

    def test_leaves__of_one_name__are_refused(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            stepd.tree.leaves({"a.b": 1, "a": {"b": 2}})
        self.assert_says(caught, "'a.b'")

    def test_step__of_a_nested_tree__returns_one_of_the_same_structure(self):
        client, params = self.connect(), model(1)
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        params = stepd.tree.pull(client, params)
        moved = stepd.tree.step(client, params, model(1), loss=1.0)
        self.assertIs(type(moved), Model)
        self.assertIs(type(moved.layers[0]), Layer)
        self.assertIsNone(moved.layers[0].b)
        np.testing.assert_array_equal(moved.layers[0].w, array(0.5, 0.5))
        np.testing.assert_array_equal(moved.layers[1]["b"][0], array(0.5))
        self.assertEqual((moved.scale, params.scale), (0.5, 1))

    def test_step__of_a_defaultdict__returns_one_with_its_default(self):
        client, params = self.connect(), collections.defaultdict(list, w=array(1))
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        moved = stepd.tree.step(client, params, {"w": array(1)})
        np.testing.assert_array_equal(moved["w"], array(0.5))
        np.testing.assert_array_equal(params["w"], array(1))
        self.assertEqual(moved["other"], [])

    def test_step__of_gradients_of_another_structure__names_the_leaf(self):
        client, params = self.connect(), {"a": array(1), "b": array(1)}
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        with self.assertRaises(stepd.InvalidArgument) as caught:
            stepd.tree.step(client, params, {"a": array(1)})
        self.assert_says(caught, "'b'")

    def test_leaves__of_another_shape_than_their_tensors__are_named(self):
        client, params = self.connect(), {"a": {"w": array(1, 2)}, "b": array(1)}
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        for call in (stepd.tree.pull, lambda c, p: stepd.tree.step(c, p, params)):
            with self.assertRaises(stepd.InvalidArgument) as caught:
                call(client, {"a": {"w": array(1, 2, 3)}, "b": array(1)})
            self.assert_says(caught, "leaf 'a.w' of params has shape (3,)", "tensor 'a.w' has (2,)")
        self.assertEqual(stepd.tree.pull(client, params)["b"], array(1))

    def test_what_is_no_tree_or_no_client__is_said_to_be_none(self):
        client, params = self.connect(), array(1)
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        for call, says in ((lambda: stepd.tree.step(client, params, None), "grads is None"),
                           (lambda: stepd.tree.step(client, None, None), "grads is None"),
                           (lambda: stepd.tree.step(client, None, params), "params is None"),
                           (lambda: stepd.tree.pull(client, None), "params is None"),
                           (lambda: stepd.tree.pull(client, {"a": []}), "params is a tree without leaves"),
                           (lambda: stepd.tree.define(client, {}), "params is a tree without leaves")):
            with self.subTest(says), self.assertRaises(stepd.InvalidArgument) as caught:
                call()
            self.assert_says(caught, says)
        for call in (lambda: stepd.tree.step(None, params, params), lambda: stepd.tree.pull(params, params),
                     lambda: stepd.tree.define(None, params)):
            with self.assertRaisesRegex(TypeError, "first argument is a stepd.Client, and not"):
                call()

    def test_step__of_a_single_array__is_a_tree_too(self):
        client = self.connect()
        stepd.tree.define(client, array(1), groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        params = stepd.tree.pull(client, array(0))
        np.testing.assert_array_equal(stepd.tree.step(client, params, array(1)), array(0.5))


class FakeKey:
    def __init__(self, key):
        self.key = key


class WithJax(need_stepd.DaemonCase):
    """Where a program has loaded JAX, its functions say what a tree is. JAX itself is not needed
    for this test: what is called of it stands in."""

    def setUp(self):
        class JaxArray:
            def __init__(self, data):
                self.data = data
        self.kind = JaxArray
        jax = types.SimpleNamespace(
            tree_util=types.SimpleNamespace(
                tree_flatten_with_path=lambda tree: (
                    [((FakeKey(key),), tree[key]) for key in sorted(tree)], None),
                tree_structure=sorted,
                tree_unflatten=lambda names, leaves: dict(zip(names, leaves))),
            numpy=types.SimpleNamespace(asarray=JaxArray))
        JaxArray.__array__ = lambda self, dtype=None, copy=None: self.data
        patch = mock.patch.dict(sys.modules, {"jax": jax})
        patch.start()
        self.addCleanup(patch.stop)

    def test_step__of_jax_arrays__returns_jax_arrays(self):
        client, params = self.connect(), {"w": self.kind(array(1)), "b": array(2)}
        stepd.tree.define(client, params, groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        params = stepd.tree.pull(client, params)
        moved = stepd.tree.step(client, params, {"w": self.kind(array(1)), "b": array(1)})
        self.assertIs(type(moved["w"]), self.kind)
        np.testing.assert_array_equal(moved["w"].data, array(0.5))
        np.testing.assert_array_equal(moved["b"], array(1.5))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
