/* SPDX-License-Identifier: Apache-2.0
 *
 * Double-precision functions from +, -, *, / and sqrt alone. libm's exp, log, pow and cos differ
 * between machines in the last bit for some arguments; these do not, because IEEE 754 rounds the
 * basic operations the same way everywhere. Whatever reaches a weight (bias corrections, learning
 * rates, initial values) is made of these. Tests hold them to libm within the errors stated here.
 */
#ifndef BASE_EXACT_H
#define BASE_EXACT_H

#include <stdint.h>

/* x to a whole power by repeated squaring, from the lowest bit of n up. Any thread. */
double exact_powi(double x, uint64_t n);

/*
 * Cosine of pi * x for any finite x; within 4 ulp, and exact (0, 1 or -1) at multiples of 1/2.
 * Any thread.
 */
double exact_cospi(double x);

/* Natural logarithm of x > 0, x normal; within 2 ulp. Any thread. */
double exact_log(double x);

#endif
