/* SPDX-License-Identifier: Apache-2.0
 *
 * A share that has gone through another process says in the manifest what it would have said; and a
 * peer that says something else is refused, whatever it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/persist/portion.h"
#include "server/persist/share.h"
#include "tests/lib/scarcity.h"
#include "tests/unit/persist/deal.h"
#include "tests/unit/persist/rich.h"

enum { SEEDS = 200, SHARDS_MOST = 16 };

static char *pack(const struct job_state *share, size_t *ret_bytes)
{
    char *text = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    if (share_pack(share, &text, ret_bytes, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return text;
}

static char *encode(const struct rich *rich, const struct job_state *const *share, size_t shares,
                    size_t *ret_bytes)
{
    const struct manifest_source source = {.stepd = "1",
                                           .snapshot = &rich->snapshot,
                                           .share = share,
                                           .shares = shares,
                                           .sums = &rich->sums};
    char *text = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    if (manifest_encode(&source, &text, ret_bytes, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    return text;
}

/* ---- There and back -------------------------------------------------------------------------- */

struct split {
    size_t shards;
    struct job_state *own[SHARDS_MOST]; /* as the shards have them */
    const struct job_state *share[SHARDS_MOST];
    struct job_state *unpacked[SHARDS_MOST];
};

/* The first stays as it is: it is of control's own daemon. */
static void split(const struct rich *rich, struct split *ret)
{
    const struct job_state *const whole = rich->state;
    *ret = (struct split){.shards = rich->snapshot.job->shards};
    assert_true(ret->shards <= SHARDS_MOST);
    for (uint32_t i = 0; i < ret->shards; i++) {
        struct stepd_error error = {.code = STEPD_OK};
        size_t bytes = 0;
        ret->own[i] = deal(&whole, 1, deal_by_shard, i, 0);
        ret->share[i] = ret->own[i];
        if (i == 0)
            continue;
        char *const text = pack(ret->own[i], &bytes);
        if (share_unpack(text, bytes, rich->snapshot.job, i, &ret->unpacked[i], &error) != STEPD_OK)
            fail_msg("%s", error.text);
        free(text);
        ret->share[i] = ret->unpacked[i];
    }
}

static void end_split(struct split *split)
{
    for (size_t i = 0; i < split->shards; i++) {
        (void)deal_end(split->own[i]);
        (void)job_state_unref(split->unpacked[i]);
    }
}

static void share__of_any_snapshot__says_the_same_in_the_manifest(void **state)
{
    (void)state;

    static const enum stepd_mode modes[] = {STEPD_SYNC, STEPD_BOUNDED, STEPD_ASYNC};

    size_t several = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rich rich = rich_make(seed, modes[seed % 3]);
        const struct job_state *const whole = rich.state;
        struct split shares;
        split(&rich, &shares);
        size_t n[2] = {0};
        char *const text[] = {encode(&rich, &whole, 1, &n[0]),
                              encode(&rich, shares.share, shares.shards, &n[1])};
        if (n[0] != n[1] || memcmp(text[0], text[1], n[0]) != 0)
            fail_msg("seed %llu: another manifest", (unsigned long long)seed);
        several += shares.shards > 1;
        free(text[0]);
        free(text[1]);
        end_split(&shares);
        rich_free(&rich);
    }
    assert_true(several > 0);
}

static void share__that_is_unpacked__is_packed_as_it_was(void **state)
{
    (void)state;
    struct rich rich = rich_make(7, STEPD_ASYNC);
    struct split shares;
    split(&rich, &shares);
    for (uint32_t i = 1; i < shares.shards; i++) {
        size_t n[2] = {0};
        char *const text[] = {pack(shares.own[i], &n[0]), pack(shares.unpacked[i], &n[1])};
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(text[0], text[1], n[0]);
        free(text[0]);
        free(text[1]);
    }
    end_split(&shares);
    rich_free(&rich);
}

/* ---- What a peer may say --------------------------------------------------------------------- */

struct fixture {
    struct rich rich;
    struct job_state *own;
    char *text;
    size_t bytes;
};

static void begin(struct fixture *f)
{
    f->rich = rich_make_small();
    const struct job_state *const whole = f->rich.state;
    f->own = deal(&whole, 1, deal_by_shard, 0, 0);
    f->text = pack(f->own, &f->bytes);
}

