/* SPDX-License-Identifier: Apache-2.0
 *
 * Double-precision functions from +, -, *, / and sqrt alone. libm's exp, log, pow and cos differ
 * between machines in the last bit for some arguments; these do not. Tests hold them to libm
 * within the errors stated here.
 */
#ifndef SCHEDULE_EXACT_H
#define SCHEDULE_EXACT_H

#include <stdint.h>

/* x to a whole power by repeated squaring, from the lowest bit of n up. */
double exact_powi(double x, uint64_t n);

/* Cosine of pi * x for any finite x; relative error below 4 ulp, and exact at multiples of 1/2. */
double exact_cospi(double x);

/* Natural logarithm of x > 0, x normal; within 2 ulp. */
double exact_log(double x);

#endif
