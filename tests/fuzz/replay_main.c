/* SPDX-License-Identifier: Apache-2.0
 *
 * replay FOLDER: what stands in for libFuzzer under other compilers. Calls the target with each
 * file of the folder, whole and with its last byte cut off, and fails if there is none.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX_BYTES (1u << 20)

static void run(const uint8_t *bytes, size_t n)
{
    /* A copy of just that size, so that a sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(n + (n == 0));
    if (copy == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        copy[i] = bytes[i];
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

/* Replays a file. Returns 1, or 0 for what is no file that can be read. */
static int replay(const char *folder, const char *name)
{
    static uint8_t bytes[INPUT_MAX_BYTES];
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = name[0] == '.' ? NULL : fopen(path, "rb");
    if (file == NULL)
        return 0;
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    run(bytes, n);
    if (n > 0)
        run(bytes, n - 1);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    int inputs = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        inputs += replay(argv[1], entry->d_name);
    (void)closedir(folder);
    printf("%d inputs\n", inputs);
    return inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