static void end(struct fixture *f)
{
    free(f->text);
    (void)deal_end(f->own);
    rich_free(&f->rich);
}

static enum stepd_status unpack(const struct fixture *f, const char *text, size_t bytes,
                                struct stepd_error *error)
{
    struct job_state *share = NULL;
    const enum stepd_status status =
        share_unpack(text, bytes, f->rich.snapshot.job, 0, &share, error);
    assert_int_equal(status == STEPD_OK, share != NULL);
    (void)job_state_unref(share);
    return status;
}

static void share__of_another_shard__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct stepd_error error;
    struct job_state *share = NULL;
    begin(&f);
    const uint32_t shards = f.rich.snapshot.job->shards;
    assert_true(shards > 1);
    assert_int_equal(share_unpack(f.text, f.bytes, f.rich.snapshot.job, shards - 1, &share, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "share of job '"));
    end(&f);
}

static void share__that_is_cut__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (size_t n = 0; n < f.bytes; n++) {
        struct stepd_error error;
        assert_int_not_equal(unpack(&f, f.text, n, &error), STEPD_OK);
        assert_int_not_equal(error.text[0], '\0');
    }
    end(&f);
}

/* Most such texts are refused; none does any harm. */
static void share__with_any_byte_changed__does_no_harm(void **state)
{
    (void)state;
    struct fixture f;
    size_t refused = 0;
    begin(&f);
    for (size_t at = 0; at < f.bytes; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct stepd_error error;
            f.text[at] ^= (char)(1U << bit);
            refused += unpack(&f, f.text, f.bytes, &error) != STEPD_OK;
            f.text[at] ^= (char)(1U << bit);
        }
    }
    assert_true(refused > f.bytes * 4);
    end(&f);
}

static void share__that_says_what_cannot_be__names_the_key(void **state)
{
    (void)state;

    static const struct {
        const char *from;
        const char *to;
        const char *text;
    } cases[] = {
        {"\"version\": ", "\"versiom\": ", "version is missing"},
        {"\"slots\": [\"exp_avg\"", "\"slots\": [\"exp_avh\"", "must be \"exp_avg\""},
        {"\"phase\": 0", "\"phase\": 1", "phase"},
        {"\"parts\": [[\"fc.weight\", 0", "\"parts\": [[\"fc.weight\", 1", "parts"},
        {"\"by_group\": [", "\"by_group\": [1, ", "by_group has 2"},
        {"\"each\": [", "\"each\": [1, ", "slices"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        struct stepd_error error;
        char forged[1 << 14];
        begin(&f);
        const char *const at = strstr(f.text, cases[i].from);
        if (at == NULL)
            fail_msg("'%s' is not in it: %s", cases[i].from, f.text);
        const int n = snprintf(forged, sizeof forged, "%.*s%s%s", (int)(at - f.text), f.text,
                               cases[i].to, at + strlen(cases[i].from));
        assert_true(n > 0 && (size_t)n < sizeof forged);
        if (unpack(&f, forged, (size_t)n, &error) == STEPD_OK ||
            strstr(error.text, cases[i].text) == NULL)
            fail_msg("'%s': %s", cases[i].to, error.text);
        end(&f);
    }
}

static void share__without_memory__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct stepd_error error;
    size_t failures = 0;
    begin(&f);
    scarcity_after(failures);
    while (unpack(&f, f.text, f.bytes, &error) != STEPD_OK)
        scarcity_after(++failures);
    scarcity_after(SCARCITY_NEVER);
    assert_true(failures > 5);
    end(&f);
}

/* ---- Checksums ------------------------------------------------------------------------------- */

static struct manifest_sums make_sums(void)
{
    static char file_a[] = "model-00002-of-00003.safetensors";
    static char file_b[] = "optimizer-00002-of-00003.safetensors";
    static char array[] = "model-00002-of-00003.safetensors/w@256";
    static struct manifest_file file[] = {
        {.name = file_a, .bytes = 12, .checksum = "00000000000000000000000000000001"},
        {.name = file_b, .bytes = 13, .checksum = "00000000000000000000000000000002"},
    };
    static struct manifest_array arrays[] = {
        {.name = array, .checksum = "00000000000000000000000000000003"}};
    return (struct manifest_sums){.files = 2, .file = file, .arrays = 1, .array = arrays};
}

