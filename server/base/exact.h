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

/*
 * x to a whole power by repeated squaring, from the lowest bit of n up; within n ulp for normal
 * results. The powers of a beta below 1 fall faster than that grows: 1 - beta^n is off by 2^-53 /
 * (1 - beta) at most. Any thread.
 */
double exact_powi(double x, uint64_t n);

/*
 * Cosine of pi * x for any finite x; within 4 ulp, and exact (0, 1 or -1) at multiples of 1/2.
 * Any thread.
 */
double exact_cospi(double x);

/* Natural logarithm of x > 0, x normal; within 2 ulp. Any thread. */
double exact_log(double x);

/* e to the power x for any finite x, within 1 ulp, denormal results included; INFINITY above the
 * largest double, 0 below half the smallest. Any thread. */
double exact_exp(double x);

/*
 * x to the power y for finite x >= 0 and finite y, within 1 ulp however large |y ln x| is, denormal
 * results included. x^0 and 1^y are 1; 0^y is 0 for y > 0 and INFINITY for y < 0; INFINITY above
 * the largest double, 0 below half the smallest. Any thread.
 */
double exact_pow(double x, double y);

#endif
