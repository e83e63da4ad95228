/* SPDX-License-Identifier: Apache-2.0
 *
 * The views of a slice and the phases of its group: what has buffers, what a step makes, what
 * readers keep, and what a new phase begins with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/slice.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

static const uint64_t hundred[] = {100};
static const uint64_t six_by_five[] = {6, 5};
static const uint64_t five[] = {5};

/* One slice of a hundred weights at 1.5, and one worker. */
struct fixture {
    struct job *job;
    struct slice slice;
    struct block block;
};

static void setup(struct fixture *fixture, const struct stepd_group *group)
{
    struct stepd_define_job def = draft_definition();
    def.group = group;
    struct stepd_tensor_def tensor = draft_tensor("w", hundred, 1);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 1.5};
    fixture->job = draft_job(&def, &tensor, 1);
    assert_int_equal(draft_slice_init(&fixture->slice, fixture->job, 0, &fixture->block), STEPD_OK);
}

/* All views: an interim point, an average, and a mean of the updates 3, 5, 7, ... */
static void setup_views(struct fixture *fixture)
{
    const struct stepd_group group =
        settings_group("nesterov", "form=interim ema_decay=0.25 swa_start=3 swa_every=2");
    setup(fixture, &group);
}

static void teardown(struct fixture *fixture)
{
    draft_slice_deinit(&fixture->slice, &fixture->block);
    (void)job_unref(fixture->job);
}

static struct weights *current(struct fixture *fixture)
{
    return slice_view(&fixture->slice, STEPD_EVALUATION);
}

static void publish(struct slice *slice)
{
    struct slice_room room;
    assert_true(slice_find_room(slice, &room));
    slice_publish(slice, &room);
}

/* ---- Buffers --------------------------------------------------------------------------------- */

static void slice_init__of_any_group__has_two_buffers_for_each_view_that_it_keeps(void **state)
{
    (void)state;

    static const struct {
        const char *optimizer;
        const char *settings;
        bool kept[STEPD_VIEWS];
    } rows[] = {
        {"sgd", "", {[STEPD_EVALUATION] = true}},
        {"sgd", "ema_decay=0.5", {[STEPD_EVALUATION] = true, [STEPD_EMA] = true}},
        {"sgd", "swa_start=9", {[STEPD_EVALUATION] = true, [STEPD_SWA] = true}},
        {"sgd", "swa_every=9", {[STEPD_EVALUATION] = true, [STEPD_SWA] = true}},
        {"nesterov", "", {[STEPD_EVALUATION] = true}},
        {"nesterov", "form=classic", {[STEPD_EVALUATION] = true}},
        {"nesterov", "form=interim", {[STEPD_EVALUATION] = true, [STEPD_TRAINING] = true}},
        {"rmsprop_nesterov", "", {[STEPD_EVALUATION] = true, [STEPD_TRAINING] = true}},
        {"rmsprop_nesterov", "form=classic", {[STEPD_EVALUATION] = true}},
        {"nesterov",
         "form=interim ema_decay=0.5 swa_start=1",
         {[STEPD_EVALUATION] = true,
          [STEPD_TRAINING] = true,
          [STEPD_EMA] = true,
          [STEPD_SWA] = true}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stepd_group group = settings_group(rows[i].optimizer, rows[i].settings);
        struct fixture f;
        setup(&f, &group);
        for (int v = 0; v < STEPD_VIEWS; v++) {
            for (size_t b = 0; b < 2; b++)
                assert_int_equal(f.slice.view[v].buffer[b].values != NULL, rows[i].kept[v]);
        }
        teardown(&f);
    }
}

static void slice_init__of_a_phase_that_looks_ahead__has_buffers_for_its_point(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(9, "nesterov", "form=interim");
    struct stepd_group group = settings_group("sgd", "");
    group.phases = 1;
    group.phase = &phase;
    struct fixture f;
    setup(&f, &group);
    assert_non_null(f.slice.view[STEPD_TRAINING].buffer[1].values);
    publish(&f.slice); /* sgd makes no point of its own */
    assert_ptr_equal(slice_view(&f.slice, STEPD_TRAINING), current(&f));
    teardown(&f);
}

static void slice_init__of_a_frozen_group__has_one_buffer_and_no_state(void **state)
{
    (void)state;
    struct stepd_group group = settings_group("nesterov", "form=interim ema_decay=0.5 swa_start=1");
    group.frozen = true;
    struct fixture f;
    setup(&f, &group);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        assert_int_equal(f.slice.view[v].buffer[0].values != NULL, v == STEPD_EVALUATION);
        assert_null(f.slice.view[v].buffer[1].values);
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), current(&f));
    }
    assert_null(f.slice.slot[0]);
    assert_int_equal(f.slice.slots_floats, 0);
    teardown(&f);
}

