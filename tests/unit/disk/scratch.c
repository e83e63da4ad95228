/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/disk/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <ftw.h>

int scratch_setup(void **state)
{
    struct scratch *scratch = malloc(sizeof *scratch);
    if (scratch == NULL)
        return -1;
    (void)snprintf(scratch->path, sizeof scratch->path, "/tmp/stepd-disk-XXXXXX");
    *state = scratch;
    return mkdtemp(scratch->path) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

int scratch_teardown(void **state)
{
    struct scratch *scratch = *state;
    const int removed = nftw(scratch->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(scratch);
    return removed;
}

const char *scratch_path(const struct scratch *scratch, const char *name)
{
    static char path[8][512];
    static size_t next;
    char *const text = path[next++ % 8];
    (void)snprintf(text, sizeof path[0], "%s/%s", scratch->path, name);
    return text;
}

void scratch_write(const struct scratch *scratch, const char *name, const char *text)
{
    FILE *const file = fopen(scratch_path(scratch, name), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

bool scratch_has(const struct scratch *scratch, const char *name)
{
    struct stat stat;
    return lstat(scratch_path(scratch, name), &stat) == 0;
}
