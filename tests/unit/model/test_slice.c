/* SPDX-License-Identifier: Apache-2.0
 *
 * A slice and its two versions: where the next one may be written, what readers keep, and what is
 * allocated for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/dtype.h"
#include "server/model/initial.h"
#include "server/model/slice.h"
#include "tests/unit/model/drafts.h"

static const uint64_t hundred[] = {100};
static const uint64_t five[] = {5};

/* One slice of a hundred weights at 1.5, with adam's slots and two workers. */
struct fixture {
    struct job *job;
    struct slice slice;
};

static struct weights *current(struct fixture *fixture)
{
    return slice_view(&fixture->slice, STEPD_EVALUATION);
}

/* Where the weights of the next version go; NULL: nowhere. */
static struct weights *next_of(struct slice *slice)
{
    struct slice_room room;
    return slice_find_room(slice, &room) ? room.view[STEPD_EVALUATION] : NULL;
}

static void publish(struct slice *slice)
{
    struct slice_room room;
    assert_true(slice_find_room(slice, &room));
    slice_publish(slice, &room);
}

static void setup(struct fixture *fixture)
{
    const struct stepd_group group = draft_group("all", "*", "adam");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.workers = 2;
    struct stepd_tensor_def tensor = draft_tensor("w", hundred, 1);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 1.5};
    fixture->job = draft_job(&def, &tensor, 1);
    assert_int_equal(slice_init(&fixture->slice, fixture->job, 0), STEPD_OK);
}

static void teardown(struct fixture *fixture)
{
    slice_deinit(&fixture->slice);
    (void)job_unref(fixture->job);
}

static void slice_init__of_a_slice__starts_at_version_0_with_zero_slots(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(f.slice.version, 0);
    assert_int_equal(f.slice.t, 0);
    assert_true(f.slice.valued);
    for (size_t i = 0; i < 100; i++) {
        assert_true(current(&f)->values[i] == 1.5F);
        assert_true(f.slice.slot[0][i] == 0.0F && f.slice.slot[1][i] == 0.0F);
    }
    assert_int_equal(f.slice.ranks, 2);
    teardown(&f);
}

static void slice_init__of_every_array__is_on_a_cache_line_of_its_own(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    const float *const array[] = {f.slice.view[STEPD_EVALUATION].buffer[0].values,
                                  f.slice.view[STEPD_EVALUATION].buffer[1].values,
                                  f.slice.slot[0],
                                  f.slice.slot[1],
                                  f.slice.by_rank[0].staging,
                                  f.slice.by_rank[1].staging};
    for (size_t i = 0; i < sizeof array / sizeof array[0]; i++)
        assert_int_equal((uintptr_t)array[i] % 64, 0);
    teardown(&f);
}

static void slice_init__of_packed_tensors__gives_each_its_own_values(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct stepd_tensor_def tensor[] = {draft_tensor("a", five, 1), draft_tensor("b", five, 1)};
    tensor[0].init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 2};
    tensor[1].init = (struct stepd_init){.kind = STEPD_INIT_UNIFORM, .b = 1, .seed = 3};
    struct job *job = draft_job(&def, tensor, 2);
    struct slice slice;
    assert_int_equal(slice_init(&slice, job, 0), STEPD_OK);
    float expected[10] = {2, 2, 2, 2, 2};
    initial_values(&tensor[1].init, 1, 0, 5, expected + 5);
    assert_memory_equal(slice_view(&slice, STEPD_EVALUATION)->values, expected, sizeof expected);
    slice_deinit(&slice);
    (void)job_unref(job);
}

static void slice_init__of_an_assigned_tensor__has_no_values(void **state)
{
    (void)state;
    const struct stepd_define_job def = draft_definition();
    struct stepd_tensor_def tensor = draft_tensor("a", five, 1);
    tensor.init.kind = STEPD_INIT_VALUES;
    struct job *job = draft_job(&def, &tensor, 1);
    struct slice slice;
    assert_int_equal(slice_init(&slice, job, 0), STEPD_OK);
    assert_false(slice.valued);
    slice_deinit(&slice);
    (void)job_unref(job);
}

static void slice_deinit__of_a_zeroed_slice__is_fine(void **state)
{
    (void)state;
    struct slice slice = {.job = NULL};
    slice_deinit(&slice);
    assert_null(slice.memory);
}

