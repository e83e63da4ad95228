/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that are damaged, and manifests that somebody has written who means harm or has made a
 * mistake: those have the checksum that they must have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rich.h"
#include "tests/lib/manifests.h"

static char *write_small(size_t *ret_length)
{
    struct rich rich = rich_make_small();
    char *const text = manifests_write(&rich.snapshot, rich.state, &rich.sums, ret_length);
    rich_free(&rich);
    return text;
}

static enum stepd_status try_parse(const char *text, size_t length, struct stepd_error *reterr)
{
    struct manifest manifest;
    const enum stepd_status status = manifest_parse(text, length, &manifest, reterr);
    if (status == STEPD_OK)
        manifest_deinit(&manifest);
    return status;
}

/* ---- Damage ---------------------------------------------------------------------------------- */

static void manifest__with_any_bit_flipped__is_damaged(void **state)
{
    (void)state;
    struct stepd_error error;
    size_t length = 0;
    char *const text = write_small(&length);
    for (size_t i = 0; i < length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ 1 << bit);
            if (try_parse(text, length, &error) != STEPD_DATA_LOSS)
                fail_msg("bit %u of byte %zu of %zu: %s", bit, i, length, error.text);
            text[i] = (char)(text[i] ^ 1 << bit);
        }
    }
    assert_int_equal(try_parse(text, length, &error), STEPD_OK);
    free(text);
}

static void manifest__that_is_cut_anywhere__is_damaged(void **state)
{
    (void)state;
    struct stepd_error error;
    size_t length = 0;
    char *const text = write_small(&length);
    for (size_t n = 0; n < length; n++) {
        char *const cut = malloc(n + 1); /* of just that length */
        assert_non_null(cut);
        memcpy(cut, text, n);
        assert_int_equal(try_parse(cut, n, &error), STEPD_DATA_LOSS);
        free(cut);
    }
    assert_int_equal(try_parse(text, length + 1, &error), STEPD_DATA_LOSS);
    free(text);
}

static void manifest__that_is_too_long__is_not_looked_at(void **state)
{
    (void)state;
    struct stepd_error error;
    assert_int_equal(try_parse(NULL, MANIFEST_MAX_BYTES + 1, &error), STEPD_RESOURCE_EXHAUSTED);
    assert_string_equal(error.text, "the manifest is longer than 1024 MiB, which none is");
}

/* ---- Lies ------------------------------------------------------------------------------------ */

/* A copy in which one piece of text is another one, with the right checksum. */
static char *forge(const char *text, const char *piece, const char *by, size_t *ret_length)
{
    static const char before[] = "\"checksum\": \"";
    const char *const at = strstr(text, piece);
    if (at == NULL)
        fail_msg("'%s' does not stand in the manifest", piece);
    char *const forged = malloc(strlen(text) + strlen(by) + 1);
    assert_non_null(forged);
    (void)sprintf(forged, "%.*s%s%s", (int)(at - text), text, by, at + strlen(piece));
    *ret_length = strlen(forged);
    char *const digits = forged + *ret_length - strlen("\"\n}\n") - (CHECKSUM_TEXT_BYTES - 1);
    assert_memory_equal(digits - strlen(before), before, strlen(before));
    struct checksum *const checksum = checksum_create();
    char sum[CHECKSUM_TEXT_BYTES];
    assert_non_null(checksum);
    checksum_add(checksum, forged, (size_t)(digits - forged));
    checksum_text(checksum, sum);
    (void)checksum_destroy(checksum);
    memcpy(digits, sum, CHECKSUM_TEXT_BYTES - 1);
    return forged;
}

struct lie {
    const char *piece;
    const char *by;
    const char *text; /* what is said of it, behind "manifest.json: "; how it begins */
};

