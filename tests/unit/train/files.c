/* SPDX-License-Identifier: Apache-2.0
 *
 * Files for the tests of stepd-train. The made-up data set has one bright pixel pattern for each
 * label, so that every model can learn it in a few steps.
 */
#include "tests/unit/train/files.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>
#include <zlib.h>

int files_setup(void **state)
{
    char *const folder = strdup("/tmp/stepd-train-test-XXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    *state = folder;
    return 0;
}

int files_teardown(void **state)
{
    DIR *const listing = opendir(*state);
    assert_non_null(listing);
    for (const struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        char path[FILES_PATH_BYTES + sizeof entry->d_name];
        (void)snprintf(path, sizeof path, "%s/%s", (const char *)*state, entry->d_name);
        if (entry->d_name[0] != '.')
            assert_int_equal(remove(path), 0);
    }
    assert_int_equal(closedir(listing), 0);
    assert_int_equal(rmdir(*state), 0);
    free(*state);
    return 0;
}

void files_path(const char *folder, const char *name, char path[FILES_PATH_BYTES])
{
    const int length = snprintf(path, FILES_PATH_BYTES, "%s/%s", folder, name);
    assert_in_range(length, 1, FILES_PATH_BYTES - 1);
}

void files_write(const char *path, const uint8_t *bytes, size_t count, bool gzipped)
{
    gzFile out = gzopen(path, gzipped ? "wb" : "wbT"); /* T: as they are */
    assert_non_null(out);
    if (count > 0)
        assert_int_equal(gzwrite(out, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(out), Z_OK);
}

size_t files_read(const char *path, char **ret_bytes)
{
    FILE *const in = fopen(path, "rb");
    assert_non_null(in);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    const size_t size = (size_t)ftell(in);
    rewind(in);
    char *const bytes = calloc(1, size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, size, in), size);
    assert_int_equal(fclose(in), 0);
    *ret_bytes = bytes;
    return size;
}

size_t files_idx(uint8_t *out, size_t dims, const uint32_t *sizes, const uint8_t *elements,
                 size_t count)
{
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)dims};
    memcpy(out, magic, sizeof magic);
    for (size_t i = 0; i < dims; i++)
        for (size_t b = 0; b < 4; b++)
            out[4 + 4 * i + b] = (uint8_t)(sizes[i] >> (24 - 8 * b));
    if (count > 0)
        memcpy(out + 4 + 4 * dims, elements, count);
    return 4 + 4 * dims + count;
}

static void write_part(const char *folder, const char *part, uint32_t examples)
{
    char name[64];
    char path[FILES_PATH_BYTES];
    uint8_t *const elements = malloc((size_t)4 * examples);
    uint8_t *const labels = malloc(examples);
    uint8_t *const file = malloc((size_t)4 * examples + 16);
    assert_true(elements != NULL && labels != NULL && file != NULL);
    for (uint32_t i = 0; i < examples; i++) {
        labels[i] = (uint8_t)(i % 10);
        for (uint32_t d = 0; d < 4; d++) /* the bits of the label, and a little unrest */
            elements[4 * i + d] = (uint8_t)((labels[i] >> d & 1) * 200 + (int)(i * 7 % 13));
    }
    (void)snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
    files_path(folder, name, path);
    files_write(
        path, file,
        files_idx(file, 3, (const uint32_t[]){examples, 2, 2}, elements, (size_t)4 * examples),
        /* gzipped= */ false);
    (void)snprintf(name, sizeof name, "%s-labels-idx1-ubyte.gz", part);
    files_path(folder, name, path);
    files_write(path, file, files_idx(file, 1, &examples, labels, examples), /* gzipped= */ true);
    free(file);
    free(labels);
    free(elements);
}

void files_write_dataset(const char *folder, uint32_t train_examples, uint32_t test_examples)
{
    write_part(folder, "train", train_examples);
    write_part(folder, "t10k", test_examples);
}
