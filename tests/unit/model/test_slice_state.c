/* SPDX-License-Identifier: Apache-2.0
 *
 * The room that a slice has while its state is held, what that costs, and what becomes of it where
 * there is no memory. What is in a state is the business of the core's tests, which step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/job_state.h"
#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

/* ---- Fixture --------------------------------------------------------------------------------- */

static const uint64_t shape[] = {30, 5};

struct fixture {
    struct job *job;
    struct slice slice;
    struct block block;
};

static void setup(struct fixture *fixture, enum stepd_mode mode, const char *settings,
                  const struct stepd_group *group)
{
    struct stepd_define_job def = draft_definition();
    def.mode = mode;
    def.settings = settings_of(settings);
    def.group = group;
    def.workers = 2;
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 2);
    fixture->job = draft_job(&def, &tensor, 1);
    assert_int_equal(draft_slice_init(&fixture->slice, fixture->job, 0, &fixture->block), STEPD_OK);
}

static void setup_plain(struct fixture *fixture)
{
    const struct stepd_group group = settings_group("adam", "ema_decay=0.5");
    setup(fixture, STEPD_SYNC, "", &group);
}

static void teardown(struct fixture *fixture)
{
    draft_slice_deinit(&fixture->slice, &fixture->block);
    (void)job_unref(fixture->job);
}

static bool publish(struct slice *slice)
{
    struct slice_room room;
    if (!slice_find_room(slice, &room))
        return false;
    slice_publish(slice, &room);
    return true;
}

static void take(struct fixture *fixture, struct slice_state *state)
{
    assert_int_equal(slice_state_init(state, &fixture->slice, NULL), STEPD_OK);
    slice_state_take(state);
    slice_state_keep(state);
}

/* ---- Room ------------------------------------------------------------------------------------ */

static void slice__that_is_held_and_read__has_room_for_a_step(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_state taken;
    setup_plain(&f);
    assert_true(publish(&f.slice));
    take(&f, &taken);
    assert_true(publish(&f.slice));
    struct weights *read = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
    assert_true(publish(&f.slice));
    weights_unref(read);
    slice_state_deinit(&taken);
    teardown(&f);
}

static void slice__that_is_held_and_read_twice__has_no_room(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_state taken;
    setup_plain(&f);
    take(&f, &taken);
    struct weights *read[2];
    for (size_t i = 0; i < 2; i++) {
        assert_true(publish(&f.slice));
        read[i] = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
    }
    assert_false(publish(&f.slice)); /* as without a snapshot: two versions are read */
    weights_unref(read[0]);
    weights_unref(read[1]);
    slice_state_deinit(&taken);
    teardown(&f);
}

static void room__that_nobody_needs_any_more__is_given_back_by_the_next_step(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_state taken;
    setup_plain(&f);
    take(&f, &taken);
    struct weights *read = NULL;
    assert_true(publish(&f.slice));
    read = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
    assert_true(publish(&f.slice)); /* into the spare room */
    weights_unref(read);
    slice_state_deinit(&taken);
    assert_non_null(f.slice.spare); /* the weights stand in it */
    assert_true(publish(&f.slice));
    assert_null(f.slice.spare);
    teardown(&f);
}

static void room__that_was_not_needed__is_given_back_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_state taken;
    setup_plain(&f);
    take(&f, &taken);
    assert_true(publish(&f.slice));
    slice_state_deinit(&taken);
    assert_null(f.slice.spare);
    teardown(&f);
}