static const struct lie lies[] = {
    /* The whole */
    {"\"stepd-checkpoint\"", "\"stepd-model\"", "format cannot be \"stepd-model\": known are "},
    {"\"version\": 1", "\"version\": 0", "version must be 1"},
    {"\"version\": 1", "\"version\": 2", "version must be 1 where there are 2 files"},
    {"\"stepd\": \"1.2.3\"", "\"stepd\": \"\"",
     "stepd must be a name: 1 to 200 bytes that can be printed"},
    {"\"stepd\": \"1.2.3\"", "\"stepd\": \"1\", \"\\u001b[2J\": 1",
     "unknown key \"\\x1b[2J\": known are "},
    {"\"members\"", "\"member\"", "members is missing"},
    {"\"format\"", "\"files\"",
     "line 57 is no JSON, or there was no memory to read it: \"duplicate object key near '\\\"files\\\"'\""},
    {"\"format\": ", "\"format\": ,",
     "line 2 is no JSON, or there was no memory to read it: \"unexpected token near ','\""},
    /* The snapshot */
    {"\"incarnation\": 77", "\"incarnation\": -1",
     "snapshot: incarnation must be a whole number from 0 to 4611686018427387904"},
    {"\"incarnation\": 77", "\"incarnation\": \"18446744073709551615\"",
     "snapshot: incarnation must be a whole number from 0 to 4611686018427387904"},
    {"\"incarnation\": 77", "\"incarnation\": \"77\"",
     "snapshot: incarnation must be a whole number from 0 to 4611686018427387904"},
    {"\"incarnation\": 77", "\"incarnation\": 77.0",
     "snapshot: incarnation must be a whole number from 0 to 4611686018427387904"},
    {"\"started\": true", "\"started\": 1", "snapshot: started must be true or false"},
    {"\"halted\": null", "\"halted\": {\"code\": \"OK\", \"text\": \"\"}",
     "snapshot: halted: code is OK, and null says so"},
    {"\"halted\": null", "\"halted\": {\"code\": \"NOT_FIND\", \"text\": \"\"}",
     "snapshot: halted: code cannot be \"NOT_FIND\": did you mean 'NOT_FOUND'?"},
    {"\"halted\": null", "\"halted\": \"no\"", "snapshot: halted: it must be an object with keys"},
    {"{\"version\": 921", "{\"version\": \"as it was\"",
     "snapshot: version must be a whole number from 0 to 9223372036854775807"},
    /* The job */
    {"\"workers\": 2", "\"workers\": 5000", "job: workers must be a whole number from 1 to 4096"},
    {"\"workers\": 2", "\"workers\": 1", "slices: by_group[0]: ranks must be a list of at most 1"},
    {"\"mode\": \"sync\"", "\"mode\": \"sink\"",
     "job: mode cannot be \"sink\": did you mean 'sync'?"},
    {"\"mode\": \"sync\"", "\"mode\": \"async\"",
     "job: backup belongs to mode sync, and the job's is async"},
    {"\"slice_elements\": 256", "\"slice_elements\": 0",
     "job: slice_elements must be a whole number from 1 to 8388608"},
    {"\"slice_elements\": 256", "\"slice_elements\": 512",
     "slices: each has 5, and the job's definition makes 4 slices"},
    {"\"shards\": 2", "\"shards\": 100000", "job: shards must be a whole number from 1 to 4096"},
    {"\"backup\": 0", "\"backup\": 3",
     "job: backup is 3, and the job has 2 workers: a round must wait for one of them at least"},
    {"\"backup\": 0", "\"back_up\": 0",
     "job: a job has no setting 'back_up': did you mean 'backup'?"},
    {"\"backup\": 0", "\"backup\": {}",
     "job: backup must be a number, a list of at most 256, or a word"},
    {"\"lr\": ", "\"learning_rate\": ",
     "job: group 'g': adam has no hyperparameter 'learning_rate': known are "},
    {"\"lr\": 0.1", "\"lr\": -0.1",
     "job: group 'g': hyperparameter 'lr' of adam must be in [0, 1e+09], and -0.1 is not"},
    {"\"optimizer\": \"adam\"", "\"optimizer\": \"sgd\"",
     "job: group 'g': sgd has no hyperparameter 'beta1': known are "},
    {"\"kind\": \"constant\"", "\"kind\": \"constantly\"",
     "job: group 'g': unknown schedule 'constantly': did you mean 'constant'?"},
    {"\"kind\": \"constant\"", "\"kind\": \"constant\", \"schedules\": {}",
     "job: groups[0]: schedule: schedules must be a list of at most 16"},
    {"\"match\": \"*\"", "\"match\": \"conv*\"",
     "job: job 'r\xc3\xaf"
     "ch job': no group matches tensor 'fc.weight' (2 dimensions); add one, such as match: \"*\""},
    {"\"match\": \"*\"", "\"match\": \"*\", \"ndim\": [9]",
     "job: groups[0]: ndim must be a list of whole numbers from 0 to 8"},
    {"\"shape\": [20, 30]", "\"shape\": [20, 0]",
     "job: job 'r\xc3\xaf"
     "ch job': tensor 'fc.weight': shape 20x0 has a dimension of 0"},
    {"\"shape\": [20, 30]", "\"shape\": [30, 30]",
     "slices: each has 5, and the job's definition makes 6 slices"},
    {"\"shape\": [20, 30]", "\"shape\": [\"18446744073709551615\", \"18446744073709551615\"]",
     "job: job 'r\xc3\xaf"
     "ch job': tensor 'fc.weight': shape 18446744073709551615x18446744073709551615 has more than 68719476736 elements"},
    {"\"shape\": [20, 30]", "\"shape\": [1,1,1,1,1,1,1,1,1]",
     "job: tensors[0]: shape must be a list of at most 8"},
    {"\"init\": \"normal\"", "\"init\": \"norm\"",
     "job: tensors[0]: init cannot be \"norm\": did you mean 'normal'?"},
    {"\"name\": \"fc.bias\"", "\"name\": \"fc.weight\"",
     "job: job 'r\xc3\xaf"
     "ch job': tensor 'fc.weight' is defined already; tensor 1 needs another name"},
    {"\"name\": \"fc.bias\"", "\"name\": \"fc.\\u0007bias\"",
     "job: tensors[1]: name must be a name: 1 to 200 bytes that can be printed"},
    {"\"b\": 1}", "\"b\": \"inf\"}",
     "job: job 'r\xc3\xaf"
     "ch job': tensor 'fc.weight': initial values of 0 and inf do not fit a float"},
    {"\"b\": 1}", "\"b\": \"nan:7ff0000000000000\"}",
     "job: tensors[0]: b must be a number, \"inf\", \"-inf\" or \"nan:\" with its bits"},
    /* Members */
    {"\"lease_ms\": ", "\"lease_ms\": 9",
     "members[0]: lease_ms must be a whole number from 1000 to 3600000"},
    {"\"session\": \"", "\"session\": \"0",
     "members[0]: session must be 32 digits of 0 to 9 and a to f"},
    {"\"session\": \"", "\"session\": \"g",
     "members[0]: session must be 32 digits of 0 to 9 and a to f"},
    {"\"rank\": 0, \"worker\"", "\"rank\": 4096, \"worker\"",
     "members[0]: rank must be a whole number from 0 to 4095"},
    {"\"given_up\": null", "\"given_up\": {\"code\": \"ABORTED\", \"text\": \"\"}",
     "members[0]: given_up must be null of a member that has left"},
    {"\"rank\": 0, \"worker\"", "\"rank\": 1, \"worker\"",
     "the snapshot of job 'r\xc3\xaf"
     "ch job' has rank 1, and its 2 ranks must rise"},
    {"\"left\": true, \"given_up\": null, \"until\": 716",
     "\"left\": false, \"given_up\": {\"code\": \"ABORTED\", \"text\": \"\"}, \"until\": 99716",
     "the snapshot of job 'r\xc3\xaf"
     "ch job' has rank 0 as a member until version 99716, and its slices are at 886: that is "
     "more than 65536 ahead"},
    {"\"from\": 169", "\"from\": 2147483648",
     "the snapshot of job 'r\xc3\xaf"
     "ch job' has rank 0 as a member from version 2147483648, and its slices are at 886: that is "
     "more than 65536 ahead"},
    /* History */
    {"\"groups_changed\": []", "\"groups_changed\": [{\"group\": 1}]",
     "groups_changed[0]: group must be a whole number from 0 to 0"},
    {"\"groups_changed\": []", "\"groups_changed\": 0",
     "groups_changed must be a list of at most 66560"},
    {"\"groups\": [],\n    \"coming\"", "\"groups\": [{}, {}],\n    \"coming\"",
     "history: groups has 2, and the job 1"},
    {"\"groups\": [],\n    \"coming\"", "\"groups\": [{\"past\": 0}],\n    \"coming\"",
     "history: groups[0]: past must be null, or the index of one of the 0 in groups_changed"},
    {"\"coming\": []", "\"coming\": [{\"number\": 1, \"version\": 1, \"changes\": []}]",
     "history: coming[0]: changes must come with a list of what the groups are now"},
    {"\"trail\": []", "\"trail\": [[]]", "history: trail[0]: it must be an object with keys"},
    /* Slices */
    {"\"by_group\": [", "\"by_group\": [{}, ", "slices: by_group has 2, and the job 1 groups"},
    {"{\"group\": \"g\"", "{\"group\": \"h\"",
     "slices: by_group[0]: group must be 'g', as the job's definition has it"},
    {"\"t\": 873, ", "", "slices: by_group[0]: t is missing"},
    {"\"t\": 873", "\"t\": 873, \"u\": 1", "slices: by_group[0]: unknown key \"u\": known are "},
    {"\"views\": [\"evaluation\"", "\"views\": [\"ema\"",
     "slices: by_group[0]: views must be a list of training, evaluation, ema and swa, each at most once"},
    {"\"views\": [\"evaluation\"", "\"views\": [\"eval\"",
     "slices: by_group[0]: views must be a list of training, evaluation, ema and swa, each at most once"},
    {"\"changed\": null", "\"changed\": 0",
     "slices: by_group[0]: changed must be null, or the index of one of the 0 in groups_changed"},
    {"\"phase\": 0", "\"phase\": 1",
     "slices: by_group[0]: phase must be a whole number from 0 to 0"},
    {"\"exp_avg_sq\"", "\"exp_avg\"",
     "slices: by_group[0]: slots 1 must be \"exp_avg_sq\", as adam keeps it"},
    {"\"slots\": [\"exp_avg\", \"exp_avg_sq\"]", "\"slots\": [\"exp_avg\"]",
     "slices: by_group[0]: slots 1 must be \"exp_avg_sq\", as adam keeps it"},
    {"\"scalars\": [", "\"scalars\": [\"nan\", ",
     "slices: by_group[0]: scalars must be a list of numbers"},
    {"[[\"fc.weight\", 0, 200]]", "[[\"fc.weight\", 0, 199]]",
     "slices: each[0]: parts 0 must be [\"fc.weight\", 0, 200], as the job's definition cuts it"},
    {"[[\"fc.weight\", 0, 200]]", "[[\"fc.weight\", 0, 200], [\"fc.bias\", 0, 20]]",
     "slices: each[0]: parts has 2, and the job's definition cuts the slice so that it has 1"},
    {"[[\"fc.weight\", 0, 200]]", "[[0, 0, 200]]",
     "slices: each[0]: parts 0 must be [\"fc.weight\", 0, 200], as the job's definition cuts it"},
    {"{\"parts\": [[\"fc.weight\", 0, 200]]},", "",
     "slices: each has 4, and the job's definition makes 5 slices"},
    {"{\"parts\": [[\"fc.weight\", 0, 200]]", "{\"parts\": [[\"fc.weight\", 0, 200]], \"x\": 0",
     "slices: each[0]: unknown key \"x\": known are "},
    {"[[149, ", "[[0, ",
     "slices: by_group[0]: ranks[0]: results 0 must be [clock, version, outcome]"},
    {"[[149, ", "[[150, ",
     "slices: by_group[0]: ranks[0]: results 1 must be [clock, version, outcome]"},
    {"[[149, ", "[[9149, ",
     "slices: by_group[0]: ranks[0]: results 0 must be [clock, version, outcome]"},
    /* Sums */
    {"\"name\": \"model.safetensors\"", "\"name\": \"../model.safetensors\"",
     "files[0]: name must be that of a file beside the manifest, without '/' and no '.' first"},
    {"\"name\": \"model.safetensors\"", "\"name\": \"optimizer.safetensors\"",
     "'optimizer.safetensors' is listed twice, with a checksum each"},
    {"\"model.safetensors/fc.bias\"", "\"model/fc.bias\"",
     "arrays: model/fc.bias must begin with the name of one of the files and '/'"},
    {"\"model.safetensors/fc.bias\": \"c", "\"model.safetensors/fc.bias\": \"C",
     "arrays: model.safetensors/fc.bias must be 32 digits of 0 to 9 and a to f"},
};

