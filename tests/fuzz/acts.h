/* SPDX-License-Identifier: Apache-2.0
 *
 * An input that is a program: acts of a length byte and as many bytes. libFuzzer mutates the
 * bytes of one act at a time, or takes whole ones: doubles, drops and moves them, and puts those
 * of another input among them.
 */
#ifndef TESTS_FUZZ_ACTS_H
#define TESTS_FUZZ_ACTS_H

#include <stddef.h>
#include <stdint.h>

#define ACTS_MAX      200u /* of one program; what follows is not run */
#define ACT_BYTES_MAX 255u

struct act {
    const uint8_t *at; /* borrowed from the input */
    size_t bytes;
};

/* The acts of an input, at most ACTS_MAX. */
size_t acts_read(const uint8_t *bytes, size_t n, struct act act[ACTS_MAX]);

#endif