static void state__taken_of_weights_in_the_spare_room__needs_no_other(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_state taken;
    setup_plain(&f);
    take(&f, &taken);
    assert_true(publish(&f.slice));
    struct weights *read = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
    assert_true(publish(&f.slice));
    weights_unref(read);
    slice_state_deinit(&taken);
    const float *const spare = f.slice.spare;
    take(&f, &taken);
    assert_ptr_equal(f.slice.spare, spare);
    assert_true(publish(&f.slice));
    read = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
    assert_true(publish(&f.slice));
    weights_unref(read);
    slice_state_deinit(&taken);
    teardown(&f);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void job_state_bytes__of_whatever_job__is_what_its_state_takes(void **state)
{
    (void)state;

    static const struct {
        enum stepd_mode mode;
        const char *settings;
        const char *optimizer;
        const char *group;
    } rows[] = {
        {STEPD_SYNC, "", "sgd", ""},
        {STEPD_SYNC, "", "adam", "ema_decay=0.5 swa_start=2"},
        {STEPD_SYNC, "", "nesterov", "form=interim"},
        {STEPD_SYNC, "", "swats", ""},
        {STEPD_SYNC, "", "lbfgs", "history_size=3"},
        {STEPD_ASYNC, "delay_compensation=0.5", "adam", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = settings_group(rows[i].optimizer, rows[i].group);
        struct fixture f;
        struct slice_state taken;
        setup(&f, rows[i].mode, rows[i].settings, &group);
        const uint64_t before = scarcity_had_in_all();
        take(&f, &taken);
        assert_int_equal(scarcity_had_in_all() - before, job_state_bytes(f.job));
        slice_state_deinit(&taken);
        teardown(&f);
    }
}

static void slice_state_init__without_memory__leaves_the_slice_as_it_was(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("swats", "ema_decay=0.5");
    struct fixture f;
    setup(&f, STEPD_ASYNC, "delay_compensation=0.5", &group);
    struct slice_state taken;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        scarcity_after(allowed);
        status = slice_state_init(&taken, &f.slice, NULL);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(f.slice.pinned, status == STEPD_OK);
        assert_int_equal(f.slice.spare != NULL, status == STEPD_OK);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(allowed, 7); /* slots, scalars, ranks and their backups, room; and one more */
    slice_state_deinit(&taken);
    teardown(&f);
}

static void job_state_gather__without_memory__says_so(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("swats", "ema_decay=0.5");
    struct fixture f;
    setup(&f, STEPD_ASYNC, "delay_compensation=0.5", &group);
    struct job_state *share = NULL;
    assert_int_equal(job_state_create(f.job, JOB_STATE_AS_IT_STANDS, &share), STEPD_OK);
    take(&f, &share->slice[0]);
    const struct job_state *const shares[] = {share};
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct job_state *whole = NULL;
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_after(allowed);
        status = job_state_gather(shares, 1, &whole, &error);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(error.code, status);
        assert_int_equal(whole != NULL, status == STEPD_OK);
        (void)job_state_unref(whole);
    }
    assert_int_equal(status, STEPD_OK);
    assert_int_equal(allowed, 8);
    (void)job_state_unref(share);
    teardown(&f);
}

/* ---- Shares ---------------------------------------------------------------------------------- */

static void assert_not_gathered(const struct job_state *const *share, size_t shares,
                                const char *words)
{
    struct job_state *whole = NULL;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(job_state_gather(share, shares, &whole, &error), STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.text);
}

static void job_state_gather__of_shares_that_lack_a_slice__names_it(void **state)
{
    (void)state;
    struct fixture f;
    setup_plain(&f);
    struct job_state *share = NULL;
    assert_int_equal(job_state_create(f.job, 0, &share), STEPD_OK);
    const struct job_state *const shares[] = {share};
    assert_not_gathered(shares, 1, "no share of the state of job 'j' has w");
    (void)job_state_unref(share);
    teardown(&f);
}

static void job_state_gather__of_shares_of_two_versions__says_which(void **state)
{
    (void)state;
    struct fixture f;
    setup_plain(&f);
    struct job_state *share[2];
    for (uint64_t i = 0; i < 2; i++)
        assert_int_equal(job_state_create(f.job, 3 + i, &share[i]), STEPD_OK);
    const struct job_state *const shares[] = {share[0], share[1]};
    assert_not_gathered(shares, 2, "are of two versions: 3 and 4");
    for (size_t i = 0; i < 2; i++)
        (void)job_state_unref(share[i]);
    teardown(&f);
}

/* ---- States that somebody has read from bytes ------------------------------------------------ */

static void assert_not_restored(const struct slice_state *wrong, const struct job *job,
                                const char *words)
{
    struct slice slice;
    struct block block;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(draft_slice_init(&slice, job, 0, &block), STEPD_OK);
    assert_int_equal(slice_restore(&slice, wrong, &error), STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, words) == NULL)
        fail_msg("'%s' is not in: %s", words, error.text);
    draft_slice_deinit(&slice, &block);
}

static void slice_restore__of_a_state_that_does_not_fit__says_what(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("swats", "");
    struct fixture f;
    struct slice_state right;
    setup(&f, STEPD_ASYNC, "delay_compensation=0.5", &group);
    take(&f, &right);
    struct slice_state wrong = right;
    wrong.taken = false;
    assert_not_restored(&wrong, f.job, "has 0 slices, and the job needs 1");
    wrong = right;
    wrong.elements++;
    assert_not_restored(&wrong, f.job, "has 151 elements, and the job needs 150");
    wrong = right;
    wrong.phase = 1;
    assert_not_restored(&wrong, f.job, "has 1 phases behind it");
    wrong = right;
    wrong.t = 1;
    assert_not_restored(&wrong, f.job, "has 1 updates, more than versions");
    wrong = right;
    wrong.phase_began = 1;
    assert_not_restored(&wrong, f.job, "has 1 updates before its phase");
    wrong = right;
    wrong.view[STEPD_EVALUATION] = NULL;
    assert_not_restored(&wrong, f.job, "has 0 versions of the weights");
    wrong = right;
    wrong.view[STEPD_EMA] = wrong.view[STEPD_EVALUATION];
    assert_not_restored(&wrong, f.job, "views that its group does not keep");
    wrong = right;
    wrong.slot[1] = NULL;
    assert_not_restored(&wrong, f.job, "has 0 floats in a slot of its optimizer");
    wrong = right;
    wrong.scalars++;
    assert_not_restored(&wrong, f.job, "scalars of its optimizer");
    wrong = right;
    wrong.ranks = 1;
    assert_not_restored(&wrong, f.job, "has 1 ranks, and the job needs 2");
    struct rank_state ranks[2] = {right.by_rank[0], right.by_rank[1]};
    ranks[1].backup = NULL;
    wrong = right;
    wrong.by_rank = ranks;
    assert_not_restored(&wrong, f.job, "has 0 backups of a rank's weights");
    slice_state_deinit(&right);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice__that_is_held_and_read__has_room_for_a_step),
        cmocka_unit_test(slice__that_is_held_and_read_twice__has_no_room),
        cmocka_unit_test(room__that_nobody_needs_any_more__is_given_back_by_the_next_step),
        cmocka_unit_test(room__that_was_not_needed__is_given_back_at_the_end),
        cmocka_unit_test(state__taken_of_weights_in_the_spare_room__needs_no_other),
        cmocka_unit_test(job_state_bytes__of_whatever_job__is_what_its_state_takes),
        cmocka_unit_test(slice_state_init__without_memory__leaves_the_slice_as_it_was),
        cmocka_unit_test(job_state_gather__without_memory__says_so),
        cmocka_unit_test(job_state_gather__of_shares_that_lack_a_slice__names_it),
        cmocka_unit_test(job_state_gather__of_shares_of_two_versions__says_which),
        cmocka_unit_test(slice_restore__of_a_state_that_does_not_fit__says_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
