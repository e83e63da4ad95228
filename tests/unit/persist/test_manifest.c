/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that are read say what was written, to the bit, and are the same text when they are
 * written again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rich.h"
#include "tests/lib/manifests.h"

enum { SEEDS = 600, KINDS_MOST = 64 };

/* What the snapshots of a test had. */
struct seen {
    bool optimizer[KINDS_MOST];
    bool schedule[KINDS_MOST];
    size_t phases; /* beside the first ones */
    size_t changed;
    size_t coming;
    size_t left;
    size_t given_up;
    size_t former;
    size_t halted;
    size_t backups;
};

static void see_groups(const struct job *job, struct seen *seen)
{
    for (size_t i = 0; i < job->groups; i++) {
        const struct group *const group = &job->group[i];
        seen->phases += group->phases - 1;
        for (size_t k = 0; k < group->phases; k++) {
            for (size_t n = 0; n < optimizer_count(); n++)
                seen->optimizer[n] |= group->phase[k].optimizer == optimizer_at(n);
        }
        for (size_t n = 0; n < schedule_kind_count(); n++)
            seen->schedule[n] |= group->schedule.kind == schedule_kind_at(n);
    }
}

static void see(const struct rich *rich, struct seen *seen)
{
    see_groups(rich->snapshot.job, seen);
    for (size_t i = 0; i < rich->snapshot.members; i++) {
        seen->left += rich->snapshot.member[i].left;
        seen->given_up += rich->snapshot.member[i].given_up.code != STEPD_OK;
        seen->former += rich->snapshot.member[i].former.known;
    }
    seen->coming += control_history_coming(&rich->snapshot.history);
    seen->halted += rich->state->halted.code != STEPD_OK;
    seen->changed += rich->state->slice[0].changed != NULL;
    seen->backups += rich->state->slice[0].by_rank[0].backup != NULL;
}

static void assert_seen_all(const struct seen *seen)
{
    for (size_t n = 0; n < optimizer_count(); n++) {
        if (!seen->optimizer[n])
            fail_msg("no snapshot had %s", optimizer_at(n)->name);
    }
    for (size_t n = 0; n < schedule_kind_count(); n++) {
        if (!seen->schedule[n])
            fail_msg("no snapshot had %s", schedule_kind_at(n)->name);
    }
    assert_true(seen->phases > 0 && seen->changed > 0 && seen->coming > 0 && seen->left > 0);
    assert_true(seen->given_up > 0 && seen->former > 0 && seen->halted > 0 && seen->backups > 0);
}

static void manifest__of_any_snapshot__comes_back_as_it_was(void **state)
{
    (void)state;

    static const enum stepd_mode modes[] = {STEPD_SYNC, STEPD_SYNC, STEPD_BOUNDED, STEPD_ASYNC};
    struct seen seen = {.phases = 0};
    assert_true(optimizer_count() <= KINDS_MOST && schedule_kind_count() <= KINDS_MOST);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rich rich = rich_make(seed, modes[seed % 4]);
        see(&rich, &seen);
        struct manifest manifest = manifests_go_round(&rich.snapshot, rich.state);
        manifest_deinit(&manifest);
        rich_free(&rich);
    }
    assert_seen_all(&seen);
}

static void manifest__with_checksums__gives_them_by_name(void **state)
{
    (void)state;
    size_t length = 0;
    struct rich rich = rich_make(3, STEPD_SYNC);
    char *const text = manifests_write(&rich.snapshot, rich.state, &rich.sums, &length);
    struct manifest manifest = manifests_read(text, length);
    assert_int_equal(manifest.sums.files, rich.sums.files);
    assert_int_equal(manifest.sums.arrays, rich.sums.arrays);
    for (size_t i = 0; i < rich.sums.files; i++) {
        const struct manifest_file *const file =
            manifest_sums_file(&manifest.sums, rich.sums.file[i].name);
        assert_non_null(file);
        assert_int_equal(file->bytes, rich.sums.file[i].bytes);
        assert_string_equal(file->checksum, rich.sums.file[i].checksum);
    }
    for (size_t i = 0; i < rich.sums.arrays; i++)
        assert_string_equal(manifest_sums_array(&manifest.sums, rich.sums.array[i].name),
                            rich.sums.array[i].checksum);
    assert_null(manifest_sums_file(&manifest.sums, "model"));
    assert_null(manifest_sums_array(&manifest.sums, "model.safetensors/"));
    manifest_deinit(&manifest);
    free(text);
    rich_free(&rich);
}

static void manifest__with_a_name_twice__is_not_written(void **state)
{
    (void)state;
    struct rich rich = rich_make_small();
    const struct job_state *const share = rich.state;
    const struct manifest_source source = {
        .stepd = "1", .snapshot = &rich.snapshot, .share = &share, .shares = 1, .sums = &rich.sums};
    struct stepd_error error = {.code = STEPD_OK};
    char *text = NULL;
    size_t length = 0;
    rich.sums.array[1].name[strlen("model.safetensors/")] = '\0';
    rich.sums.array[2].name[strlen("model.safetensors/")] = '\0';
    assert_int_equal(manifest_encode(&source, &text, &length, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "'model.safetensors/' is listed twice, with a checksum each");
    rich.state->slice[1].taken = false;
    assert_int_equal(manifest_encode(&source, &text, &length, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "fc.weight[200:400] is in no share of the state of job "
                                    "'r\xc3\xaf"
                                    "ch job'");
    assert_null(text);
    rich_free(&rich);
}

/* Each shard has taken its own slices. */
static void manifest__of_the_shares_of_two_shards__is_that_of_the_whole(void **state)
{
    (void)state;
    size_t length = 0;
    size_t length_of_shares = 0;
    char *of_shares = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    struct rich rich = rich_make(5, STEPD_ASYNC);
    struct job_state *share[2];
    char *const text = manifests_write(&rich.snapshot, rich.state, &rich.sums, &length);
    for (size_t k = 0; k < 2; k++) {
        assert_int_equal(job_state_create(rich.snapshot.job, rich.state->version, &share[k]),
                         STEPD_OK);
        for (size_t i = k; i < rich.snapshot.job->layout.slices; i += 2)
            assert_int_equal(slice_state_copy(&rich.state->slice[i], &share[k]->slice[i]),
                             STEPD_OK);
    }
    share[1]->halted = rich.state->halted;
    const struct manifest_source source = {.stepd = "1.2.3",
                                           .snapshot = &rich.snapshot,
                                           .share = (const struct job_state *const *)share,
                                           .shares = 2,
                                           .sums = &rich.sums};
    assert_int_equal(manifest_encode(&source, &of_shares, &length_of_shares, &error), STEPD_OK);
    assert_int_equal(length_of_shares, length);
    assert_memory_equal(of_shares, text, length);
    free(of_shares);
    free(text);
    for (size_t k = 0; k < 2; k++)
        (void)job_state_unref(share[k]);
    rich_free(&rich);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest__of_any_snapshot__comes_back_as_it_was),
        cmocka_unit_test(manifest__with_checksums__gives_them_by_name),
        cmocka_unit_test(manifest__with_a_name_twice__is_not_written),
        cmocka_unit_test(manifest__of_the_shares_of_two_shards__is_that_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
