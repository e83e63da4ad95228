/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing and reading when the n-th allocation fails, for n = 1, 2, ..., until it succeeds:
 * jansson's allocations count too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "rich.h"
#include "tests/lib/manifests.h"
#include "tests/lib/scarcity.h"

/* Large enough for groups that have changed and will. */
enum { SEED = 1 };

static void manifest_encode__without_memory__says_so(void **state)
{
    (void)state;
    struct rich rich = rich_make(SEED, STEPD_ASYNC);
    const struct job_state *const share = rich.state;
    const struct manifest_source source = {
        .stepd = "1", .snapshot = &rich.snapshot, .share = &share, .shares = 1, .sums = &rich.sums};
    struct stepd_error error;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    char *text = NULL;
    size_t length = 0;
    size_t n = 0;
    for (; status != STEPD_OK; n++) {
        scarcity_after(n);
        status = manifest_encode(&source, &text, &length, &error);
        scarcity_after(SCARCITY_NEVER);
        if (status != STEPD_OK && status != STEPD_RESOURCE_EXHAUSTED)
            fail_msg("allocation %zu: %s", n, error.text);
        assert_int_equal(text == NULL, status != STEPD_OK);
    }
    assert_true(n > 500);
    struct manifest manifest = manifests_read(text, length);
    manifest_deinit(&manifest);
    free(text);
    rich_free(&rich);
}

/* jansson 2.14 calls a token that it has no memory for a wrong one. */
static void manifest_parse__without_memory__says_so_and_keeps_nothing(void **state)
{
    (void)state;
    struct rich rich = rich_make(SEED, STEPD_ASYNC);
    struct stepd_error error;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    struct manifest manifest = {.stepd = NULL};
    size_t length = 0;
    size_t n = 0;
    size_t refused = 0;
    char *const text = manifests_write(&rich.snapshot, rich.state, &rich.sums, &length);
    for (; status != STEPD_OK; n++) {
        scarcity_after(n);
        status = manifest_parse(text, length, &manifest, &error);
        scarcity_after(SCARCITY_NEVER);
        refused += status == STEPD_INVALID_ARGUMENT;
        assert_int_equal(manifest.stepd == NULL, status != STEPD_OK);
    }
    assert_true(n > 500 && refused < n / 2);
    manifests_fill(&manifest, rich.state);
    manifests_assert_same(&rich.snapshot, rich.state, &manifest.snapshot, manifest.state);
    manifest_deinit(&manifest);
    free(text);
    rich_free(&rich);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifest_encode__without_memory__says_so),
        cmocka_unit_test(manifest_parse__without_memory__says_so_and_keeps_nothing),
    };
    json_set_alloc_funcs(malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