/* ---- What a step makes ----------------------------------------------------------------------- */

static void slice_view__before_any_step__is_the_weights_themselves(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (int v = 0; v < STEPD_VIEWS; v++)
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), current(&f));
    teardown(&f);
}

static void slice_view__that_is_never_made__stays_the_weights(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("adam", "");
    struct fixture f;
    setup(&f, &group);
    publish(&f.slice);
    for (int v = 0; v < STEPD_VIEWS; v++)
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), current(&f));
    teardown(&f);
}

static void slice_find_room__of_all_views__is_for_those_that_are_due(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (uint64_t update = 1; update <= 7; update++) {
        struct slice_room room;
        assert_true(slice_find_room(&f.slice, &room));
        for (int v = 0; v < STEPD_VIEWS; v++) {
            const bool due = v != STEPD_SWA || (update >= 3 && update % 2 == 1);
            assert_int_equal(room.view[v] != NULL, due);
        }
        slice_publish(&f.slice, &room);
        for (int v = 0; v < STEPD_VIEWS; v++)
            assert_int_equal(slice_view(&f.slice, (enum stepd_view)v)->version, update);
        assert_int_equal(slice_view(&f.slice, STEPD_SWA) == current(&f), update < 3);
    }
    assert_int_equal(f.slice.swa_count, 3);
    teardown(&f);
}

/* Updates up to `most` whose weights the mean takes, as bits. */
static uint64_t taken_by_mean(const char *settings, uint64_t most)
{
    const struct stepd_group group = settings_group("sgd", settings);
    struct fixture f;
    setup(&f, &group);
    uint64_t taken = 0;
    for (uint64_t update = 1; update <= most; update++) {
        struct slice_room room;
        assert_true(slice_find_room(&f.slice, &room));
        taken |= (uint64_t)(room.view[STEPD_SWA] != NULL) << update;
        slice_publish(&f.slice, &room);
    }
    teardown(&f);
    return taken;
}

static void slice_find_room__of_a_mean__is_for_swa_start_and_each_swa_every_th_on(void **state)
{
    (void)state;
    assert_int_equal(taken_by_mean("swa_start=1", 5), 0x3E);
    assert_int_equal(taken_by_mean("swa_start=3", 5), 0x38);
    assert_int_equal(taken_by_mean("swa_start=2 swa_every=3", 9), 1u << 2 | 1u << 5 | 1u << 8);
    assert_int_equal(taken_by_mean("swa_start=0", 3), 0xE);
    assert_int_equal(taken_by_mean("swa_start=0 swa_every=3", 7), 1u << 3 | 1u << 6);
    assert_int_equal(taken_by_mean("swa_every=4", 9), 1u << 4 | 1u << 8);
}

