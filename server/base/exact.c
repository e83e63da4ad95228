/* SPDX-License-Identifier: Apache-2.0
 *
 * Each function brings its argument exactly into a small interval and evaluates a Taylor series
 * there. Taylor needs two or three terms more than a fitted polynomial and nobody can mistype its
 * coefficients: they are quotients of small whole numbers, which the compiler rounds correctly.
 *
 * exact_pow needs ln x with more digits than a double has, because an error of ln x is multiplied
 * by y: it computes in pairs, unevaluated sums of two doubles (Dekker 1971), good for some 100
 * bits.
 *
 * The build must evaluate double in double (no x87) and contract nothing to FMA.
 */
#include "server/base/exact.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
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

/* An unevaluated sum: lo is at most half an ulp of hi. */
struct pair {
    double hi;
    double lo;
};

/* a + b without error, |a| >= |b| or a = 0 (Dekker 1971, Fast2Sum). */
static struct pair sum_sorted(double a, double b)
{
    const double sum = a + b;
    return (struct pair){.hi = sum, .lo = b - (sum - a)};
}

/* a + b without error (Knuth, TAOCP 2, 4.2.2, theorem B). */
static struct pair sum(double a, double b)
{
    const double hi = a + b;
    const double b_part = hi - a;
    return (struct pair){.hi = hi, .lo = (a - (hi - b_part)) + (b - b_part)};
}

/* The upper 26 bits of x, |x| < 2^996 (Veltkamp). */
static double upper_half(double x)
{
    const double c = 134217729.0 * x; /* 2^27 + 1 */
    return c - (c - x);
}

/* a * b without error, save for underflow (Dekker 1971, Mul12). */
static struct pair product(double a, double b)
{
    const double hi = a * b;
    const double a1 = upper_half(a);
    const double a2 = a - a1;
    const double b1 = upper_half(b);
    const double b2 = b - b1;
    return (struct pair){.hi = hi, .lo = ((a1 * b1 - hi) + a1 * b2 + a2 * b1) + a2 * b2};
}

static struct pair pair_add(struct pair a, struct pair b)
{
    const struct pair high = sum(a.hi, b.hi);
    return sum_sorted(high.hi, high.lo + (a.lo + b.lo));
}

static struct pair pair_mul(struct pair a, struct pair b)
{
    const struct pair high = product(a.hi, b.hi);
    return sum_sorted(high.hi, high.lo + (a.hi * b.lo + a.lo * b.hi));
}

static struct pair pair_div(struct pair a, struct pair b)
{
    const double q = a.hi / b.hi;
    const struct pair back = product(q, b.hi);
    return sum_sorted(q, (((a.hi - back.hi) - back.lo) + (a.lo - q * b.lo)) / b.hi);
}

static struct pair quotient(double numerator, double denominator)
{
    return pair_div((struct pair){.hi = numerator}, (struct pair){.hi = denominator});
}

/*
 * ln x to about 70 bits. With s as in exact_log and z = s^2 <= 0.0295,
 * ln m = 2 atanh(s) = 2s (1 + z (1/3 + z (1/5 + z (1/7 + z/9 + ... + z^10/27)))), of which the
 * innermost bracket weighs 2^-18 and is good enough in double.
 */
static struct pair log_pair(double x)
{
    static const double c[] = {1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                               1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25, 1.0 / 27};
    const bool denormal = x < DBL_MIN;
    int k;
    const double f = split(denormal ? x * 0x1p54 : x, &k) - 1.0;
    const double exponent = denormal ? k - 54 : k;
    const struct pair s = pair_div((struct pair){.hi = f}, sum(2.0, f));
    const struct pair z = pair_mul(s, s);
    struct pair series = {.hi = polynomial(c, TERMS(c), z.hi)};
    series = pair_add(quotient(1.0, 5.0), pair_mul(z, series));
    series = pair_add(quotient(1.0, 3.0), pair_mul(z, series));
    series = pair_add((struct pair){.hi = 1.0}, pair_mul(z, series));
    const struct pair twice = {.hi = 2.0 * s.hi, .lo = 2.0 * s.lo};
    return pair_add(sum_sorted(exponent * LN2_HIGH, exponent * LN2_LOW), pair_mul(twice, series));
}

/* 2^k for -1022 <= k <= 1023. */
static double power_of_two(int k)
{
    const uint64_t bits = (uint64_t)(k + EXPONENT_BIAS) << FRACTION_BITS;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/*
 * e^(hi + lo) = 2^k e^r with |r| <= ln(2)/2. k LN2_HIGH is exact and close to hi, so their
 * difference is exact too. 2^k comes in two factors, of which only the second can round.
 */
static double exp_pair(struct pair x)
{
    static const double c[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                               1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                               1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    if (x.hi > 710.0)
        return INFINITY;
    if (x.hi < -746.0)
        return 0.0;
    const int k = (int)(x.hi / (LN2_HIGH + LN2_LOW) + (x.hi < 0.0 ? -0.5 : 0.5));
    const struct pair r = sum(x.hi - k * LN2_HIGH, x.lo - k * LN2_LOW);
    const struct pair line = sum_sorted(1.0, r.hi);
    const double curve = r.hi * r.hi * polynomial(c, TERMS(c), r.hi);
    const double m = line.hi + (line.lo + (r.lo + curve));
    return m * power_of_two(k / 2) * power_of_two(k - k / 2);
}

double exact_exp(double x)
{
    return exp_pair((struct pair){.hi = x});
}

double exact_pow(double x, double y)
{
    if (x == 1.0 || y == 0.0)
        return 1.0;
    if (x == 0.0)
        return y > 0.0 ? 0.0 : INFINITY;
    const struct pair log = log_pair(x);
    const double rough = y * log.hi;
    /* Also keeps y small enough for product(): |ln x| is above 2^-54. */
    if (rough > 710.0 || rough < -746.0)
        return exp_pair((struct pair){.hi = rough});
    return exp_pair(pair_mul((struct pair){.hi = y}, log));
}
