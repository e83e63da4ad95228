/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share. A target is a C file with the function that libFuzzer calls; built
 * without libFuzzer, replay_main.c calls it with each file of the corpus.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Like assert(), and never compiled out. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_failed(__FILE__, __LINE__, #condition);                                           \
    } while (0)

_Noreturn void fuzz_failed(const char *file, int line, const char *condition);

/*
 * Decodes the n bytes of a header (borrowed until return). If they decode, encodes the message,
 * decodes that, encodes again, and checks that both encodings are the same.
 */
void fuzz_message(const uint8_t *header, size_t n);

#endif
