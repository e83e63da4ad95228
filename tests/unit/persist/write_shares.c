/* SPDX-License-Identifier: Apache-2.0
 *
 * write_shares FOLDER: shares of small snapshots, each behind its shard (a byte), the manifest that
 * its job is from, and a NUL; as the fuzzer's seeds (tests/fuzz/corpus/share).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/persist/share.h"
#include "tests/lib/manifests.h"
#include "tests/unit/persist/deal.h"
#include "tests/unit/persist/rich.h"

static const char *folder;

static void write_one(struct rich *rich, const char *name)
{
    const struct job_state *const whole = rich->state;
    const uint32_t shard = rich->snapshot.job->shards - 1;
    char path[4096];
    size_t length = 0;
    size_t bytes = 0;
    char *text = NULL;
    char *const manifest = manifests_write(&rich->snapshot, whole, &rich->sums, &length);
    struct job_state *const share = deal(&whole, 1, deal_by_shard, shard, 0);
    assert_int_equal(share_pack(share, &text, &bytes, NULL), STEPD_OK);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fputc((int)shard, file), shard);
    assert_int_equal(fwrite(manifest, 1, length, file), length);
    assert_int_equal(fputc(0, file), 0);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    free(text);
    free(manifest);
    (void)deal_end(share);
    rich_free(rich);
}

static void write_all(void **state)
{
    (void)state;
    static const char *const names[] = {"sync", "async", "bounded"};
    struct rich small = rich_make_small();
    write_one(&small, "small");
    for (uint64_t seed = 1; seed <= 6; seed++) {
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