static void sums__of_a_portion__come_back(void **state)
{
    (void)state;
    const struct manifest_sums sums = make_sums();
    struct manifest_sums read = {.files = 0};
    struct stepd_error error = {.code = STEPD_OK};
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(portion_pack_sums(&sums, &text, &bytes, &error), STEPD_OK);
    if (portion_unpack_sums(text, bytes, 1, 3, &read, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(read.files, 2);
    assert_int_equal(read.file[1].bytes, 13);
    assert_string_equal(read.file[0].checksum, sums.file[0].checksum);
    assert_string_equal(manifest_sums_array(&read, sums.array[0].name), sums.array[0].checksum);
    manifest_sums_deinit(&read);
    for (size_t n = 0; n < bytes; n++)
        assert_int_not_equal(portion_unpack_sums(text, n, 1, 3, &read, &error), STEPD_OK);
    free(text);
}

static void sums__of_another_portion__are_refused(void **state)
{
    (void)state;
    const struct manifest_sums sums = make_sums();
    struct manifest_sums read = {.files = 0};
    struct stepd_error error = {.code = STEPD_OK};
    char *text = NULL;
    size_t bytes = 0;
    assert_int_equal(portion_pack_sums(&sums, &text, &bytes, &error), STEPD_OK);
    assert_int_equal(portion_unpack_sums(text, bytes, 2, 3, &read, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "the files of a portion must be two, and one of them "
                                    "model-00003-of-00003.safetensors");
    assert_int_equal(portion_unpack_sums(text, bytes, 1, 4, &read, &error), STEPD_INVALID_ARGUMENT);
    free(text);
}

static void file_name__of_a_portion__is_read_back(void **state)
{
    (void)state;
    enum arrays_file file = ARRAYS_MODEL;
    uint32_t index = 0;
    uint32_t portions = 0;
    assert_string_equal(portion_file(ARRAYS_MODEL, 0, 1).text, "model.safetensors");
    assert_string_equal(portion_file(ARRAYS_OPTIMIZER, 9, 64).text,
                        "optimizer-00010-of-00064.safetensors");
    for (uint32_t of = 1; of <= PORTIONS_MAX; of++) {
        for (uint32_t i = 0; i < of; i++) {
            assert_true(portion_file_parse(portion_file(ARRAYS_OPTIMIZER, i, of).text, &file,
                                           &index, &portions));
            assert_int_equal(file, ARRAYS_OPTIMIZER);
            assert_int_equal(index, i);
            assert_int_equal(portions, of);
        }
    }
}

static void file_name__of_no_portion__is_none(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "model",
        "model-.safetensors",
        "model-00001-of-00001.safetensors",
        "model-00000-of-00002.safetensors",
        "model-00003-of-00002.safetensors",
        "model-00001-of-00065.safetensors",
        "model-00001-of-00002.safetensors2",
        "model-1-of-2.safetensors",
        "model-+0001-of-00002.safetensors",
        "model-00001-of-0000",
        "model-00001",
        "../model.safetensors",
        "optimizer.safetensors/",
        "manifest.json",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        enum arrays_file file = ARRAYS_MODEL;
        uint32_t index = 0;
        uint32_t portions = 0;
        if (portion_file_parse(names[i], &file, &index, &portions))
            fail_msg("'%s' is taken for a portion's", names[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share__of_any_snapshot__says_the_same_in_the_manifest),
        cmocka_unit_test(share__that_is_unpacked__is_packed_as_it_was),
        cmocka_unit_test(share__of_another_shard__is_refused),
        cmocka_unit_test(share__that_is_cut__is_refused),
        cmocka_unit_test(share__with_any_byte_changed__does_no_harm),
        cmocka_unit_test(share__that_says_what_cannot_be__names_the_key),
        cmocka_unit_test(share__without_memory__is_refused),
        cmocka_unit_test(sums__of_a_portion__come_back),
        cmocka_unit_test(sums__of_another_portion__are_refused),
        cmocka_unit_test(file_name__of_a_portion__is_read_back),
        cmocka_unit_test(file_name__of_no_portion__is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
