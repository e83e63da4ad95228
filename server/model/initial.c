/* SPDX-License-Identifier: Apache-2.0
 *
 * The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
 * generators", OOPSLA 2014) used as a hash of a counter: element i of a stream is the generator's
 * output i steps from the stream's key. Normal values come from the Box-Muller transform with our
 * own logarithm and cosine, because libm's differ between machines.
 */
#include "server/model/initial.h"

#include <math.h>

#include "server/base/exact.h"

#define GOLDEN_GAMMA UINT64_C(0x9E3779B97F4A7C15)

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Each (seed, tensor) is a stream of its own. */
static uint64_t stream_key(uint64_t seed, uint32_t tensor)
{
    return mix(mix(seed + GOLDEN_GAMMA) + (uint64_t)tensor * GOLDEN_GAMMA);
}

/* Number i of a stream, in [0, 1): 53 bits. */
static double uniform_at(uint64_t key, uint64_t i)
{
    return (double)(mix(key + (i + 1) * GOLDEN_GAMMA) >> 11) * 0x1p-53;
}

/* Number i of a stream of standard normal values: takes the uniform numbers 2i and 2i + 1. */
static double normal_at(uint64_t key, uint64_t i)
{
    const double u1 = 1.0 - uniform_at(key, 2 * i); /* in (0, 1]: its logarithm is finite */
    const double u2 = uniform_at(key, 2 * i + 1);
    return sqrt(-2.0 * exact_log(u1)) * exact_cospi(2.0 * u2);
}

void initial_values(const struct stepd_init *init, uint32_t tensor, uint64_t offset, size_t n,
                    float *values)
{
    const uint64_t key = stream_key(init->seed, tensor);
    const double a = init->a;
    const double b = init->b;
    for (size_t i = 0; i < n; i++) {
        switch (init->kind) {
        case STEPD_INIT_CONSTANT: values[i] = (float)a; break;
        case STEPD_INIT_UNIFORM:
            values[i] = (float)(a + (b - a) * uniform_at(key, offset + i));
            break;
        case STEPD_INIT_NORMAL: values[i] = (float)(a + b * normal_at(key, offset + i)); break;
        case STEPD_INIT_VALUES: values[i] = 0.0F; break;
        }
    }
}