static void slice_init__of_a_job__has_staging_for_each_worker(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_int_equal(f.slice.ranks, f.slice.job->workers);
    for (size_t i = 0; i < f.slice.ranks; i++) {
        assert_non_null(f.slice.by_rank[i].staging);
        assert_int_equal(f.slice.by_rank[i].record.clock, 0);
    }
    teardown(&f);
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void slice_find_room__without_readers__is_the_current_buffer(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_ptr_equal(next_of(&f.slice), current(&f));
    publish(&f.slice);
    assert_int_equal(f.slice.version, 1);
    assert_int_equal(current(&f)->version, 1);
    assert_int_equal(current(&f)->refs, 1);
    teardown(&f);
}

static void slice_find_room__while_the_current_is_read__is_the_other_buffer(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *held = weights_ref(current(&f));
    struct weights *next = next_of(&f.slice);
    assert_non_null(next);
    assert_ptr_not_equal(next, held);
    next->values[0] = 7;
    publish(&f.slice);
    assert_ptr_equal(current(&f), next);
    assert_int_equal(held->version, 0);
    assert_true(held->values[0] == 1.5F); /* what is read does not change */
    weights_unref(held);
    teardown(&f);
}

static void slice_find_room__while_readers_hold_both__is_none_until_one_lets_go(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *old = weights_ref(current(&f));
    publish(&f.slice);
    struct weights *newest = weights_ref(current(&f));
    assert_null(next_of(&f.slice));
    weights_unref(old);
    assert_ptr_equal(next_of(&f.slice), old);
    old = weights_ref(old);
    weights_unref(newest);
    assert_ptr_equal(next_of(&f.slice), newest);
    weights_unref(old);
    teardown(&f);
}

static void slice_publish_same__while_it_is_read__raises_the_version_in_place(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    struct weights *held = weights_ref(current(&f));
    slice_publish_same(&f.slice);
    assert_int_equal(f.slice.version, 1);
    assert_int_equal(current(&f)->version, 1);
    assert_ptr_equal(current(&f), held);
    weights_unref(held);
    teardown(&f);
}

/* ---- Views ----------------------------------------------------------------------------------- */

static const uint64_t six_by_five[] = {6, 5};
static const double half = 0.5;
static const double three = 3.0;
static const double two = 2.0;
static const double sometimes = 0.25;

/* A slice of a hundred weights at 1.5 in this group, and one worker. */
static void setup_group(struct fixture *fixture, const struct stepd_group *group)
{
    struct stepd_define_job def = draft_definition();
    def.group = group;
    struct stepd_tensor_def tensor = draft_tensor("w", hundred, 1);
    tensor.init = (struct stepd_init){.kind = STEPD_INIT_CONSTANT, .a = 1.5};
    fixture->job = draft_job(&def, &tensor, 1);
    assert_int_equal(slice_init(&fixture->slice, fixture->job, 0), STEPD_OK);
}

/* All views: an interim point, an average, and a mean of the updates 3, 5, 7, ... */
static void setup_views(struct fixture *fixture)
{
    static const struct stepd_setting settings[] = {
        {.name = "momentum", .values = 1, .value = &half},
        {.name = "form", .word = "interim"},
        {.name = "ema_decay", .values = 1, .value = &sometimes},
        {.name = "swa_start", .values = 1, .value = &three},
        {.name = "swa_every", .values = 1, .value = &two},
    };
    struct stepd_group group = draft_group("all", "*", "nesterov");
    group.settings = (struct stepd_settings){.count = 5, .at = settings};
    setup_group(fixture, &group);
}

static void slice_view__before_any_step__is_the_weights_themselves(void **state)
{
    (void)state;
    struct fixture f;
    setup_views(&f);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), current(&f));
        assert_non_null(f.slice.view[v].buffer[1].values);
    }
    teardown(&f);
}

static void slice_view__that_is_never_made__takes_no_memory(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    publish(&f.slice);
    for (int v = 0; v < STEPD_VIEWS; v++) {
        assert_ptr_equal(slice_view(&f.slice, (enum stepd_view)v), current(&f));
        assert_int_equal(f.slice.view[v].buffer[1].values != NULL, v == STEPD_EVALUATION);
    }
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
        assert_int_equal(slice_view(&f.slice, STEPD_EMA)->version, update);
        assert_int_equal(slice_view(&f.slice, STEPD_SWA)->version, update);
        assert_int_equal(slice_view(&f.slice, STEPD_SWA) == current(&f), update < 3);
    }
    assert_int_equal(f.slice.swa_count, 3);
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

