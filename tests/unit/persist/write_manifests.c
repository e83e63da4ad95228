/* SPDX-License-Identifier: Apache-2.0
 *
 * write_manifests FOLDER: manifests of small snapshots, as the fuzzer's seeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rich.h"
#include "tests/lib/manifests.h"

static const char *folder;

static void write_one(struct rich *rich, const char *name)
{
    char path[4096];
    size_t length = 0;
    char *const text = manifests_write(&rich->snapshot, rich->state, &rich->sums, &length);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(text);
    rich_free(rich);
}

static void write_all(void **state)
{
    (void)state;
    static const char *const names[] = {"sync", "async", "bounded"};
    struct rich small = rich_make_small();
    write_one(&small, "small");
    for (uint64_t seed = 1; seed <= 9; seed++) {
        char name[32];
        struct rich rich = rich_make(seed, (enum stepd_mode)(seed % 3));
        (void)snprintf(name, sizeof name, "%s_%u", names[seed % 3], (unsigned)seed);
        write_one(&rich, name);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(write_all)};
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
