/* SPDX-License-Identifier: Apache-2.0
 *
 * How far two tensors are from each other.
 */
#ifndef CLIENT_CTL_COMPARE_H
#define CLIENT_CTL_COMPARE_H

#include <stdint.h>

#include "server/disk/tensors.h"

struct compare_result {
    uint64_t elements;
    uint64_t differing; /* of these; two NaNs do not, nor do 0 and -0 */
    uint64_t zeros;     /* that are 0 in one of them and -0 in the other */
    double max;         /* of the absolute differences; infinite where one of the two is a NaN */
    double mean;
};

/* Compares two tensors of one shape, as doubles, which hold what any real type says. Elements that
 * are no real numbers (integers, 8 bits) are compared byte by byte, and have no max and mean: NAN.
 * INVALID_ARGUMENT: these are of two types. UNAVAILABLE, RESOURCE_EXHAUSTED. */
enum stepd_status compare_tensors(const struct tensors *a, const struct safetensors_tensor *in_a,
                                  const struct tensors *b, const struct safetensors_tensor *in_b,
                                  struct compare_result *ret_result,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
