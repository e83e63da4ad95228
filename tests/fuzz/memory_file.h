/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_MEMORY_FILE_H
#define TESTS_FUZZ_MEMORY_FILE_H

#include <stddef.h>

/* The path of a file in memory that holds these bytes until the next call; for what takes paths. */
const char *memory_file(const void *bytes, size_t n);

#endif
