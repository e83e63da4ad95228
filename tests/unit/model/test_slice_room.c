/* SPDX-License-Identifier: Apache-2.0
 *
 * Annexes of a slice whose buffers are all held: where there is no memory for them, and what they
 * cost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/model/slice.h"
#include "tests/lib/scarcity.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

static const uint64_t hundred[] = {100};

struct fixture {
    struct job *job;
    struct slice slice;
    struct block block;
    struct weights *held[2][STEPD_VIEWS];
};

static void publish(struct slice *slice)
{
    struct slice_room room;
    assert_true(slice_find_room(slice, &room));
    for (int v = 0; v < STEPD_VIEWS; v++) {
        if (room.view[v] != NULL)
            room.view[v]->values[0] = (float)slice->version + 1.0F;
    }
    slice_publish(slice, &room);
}

/* A slice with two views, of which readers hold both versions. */
static void set_up(struct fixture *f)
{
    const struct stepd_group group = settings_group("adam", "ema_decay=0.5");
    struct stepd_define_job def = draft_definition();
    def.group = &group;
    const struct stepd_tensor_def tensor = draft_tensor("w", hundred, 1);
    *f = (struct fixture){.job = draft_job(&def, &tensor, 1)};
    assert_int_equal(draft_slice_init(&f->slice, f->job, 0, &f->block), STEPD_OK);
    publish(&f->slice);
    for (size_t i = 0; i < 2; i++) {
        f->held[i][STEPD_EVALUATION] = weights_ref(slice_view(&f->slice, STEPD_EVALUATION));
        f->held[i][STEPD_EMA] = weights_ref(slice_view(&f->slice, STEPD_EMA));
        if (i == 0)
            publish(&f->slice);
    }
}

static void tear_down(struct fixture *f)
{
    for (size_t i = 0; i < 2; i++) {
        weights_unref(f->held[i][STEPD_EVALUATION]);
        weights_unref(f->held[i][STEPD_EMA]);
    }
    draft_slice_deinit(&f->slice, &f->block);
    (void)job_unref(f->job);
}

static void slice_annex_bytes__while_all_buffers_are_held__are_of_each_view(void **state)
{
    (void)state;
    struct fixture f;
    struct slice_room room;
    set_up(&f);
    const size_t one = sizeof(struct annex) + (size_t)job_padded(100) * sizeof(float) * 2;
    assert_int_equal(slice_annex_bytes(&f.slice), 2 * one);
    assert_true(slice_lacks_room(&f.slice, STEPD_EMA));
    assert_false(slice_lacks_room(&f.slice, STEPD_SWA)); /* the step makes none */
    assert_int_equal(slice_add_annexes(&f.slice), STEPD_OK);
    assert_int_equal(slice_annex_bytes(&f.slice), 0);
    assert_int_equal(slice_annexes_bytes(&f.slice), 2 * one);
    assert_true(slice_find_room(&f.slice, &room));
    assert_int_equal(slice_free_annexes(&f.slice), 2 * one); /* nothing stands in them */
    assert_false(slice_find_room(&f.slice, &room));
    tear_down(&f);
}

static void slice_add_annexes__without_memory__adds_none(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t failures = 0;
    for (size_t n = 0; status != STEPD_OK; n++) {
        scarcity_after(n);
        status = slice_add_annexes(&f.slice);
        scarcity_after(SCARCITY_NEVER);
        failures += status != STEPD_OK;
        assert_true(status == STEPD_OK || slice_annexes_bytes(&f.slice) == 0);
    }
    assert_int_equal(failures, 4); /* memory and values, of two views */
    tear_down(&f);
}

/* However small a slice is and however much memory there is. */
static void slice_add_annexes__of_which_many_are_read__are_no_more(void **state)
{
    (void)state;
    struct fixture f;
    struct weights *held[SLICE_ANNEXES_MOST];
    size_t count = 0;
    set_up(&f);
    while (slice_add_annexes(&f.slice) == STEPD_OK) {
        publish(&f.slice);
        assert_in_range(count, 0, SLICE_ANNEXES_MOST - 2);
        held[count++] = weights_ref(slice_view(&f.slice, STEPD_EVALUATION));
        held[count++] = weights_ref(slice_view(&f.slice, STEPD_EMA));
    }
    assert_int_equal(count, SLICE_ANNEXES_MOST);
    assert_true(slice_lacks_room(&f.slice, STEPD_EVALUATION));
    while (count > 0)
        weights_unref(held[--count]);
    tear_down(&f);
}

static void slice_publish__into_annexes__leaves_what_is_read_as_it_is(void **state)
{
    (void)state;
    struct fixture f;
    set_up(&f);
    assert_int_equal(slice_add_annexes(&f.slice), STEPD_OK);
    publish(&f.slice);
    assert_int_equal(slice_free_annexes(&f.slice), 0); /* the newest version is in them */
    assert_int_equal(slice_view(&f.slice, STEPD_EVALUATION)->version, 3);
    for (size_t i = 0; i < 2; i++) {
        assert_true(f.held[i][STEPD_EVALUATION]->values[0] == (float)i + 1.0F);
        assert_int_equal(f.held[i][STEPD_EMA]->version, i + 1);
    }
    weights_unref(f.held[0][STEPD_EVALUATION]);
    struct slice_room room;
    assert_true(slice_find_room(&f.slice, &room)); /* the buffer, and not the annex in its place */
    assert_ptr_equal(room.view[STEPD_EVALUATION], f.held[0][STEPD_EVALUATION]);
    (void)weights_ref(f.held[0][STEPD_EVALUATION]);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_annex_bytes__while_all_buffers_are_held__are_of_each_view),
        cmocka_unit_test(slice_add_annexes__without_memory__adds_none),
        cmocka_unit_test(slice_add_annexes__of_which_many_are_read__are_no_more),
        cmocka_unit_test(slice_publish__into_annexes__leaves_what_is_read_as_it_is),
    };
    return cmocka_run_group_tests_name("model/slice_room", tests, NULL, NULL);
}
