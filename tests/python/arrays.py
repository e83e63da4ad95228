#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Arrays that cannot be used where they lie are refused, by the tensor's name and with what to do."""
import unittest

import need_stepd
import numpy as np
import stepd


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


class Arrays(need_stepd.DaemonCase):
    def setUp(self):
        self.client = self.connect()
        self.client.define({"dense.weight": zeros(2, 3), "dense.bias": zeros(3)},
                           groups=[stepd.Group(optimizer="sgd", lr=0.5)])
        self.client.pull()

    def refused(self, grad, *words):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.push({"dense.weight": grad})
        self.assert_says(caught, "dense.weight", *words)

    def test_push__of_doubles__says_how_to_convert(self):
        self.refused(zeros(2, 3, dtype=np.float64), "float64", ".astype(numpy.float32)")

    def test_push__of_another_byte_order__is_refused(self):
        self.refused(zeros(2, 3).astype(">f4"), ">f4")

    def test_push__of_another_shape__says_both_shapes(self):
        self.refused(zeros(3, 2), "(3, 2)", "(2, 3)")

    def test_push__of_a_transpose__says_how_to_copy(self):
        self.refused(zeros(3, 2).T, "ascontiguousarray")

    def test_push__of_a_list__says_what_is_needed(self):
        self.refused([[0.0] * 3] * 2, "list", "numpy.asarray")

    def test_push__of_an_unknown_tensor__says_the_nearest(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.push({"dense.wieght": zeros(2, 3)})
        self.assert_says(caught, "'dense.wieght'", "'dense.weight'")

    def test_push__of_a_bare_array__asks_for_names(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.push(zeros(2, 3))
        self.assert_says(caught, "ndarray", "mapping")

    def test_pull__into_a_read_only_array__is_refused(self):
        out = zeros(3)
        out.flags.writeable = False
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.pull(out={"dense.bias": out})
        self.assert_says(caught, "dense.bias", "read-only")

    def test_pull__of_one_name_as_a_string__is_refused(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.pull("dense.bias")
        self.assert_says(caught, "list of names")

    def test_step__with_out_of_fewer_tensors__names_the_missing(self):
        grads = {"dense.weight": zeros(2, 3), "dense.bias": zeros(3)}
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.client.step(grads, out={"dense.weight": zeros(2, 3)})
        self.assert_says(caught, "dense.bias", "out")

    def test_step__into_out__writes_there(self):
        grads = {"dense.weight": np.ones((2, 3), np.float32), "dense.bias": zeros(3)}
        out = {"dense.weight": zeros(2, 3), "dense.bias": zeros(3)}
        weights = self.client.step(grads, out=out).weights
        self.assertIs(weights["dense.weight"], out["dense.weight"])
        np.testing.assert_array_equal(out["dense.weight"], np.full((2, 3), -0.5, np.float32))

    def test_step__of_a_read_only_gradient__is_fine(self):
        grad = np.broadcast_to(np.float32(1), (1,)).repeat(3)
        grad.flags.writeable = False
        grads = {"dense.weight": zeros(2, 3), "dense.bias": grad}
        np.testing.assert_array_equal(self.client.step(grads).weights["dense.bias"], -0.5)

    def test_tensors__of_a_defined_job__are_known(self):
        first, second = self.client.tensors
        self.assertEqual((first.name, first.shape, first.elements), ("dense.weight", (2, 3), 6))
        self.assertEqual((second.index, second.group), (1, "*"))


class Beginnings(need_stepd.DaemonCase):
    def test_pull__before_define__says_what_comes_first(self):
        with self.assertRaises(stepd.FailedPrecondition) as caught:
            self.connect().pull()
        self.assert_says(caught, "define")

    def test_define__of_doubles__names_the_tensor(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.connect().define({"w": zeros(2, dtype=np.float64)}, groups=None)
        self.assert_says(caught, "'w'", "float64")

    def test_define__without_an_optimizer__says_how(self):
        with self.assertRaises(ValueError) as caught:
            self.connect().define({"w": zeros(2)})
        self.assert_says(caught, "stepd.Group(optimizer=")

    def test_define__of_a_scalar_and_of_values_that_the_server_makes__begins_with_them(self):
        client = self.connect()
        client.define({"a": np.array(3, np.float32), "b": stepd.Constant((2,), 7),
                       "c": stepd.Uniform((1000,), -1, 1, seed=1),
                       "d": stepd.Normal((1000,), 5, 0.5, seed=1)},
                      defaults=stepd.Defaults("adam", lr=0.1, betas=(0.9, 0.99)))
        weights = client.pull()
        self.assertEqual(weights["a"].shape, ())
        self.assertEqual(weights["a"], 3)
        np.testing.assert_array_equal(weights["b"], [7, 7])
        self.assertLess(abs(weights["c"]).max(), 1)
        self.assertAlmostEqual(float(weights["d"].mean()), 5, delta=0.1)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
