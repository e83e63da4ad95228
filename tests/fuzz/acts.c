/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer calls LLVMFuzzerCustomMutator and LLVMFuzzerCustomCrossOver where a target has them;
 * everything random in them comes from the seed.
 */
#include "tests/fuzz/acts.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/random.h"

#define ACT_GROWS_BYTES    8u
#define PROGRAM_MOST_BYTES 8192u /* a longer one takes time, and does what several do */

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
                                 uint8_t *to, size_t most, unsigned seed);

#ifdef FUZZ_WITH_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t most);
#else
static size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n, size_t most)
{
    (void)bytes;
    return n < most ? n : most;
}
#endif

size_t acts_read(const uint8_t *bytes, size_t n, struct act act[ACTS_MAX])
{
    size_t count = 0;
    for (size_t at = 0; at < n && count < ACTS_MAX;) {
        const size_t left = n - at - 1;
        const size_t length = bytes[at] < left ? bytes[at] : left;
        act[count++] = (struct act){.at = bytes + at + 1, .bytes = length};
        at += 1 + length;
    }
    return count;
}

/* A program that is being put together. */
struct program {
    uint8_t *at; /* borrowed */
    size_t bytes;
    size_t most;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void put(struct program *program, const uint8_t *bytes, size_t n)
{
    n = least(n, ACT_BYTES_MAX);
    if (program->bytes + 1 + n > program->most)
        return;
    program->at[program->bytes] = (uint8_t)n;
    if (n > 0)
        memcpy(program->at + program->bytes + 1, bytes, n);
    program->bytes += 1 + n;
}

static void put_mutated(struct program *program, const struct act *act)
{
    uint8_t bytes[ACT_BYTES_MAX + ACT_GROWS_BYTES] = {0};
    if (act->bytes > 0)
        memcpy(bytes, act->at, act->bytes);
    const size_t most = act->bytes + ACT_GROWS_BYTES;
    const size_t n = act->bytes > 0 ? act->bytes : 1;
    put(program, bytes, LLVMFuzzerMutate(bytes, n, most < ACT_BYTES_MAX ? most : n));
}

/* What becomes of acts: all before `at` and behind it stay as they are. */
static void put_changed(struct program *program, const struct act *act, size_t count,
                        struct random *random)
{
    const size_t at = random_below(random, count);
    const size_t other = random_below(random, count);
    const uint64_t what = random_below(random, 16);
    for (size_t i = 0; i < count; i++) {
        if (i != at) {
            put(program, act[i].at, act[i].bytes);
        } else if (what < 10) {
            put_mutated(program, &act[i]);
        } else if (what < 12) { /* another one before it, mutated or not */
            put_mutated(program, &act[other]);
            put(program, act[i].at, act[i].bytes);
        } else if (what < 14) {
            put(program, act[i].at, act[i].bytes);
            put(program, act[other].at, act[other].bytes);
        } else if (what < 15) {
            put(program, act[other].at, act[other].bytes);
        }
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n, size_t most, unsigned seed)
{
    struct random random = {.state = seed};
    struct act act[ACTS_MAX];
    const size_t count = acts_read(bytes, n, act);
    if (count == 0 || random_once_in(&random, 32))
        return LLVMFuzzerMutate(bytes, n, most);
    uint8_t *const copy = malloc(most);
    if (copy == NULL)
        return n;
    struct program program = {.at = copy, .most = least(most, PROGRAM_MOST_BYTES)};
    put_changed(&program, act, count, &random);
    if (program.bytes > 0)
        memcpy(bytes, copy, program.bytes);
    free(copy);
    return program.bytes;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
                                 uint8_t *to, size_t most, unsigned seed)
{
    struct random random = {.state = seed};
    struct act first[ACTS_MAX];
    struct act second[ACTS_MAX];
    const size_t firsts = acts_read(a, a_bytes, first);
    const size_t seconds = acts_read(b, b_bytes, second);
    struct program program = {.at = to, .most = least(most, PROGRAM_MOST_BYTES)};
    const size_t kept = random_below(&random, firsts + 1);
    const size_t from = random_below(&random, seconds + 1);
    const size_t taken = random_below(&random, seconds - from + 1);
    for (size_t i = 0; i < kept; i++)
        put(&program, first[i].at, first[i].bytes);
    for (size_t i = from; i < from + taken; i++)
        put(&program, second[i].at, second[i].bytes);
    for (size_t i = kept; i < firsts; i++)
        put(&program, first[i].at, first[i].bytes);
    return program.bytes;
}