/* ---- Phases, scopes, frozen ------------------------------------------------------------------ */

static void slice_enter__of_a_new_phase__clears_the_slots_and_the_point_ahead(void **state)
{
    (void)state;
    static const struct stepd_setting interim[] = {{.name = "form", .word = "interim"}};
    static const struct stepd_phase later[] = {{.from = 2, .optimizer = "adam"}};
    struct stepd_group group = draft_group("all", "*", "nesterov");
    group.settings = (struct stepd_settings){.count = 1, .at = interim};
    group.phases = 1;
    group.phase = later;
    struct fixture f;
    setup_group(&f, &group);
    assert_null(f.slice.slot[1]);
    assert_int_equal(f.slice.slots_floats, 2 * 112); /* for adam, in whole cache lines */
    publish(&f.slice);
    publish(&f.slice);
    for (size_t i = 0; i < 100; i++)
        f.slice.slot[0][i] = 7;
    slice_enter(&f.slice, 1);
    assert_ptr_not_equal(slice_view(&f.slice, STEPD_TRAINING), current(&f));
    assert_int_equal(f.slice.phase_began, 0);
    slice_enter(&f.slice, 2);
    assert_string_equal(f.slice.phase->optimizer->name, "adam");
    assert_int_equal(f.slice.phase_began, 2);
    for (size_t i = 0; i < 100; i++)
        assert_true(f.slice.slot[0][i] == 0.0F && f.slice.slot[1][i] == 0.0F);
    assert_ptr_equal(slice_view(&f.slice, STEPD_TRAINING), current(&f));
    teardown(&f);
}

static void slice_enter__while_the_point_ahead_is_read__leaves_it_to_its_reader(void **state)
{
    (void)state;
    static const struct stepd_setting interim[] = {{.name = "form", .word = "interim"}};
    static const struct stepd_phase later[] = {{.from = 1, .optimizer = "sgd"}};
    struct stepd_group group = draft_group("all", "*", "nesterov");
    group.settings = (struct stepd_settings){.count = 1, .at = interim};
    group.phases = 1;
    group.phase = later;
    struct fixture f;
    setup_group(&f, &group);
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

static void slice_init__of_a_frozen_group__has_one_buffer_and_no_state(void **state)
{
    (void)state;
    static const struct stepd_setting ema[] = {{.name = "ema_decay", .values = 1, .value = &half}};
    struct stepd_group group = draft_group("all", "*", "adam");
    group.settings = (struct stepd_settings){.count = 1, .at = ema};
    group.frozen = true;
    struct fixture f;
    setup_group(&f, &group);
    assert_null(f.slice.view[STEPD_EVALUATION].buffer[1].values);
    assert_null(f.slice.view[STEPD_EMA].buffer[0].values);
    assert_null(f.slice.slot[0]);
    assert_null(f.slice.by_rank[0].staging);
    assert_ptr_equal(slice_view(&f.slice, STEPD_EMA), current(&f));
    teardown(&f);
}

static void slice_init__of_a_row_of_whole_tensors__joins_the_slots_of_its_parts(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("all", "*", "adafactor");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    def.slice_elements = 4096; /* so that a is small enough to be packed */
    const struct stepd_tensor_def tensor[] = {draft_tensor("a", six_by_five, 2),
                                              draft_tensor("b", five, 1)};
    struct job *job = draft_job(&def, tensor, 2);
    struct slice slice;
    assert_int_equal(slice_init(&slice, job, 0), STEPD_OK);
    assert_int_equal(slice.shapes, 2);
    assert_int_equal(slice.shape[0].dims, 2);
    assert_int_equal(slice.shape[1].elements, 5);
    /* a has 6 rows and 5 columns; b, a vector, its whole variance */
    assert_ptr_equal(slice.slot[1], slice.slot[0] + 16);
    assert_ptr_equal(slice.slot[2], slice.slot[1] + 16);
    assert_int_equal(slice.slots_floats, 3 * 16);
    slice_deinit(&slice);
    (void)job_unref(job);
}

static void slice_init__of_a_row_that_wants_a_hessian__has_room_for_it_in_staging(void **state)
{
    (void)state;
    const struct stepd_group group = draft_group("all", "*", "newton");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    const struct stepd_tensor_def tensor = draft_tensor("b", five, 1);
    struct job *job = draft_job(&def, &tensor, 1);
    struct slice slice;
    assert_int_equal(slice_init(&slice, job, 0), STEPD_OK);
    assert_int_equal(slice_push_floats(&slice), 5 + 25);
    slice.by_rank[0].staging[29] = 1.0F; /* a sanitizer would see it miss */
    slice_deinit(&slice);
    (void)job_unref(job);
}

/* ---- Encodings ------------------------------------------------------------------------------- */

static void weights_encoded__as_f32__are_the_weights_themselves(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    assert_ptr_equal(weights_encoded(current(&f), STEPD_F32), current(&f)->values);
    teardown(&f);
}

static void weights_encoded__of_one_version__are_made_once(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);

    const enum stepd_dtype dtypes[] = {STEPD_F16, STEPD_BF16};

    for (size_t i = 0; i < 2; i++) {
        uint8_t expected[200];
        stepd_dtype_narrow(dtypes[i], 100, current(&f)->values, expected);
        const uint8_t *first = weights_encoded(current(&f), dtypes[i]);
        assert_memory_equal(first, expected, sizeof expected);
        current(&f)->values[0] += 1.0F; /* would show in a second encoding */
        assert_ptr_equal(weights_encoded(current(&f), dtypes[i]), first);
        assert_memory_equal(first, expected, sizeof expected);
        current(&f)->values[0] -= 1.0F;
    }
    teardown(&f);
}