static void slice_publish_same__of_views__raises_their_versions_and_makes_none(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (int i = 0; i < 3; i++)
        publish(&f.slice);
    const struct weights *before[STEPD_VIEWS];
    for (int v = 0; v < STEPD_VIEWS; v++)
        before[v] = slice_view(&f.slice, (enum stepd_view)v);
    slice_publish_same(&f.slice);
    assert_int_equal(f.slice.version, 4);
    assert_int_equal(f.slice.t, 3);
    assert_int_equal(f.slice.swa_count, 1);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), before[v]);
        assert_int_equal(before[v]->version, 4);
    }
    struct slice_room room;
    assert_true(slice_find_room(&f.slice, &room));
    assert_null(room.view[STEPD_SWA]); /* what comes next is the fourth update */
    teardown(&f);
}

/* ---- Readers --------------------------------------------------------------------------------- */

static void slice_find_room__while_a_view_is_read__is_its_other_buffer(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (int i = 0; i < 3; i++)
        publish(&f.slice);
    struct weights *held[STEPD_VIEWS];
    for (int v = 0; v < STEPD_VIEWS; v++)
        held[v] = weights_ref(slice_view(&f.slice, (enum stepd_view)v));
    publish(&f.slice);
    publish(&f.slice); /* the fifth makes all of them again */
    for (int v = 0; v < STEPD_VIEWS; v++) {
        assert_ptr_not_equal(slice_view(&f.slice, (enum stepd_view)v), held[v]);
        weights_unref(held[v]);
    }
    teardown(&f);
}

static void
slice_find_room__while_readers_hold_both_of_a_view__is_none_where_it_is_due(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (int i = 0; i < 3; i++)
        publish(&f.slice);
    struct weights *of_update_3 = weights_ref(slice_view(&f.slice, STEPD_SWA));
    publish(&f.slice);
    publish(&f.slice);
    struct weights *of_update_5 = weights_ref(slice_view(&f.slice, STEPD_SWA));
    assert_ptr_not_equal(of_update_3, of_update_5);
    publish(&f.slice); /* the sixth makes no SWA */
    struct slice_room room;
    assert_false(slice_find_room(&f.slice, &room));
    weights_unref(of_update_3);
    assert_true(slice_find_room(&f.slice, &room));
    assert_ptr_equal(room.view[STEPD_SWA], of_update_3);
    weights_unref(of_update_5);
    teardown(&f);
}

/* ---- Phases ---------------------------------------------------------------------------------- */

/* A group that looks ahead, and something else from a step on. */
static void setup_phases(struct fixture *fixture, uint64_t from, const char *optimizer)
{
    static struct stepd_phase later;
    later = settings_phase(from, optimizer, "");
    struct stepd_group group = settings_group("nesterov", "form=interim");
    group.phases = 1;
    group.phase = &later;
    setup(fixture, &group);
}

static void slice_enter__of_a_new_phase__clears_the_slots_and_the_point_ahead(void **state)
{
    (void)state;
    struct fixture f;
    setup_phases(&f, 2, "adam");
    assert_null(f.slice.slot[1]);
    assert_int_equal(f.slice.slots_floats, 2 * 112); /* for adam, in whole cache lines */
    publish(&f.slice);
    publish(&f.slice);
    for (size_t i = 0; i < 100; i++)
        f.slice.slot[0][i] = 7;
    slice_enter(&f.slice, 1);
    assert_true(f.slice.slot[0][0] == 7.0F); /* it is the same phase */
    assert_ptr_not_equal(slice_view(&f.slice, STEPD_TRAINING), current(&f));
    assert_int_equal(f.slice.phase_began, 0);
    slice_enter(&f.slice, 2);
    assert_string_equal(f.slice.phase->optimizer->name, "adam");
    for (size_t i = 0; i < 100; i++)
        assert_true(f.slice.slot[0][i] == 0.0F && f.slice.slot[1][i] == 0.0F);
    assert_ptr_equal(slice_view(&f.slice, STEPD_TRAINING), current(&f));
    teardown(&f);
}

static void slice_enter__of_a_new_phase__counts_its_updates_anew(void **state)
{
    (void)state;
    struct fixture f;
    setup_phases(&f, 3, "adam");
    publish(&f.slice);
    slice_publish_same(&f.slice); /* version 2, t 1 */
    publish(&f.slice);
    slice_enter(&f.slice, 3);
    assert_int_equal(f.slice.phase_began, 2);
    assert_int_equal(f.slice.t, 2);
    teardown(&f);
}

