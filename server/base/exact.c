/* SPDX-License-Identifier: Apache-2.0
 *
 * Each function brings its argument exactly into a small interval and evaluates a Taylor series
 * there. Taylor needs two or three terms more than a fitted polynomial and nobody can mistype its
 * coefficients: they are quotients of small whole numbers, which the compiler rounds correctly.
 *
 * The build must evaluate double in double (no x87) and contract nothing to FMA.
 */
#include "server/base/exact.h"

#include <assert.h>
#include <float.h>
#include <stddef.h>
#include <string.h>

static_assert(FLT_EVAL_METHOD == 0, "double arithmetic must round to double after each operation");
static_assert(sizeof(double) == sizeof(uint64_t) && DBL_MANT_DIG == 53, "double must be binary64");

#define PI            3.14159265358979323846
#define TWO_POW_53    9007199254740992.0 /* from here on every double is an even whole number */
#define FRACTION_BITS 52
#define EXPONENT_BIAS 1023

/* ln 2 in two parts; the high one has 32 significant bits, so that k * LN2_HIGH is exact. */
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW  0x1.a39ef35793c76p-33

double exact_powi(double x, uint64_t n)
{
    double power = 1.0;
    double square = x;
    for (; n != 0; n >>= 1) {
        if (n & 1)
            power *= square;
        square *= square;
    }
    return power;
}

/* c[0] + c[1] z + ... + c[terms - 1] z^(terms - 1), from the highest term down. */
static double polynomial(const double *c, size_t terms, double z)
{
    double sum = 0.0;
    for (size_t i = terms; i > 0; i--)
        sum = sum * z + c[i - 1];
    return sum;
}

#define TERMS(c) (sizeof(c) / sizeof((c)[0]))

/* sin(z) for 0 <= z <= pi/4: z - z^3/3! + z^5/5! - ... - z^15/15! + z^17/17! */
static double sin_small(double z)
{
    static const double c[] = {
        -1.0 / 6,        1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
        -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000, 1.0 / 355687428096000};
    const double z2 = z * z;
    return z + z * (z2 * polynomial(c, TERMS(c), z2));
}

/* cos(z) for 0 <= z <= pi/4: 1 - z^2/2! + z^4/4! - ... + z^16/16! */
static double cos_small(double z)
{
    static const double c[] = {
        -1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
        -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000};
    const double z2 = z * z;
    return 1.0 + z2 * polynomial(c, TERMS(c), z2);
}

double exact_cospi(double x)
{
    double r = x < 0.0 ? -x : x;
    if (r >= TWO_POW_53)
        return 1.0;
    /* Every subtraction below is exact: the operands are within a factor of two, or share ulps. */
    r -= 2.0 * (double)(int64_t)(r * 0.5);
    if (r > 1.0)
        r = 2.0 - r;
    const double sign = r > 0.5 ? -1.0 : 1.0;
    if (r > 0.5)
        r = 1.0 - r;
    return sign * (r > 0.25 ? sin_small(PI * (0.5 - r)) : cos_small(PI * r));
}

/* Splits a positive normal x into m * 2^k with m in [sqrt(1/2), sqrt(2)). */
static double split(double x, int *ret_k)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> FRACTION_BITS) - EXPONENT_BIAS;
    bits =
        (bits & ((UINT64_C(1) << FRACTION_BITS) - 1)) | ((uint64_t)EXPONENT_BIAS << FRACTION_BITS);
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    *ret_k = k;
    return m;
}

/*
 * With f = m - 1 and s = f / (2 + f), ln(m) = 2 atanh(s) = 2s + s R, where
 * R = 2/3 s^2 + 2/5 s^4 + ...; and 2s = f - f^2/2 + s f^2/2 keeps the leading f exact (the form
 * of FreeBSD's e_log.c, after K. C. Ng).
 */
double exact_log(double x)
{
    static const double c[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9, 2.0 / 11,
                               2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19};
    int k;
    const double f = split(x, &k) - 1.0;
    const double s = f / (2.0 + f);
    const double s2 = s * s;
    const double r = s2 * polynomial(c, TERMS(c), s2);
    const double half_square = 0.5 * f * f;
    const double low = s * (half_square + r) + k * LN2_LOW;
    return k * LN2_HIGH - ((half_square - low) - f);
}
