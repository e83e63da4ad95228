/* SPDX-License-Identifier: Apache-2.0
 *
 * Files for the tests of stepd-train: a folder of its own for each test, made-up IDX files plain
 * and gzipped, and whole files read back. Everything asserts; nothing is returned that failed.
 */
#ifndef TESTS_TRAIN_FILES_H
#define TESTS_TRAIN_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILES_PATH_BYTES 256u

/* CMocka setup and teardown: *state is the folder's path, removed with all that is in it. */
int files_setup(void **state);
int files_teardown(void **state);

/* Writes <folder>/<name> into path. */
void files_path(const char *folder, const char *name, char path[FILES_PATH_BYTES]);

void files_write(const char *path, const uint8_t *bytes, size_t count, bool gzipped);

/* *ret_bytes: caller frees; a NUL follows the file's last byte. Returns the file's size. */
size_t files_read(const char *path, char **ret_bytes);

/*
 * The bytes of an IDX file: magic number for `dims` dimensions, their sizes, and `count` elements.
 * out: room for 4 + 4 dims + count bytes. Returns how many were written.
 */
size_t files_idx(uint8_t *out, size_t dims, const uint32_t *sizes, const uint8_t *elements,
                 size_t count);

/* A data set of 2x2 images in `folder`, whose label can be read off the pixels; both parts. */
void files_write_dataset(const char *folder, uint32_t train_examples, uint32_t test_examples);

#endif