static void slice_enter__of_a_new_phase__clears_the_scalars(void **state)
{
    (void)state;
    struct fixture f;
    setup_phases(&f, 1, "lbfgs");
    for (size_t i = 0; i < f.slice.scalars; i++)
        f.slice.scalar[i] = 7.0;
    assert_true(f.slice.scalars > 0);
    slice_enter(&f.slice, 1);
    for (size_t i = 0; i < f.slice.scalars; i++)
        assert_true(f.slice.scalar[i] == 0.0);
    teardown(&f);
}

static void slice_enter__while_the_point_ahead_is_read__leaves_it_to_its_reader(void **state)
{
    (void)state;
    struct fixture f;
    setup_phases(&f, 1, "sgd");
    publish(&f.slice);
    struct weights *held = weights_ref(slice_view(&f.slice, STEPD_TRAINING));
    slice_enter(&f.slice, 1);
    assert_int_equal(held->refs, 1);
    struct slice_room room;
    assert_true(slice_find_room(&f.slice, &room));
    assert_null(room.view[STEPD_TRAINING]);
    weights_unref(held);
    teardown(&f);
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

static void slice_init__of_a_row_of_whole_tensors__joins_the_slots_of_its_parts(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("adafactor", "");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.slice_elements = 4096; /* so that a is small enough to be packed */
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six_by_five, 2),
                                              draft_tensor("b", five, 1)};
    struct job *job = draft_job(&def, tensor, 2);
    struct slice slice;
    struct block block;
    assert_int_equal(draft_slice_init(&slice, job, 0, &block), STEPD_OK);
    assert_int_equal(slice.shapes, 2);
    assert_int_equal(slice.shape[0].dims, 2);
    assert_int_equal(slice.shape[1].elements, 5);
    /* a has 6 rows and 5 columns; b, a vector, its whole variance */
    assert_ptr_equal(slice.slot[1], slice.slot[0] + 16);
    assert_ptr_equal(slice.slot[2], slice.slot[1] + 16);
    assert_int_equal(slice.slots_floats, 3 * 16);
    draft_slice_deinit(&slice, &block);
    (void)job_unref(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_init__of_any_group__has_two_buffers_for_each_view_that_it_keeps),
        cmocka_unit_test(slice_init__of_a_phase_that_looks_ahead__has_buffers_for_its_point),
        cmocka_unit_test(slice_init__of_a_frozen_group__has_one_buffer_and_no_state),
        cmocka_unit_test(slice_view__before_any_step__is_the_weights_themselves),
        cmocka_unit_test(slice_view__that_is_never_made__stays_the_weights),
        cmocka_unit_test(slice_find_room__of_all_views__is_for_those_that_are_due),
        cmocka_unit_test(slice_find_room__of_a_mean__is_for_swa_start_and_each_swa_every_th_on),
        cmocka_unit_test(slice_publish_same__of_views__raises_their_versions_and_makes_none),
        cmocka_unit_test(slice_find_room__while_a_view_is_read__is_its_other_buffer),
        cmocka_unit_test(
            slice_find_room__while_readers_hold_both_of_a_view__is_none_where_it_is_due),
        cmocka_unit_test(slice_enter__of_a_new_phase__clears_the_slots_and_the_point_ahead),
        cmocka_unit_test(slice_enter__of_a_new_phase__counts_its_updates_anew),
        cmocka_unit_test(slice_enter__of_a_new_phase__clears_the_scalars),
        cmocka_unit_test(slice_enter__while_the_point_ahead_is_read__leaves_it_to_its_reader),
        cmocka_unit_test(slice_init__of_a_row_of_whole_tensors__joins_the_slots_of_its_parts),
    };
    return cmocka_run_group_tests_name("model/slice_views", tests, NULL, NULL);
}