static void manifest__with_a_lie__says_which_key_is_wrong(void **state)
{
    (void)state;
    size_t length = 0;
    size_t wrong = 0;
    char *const text = write_small(&length);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        char expected[STEPD_ERROR_TEXT_BYTES];
        struct stepd_error error = {.text = "it is taken"};
        char *const forged = forge(text, lies[i].piece, lies[i].by, &length);
        (void)try_parse(forged, length, &error);
        (void)snprintf(expected, sizeof expected, "manifest.json: %s", lies[i].text);
        const bool right = strncmp(error.text, expected, strlen(expected)) == 0;
        if (!right)
            print_error("%s: %s\n", lies[i].by, error.text);
        wrong += !right;
        free(forged);
    }
    assert_int_equal(wrong, 0);
    free(text);
}

static void manifest__of_a_later_version__asks_for_a_newer_stepd(void **state)
{
    (void)state;
    struct stepd_error error;
    size_t length = 0;
    char *const text = write_small(&length);
    char *const forged = forge(text, "\"version\": 1", "\"version\": 3, \"news\": 1", &length);
    assert_int_equal(try_parse(forged, length, &error), STEPD_UNIMPLEMENTED);
    assert_string_equal(error.text,
                        "manifest.json: the checkpoint is of version 3 of its format, and this "
                        "stepd reads version 2; take a newer stepd");
    free(forged);
    free(text);
}

/* As somebody may have edited it who knows what he does. */
static void manifest__with_another_number_of_shards__has_the_same_slices(void **state)
{
    (void)state;
    size_t length = 0;
    char *const text = write_small(&length);
    char *const forged = forge(text, "\"shards\": 2", "\"shards\": 5", &length);
    struct manifest manifest = manifests_read(forged, length);
    assert_int_equal(manifest.snapshot.job->shards, 5);
    assert_int_equal(manifest.snapshot.job->layout.slices, 5);
    manifest_deinit(&manifest);
    free(forged);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest__with_any_bit_flipped__is_damaged),
        cmocka_unit_test(manifest__that_is_cut_anywhere__is_damaged),
        cmocka_unit_test(manifest__that_is_too_long__is_not_looked_at),
        cmocka_unit_test(manifest__with_a_lie__says_which_key_is_wrong),
        cmocka_unit_test(manifest__of_a_later_version__asks_for_a_newer_stepd),
        cmocka_unit_test(manifest__with_another_number_of_shards__has_the_same_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