static void weights_encoded__of_the_next_version__are_made_anew(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    const uint8_t *first = weights_encoded(current(&f), STEPD_F16);
    for (size_t i = 0; i < 100; i++)
        current(&f)->values[i] = 3;
    publish(&f.slice);
    const uint8_t *second = weights_encoded(current(&f), STEPD_F16);
    uint8_t expected[200];
    stepd_dtype_narrow(STEPD_F16, 100, current(&f)->values, expected);
    assert_ptr_equal(first, second); /* the memory stays */
    assert_memory_equal(second, expected, sizeof expected);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_init__of_a_slice__starts_at_version_0_with_zero_slots),
        cmocka_unit_test(slice_init__of_every_array__is_on_a_cache_line_of_its_own),
        cmocka_unit_test(slice_init__of_packed_tensors__gives_each_its_own_values),
        cmocka_unit_test(slice_init__of_an_assigned_tensor__has_no_values),
        cmocka_unit_test(slice_deinit__of_a_zeroed_slice__is_fine),
        cmocka_unit_test(slice_init__of_a_job__has_staging_for_each_worker),
        cmocka_unit_test(slice_find_room__without_readers__is_the_current_buffer),
        cmocka_unit_test(slice_find_room__while_the_current_is_read__is_the_other_buffer),
        cmocka_unit_test(slice_find_room__while_readers_hold_both__is_none_until_one_lets_go),
        cmocka_unit_test(slice_publish_same__while_it_is_read__raises_the_version_in_place),
        cmocka_unit_test(slice_view__before_any_step__is_the_weights_themselves),
        cmocka_unit_test(slice_view__that_is_never_made__takes_no_memory),
        cmocka_unit_test(slice_find_room__of_all_views__is_for_those_that_are_due),
        cmocka_unit_test(
            slice_find_room__while_readers_hold_both_of_a_view__is_none_where_it_is_due),
        cmocka_unit_test(slice_enter__of_a_new_phase__clears_the_slots_and_the_point_ahead),
        cmocka_unit_test(slice_enter__while_the_point_ahead_is_read__leaves_it_to_its_reader),
        cmocka_unit_test(slice_init__of_a_frozen_group__has_one_buffer_and_no_state),
        cmocka_unit_test(slice_init__of_a_row_of_whole_tensors__joins_the_slots_of_its_parts),
        cmocka_unit_test(slice_init__of_a_row_that_wants_a_hessian__has_room_for_it_in_staging),
        cmocka_unit_test(weights_encoded__as_f32__are_the_weights_themselves),
        cmocka_unit_test(weights_encoded__of_one_version__are_made_once),
        cmocka_unit_test(weights_encoded__of_the_next_version__are_made_anew),
    };
    return cmocka_run_group_tests_name("model/slice", tests, NULL, NULL);
}
