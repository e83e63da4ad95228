/* SPDX-License-Identifier: Apache-2.0
 *
 * GetLayout: what it waits for, and how a long layout is cut into frames. (The fixture encodes each
 * frame, which fails above 64 KiB.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"

#define MANY           3000u
#define SLICE_ELEMENTS 256u

static struct stepd_message get_layout(uint32_t deadline_ms)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_GET_LAYOUT,
                                  .body.get_layout = {.deadline_ms = deadline_ms}};
}

static void layout__of_an_open_job__is_answered_at_once(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_ASYNC, 1);
    peer_request(peer, get_layout(0));
    assert_int_equal(peer_answers(peer), 1);
    const struct stepd_layout *layout = &peer_answer(peer, STEPD_MESSAGE_LAYOUT)->body.layout;
    assert_int_equal(layout->incarnation, 1);
    assert_int_equal(layout->mode, STEPD_ASYNC);
    assert_int_equal(layout->world, 1);
    assert_true(layout->last);
    assert_int_equal(layout->tensors, 1);
    assert_string_equal(layout->tensor[0].name, "w");
    assert_string_equal(layout->tensor[0].group, "all");
    assert_int_equal(layout->tensor[0].shape[0], 1000);
    assert_int_equal(layout->slice_shards.count, 1);
    assert_int_equal(layout->slice_shards.at[0], 1); /* as Hello counts them: 0 is control */
    assert_int_equal(layout->slice_parts.at[0], 1);
    assert_int_equal(layout->part_tensors.at[0], 0);
    assert_int_equal(layout->part_offsets.at[0], 0);
    assert_int_equal(layout->part_elements.at[0], 1000);
}

static void layout__asked_for_early__comes_when_the_job_is_open(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    struct peer *reader = peer_join(brain, hello_observer("j"));
    peer_request(reader, get_layout(0));
    assert_int_equal(peer_answers(reader), 0);
    peer_define(peer, "j", STEPD_SYNC, 2);
    assert_int_equal(peer_answers(reader), 1);
    (void)peer_answer(reader, STEPD_MESSAGE_LAYOUT);
}

static void layout__of_an_undefined_job__times_out_and_says_so(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, get_layout(300));
    brain_wait(brain, 299);
    assert_int_equal(peer_answers(peer), 0);
    brain_wait(brain, 1);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "job 'j' is not defined yet");
}

static void layout__of_unsealed_tensors__times_out_and_counts_them(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    struct stepd_message page = define_tensor(10);
    page.body.define_tensors.last = false;
    peer_request(peer, page);
    peer_request(peer, get_layout(300));
    brain_wait(brain, 300);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "1 are defined, and no worker has sent");
}

static void layout__deadline_above_the_longest__is_cut(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, get_layout(UINT32_MAX));
    brain_wait(brain, BRAIN_WAIT_MAX_MS);
    peer_assert_error(peer, STEPD_DEADLINE_EXCEEDED, "not defined yet");
}

static void layout__connection_closed_while_it_waits__is_forgotten(void **state)
{
    struct brain *brain = *state;
    struct peer *gone = peer_join(brain, hello_observer(""));
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_close(gone);
    gone = peer_join(brain, hello_observer("j"));
    peer_request(gone, get_layout(0));
    peer_close(gone);
    peer_define(peer, "j", STEPD_SYNC, 1);
    assert_int_equal(peer_answers(gone), 0);
}

static void layout__one_waiting_request_too_many__is_refused(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    for (unsigned i = 0; i < 4; i++) {
        peer_request(peer, get_layout(0));
        assert_int_equal(peer_answers(peer), 0);
    }
    peer_request(peer, get_layout(0));
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "this connection has 4");
}

/* Two tensors, of which the first takes a Hessian beside the gradient, 3 x 3 numbers, and the
 * second is cut into so many slices. */
static void define_with_newton(struct peer *peer, uint64_t slices)
{
    static const uint64_t three = 3;
    const uint64_t shape = slices * SLICE_ELEMENTS;
    const struct stepd_tensor_def tensor[2] = {
        {.name = "v", .dims = 1, .shape = &three, .group = ""},
        {.name = "w", .dims = 1, .shape = &shape, .group = ""},
    };
    static const struct stepd_group group[2] = {
        {.name = "plain", .match = "w", .optimizer = "sgd", .schedule = ""},
        {.name = "second", .match = "v", .optimizer = "newton", .schedule = ""},
    };
    struct stepd_message def = define_job(STEPD_SYNC, 1);
    def.body.define_job.groups = 2;
    def.body.define_job.group = group;
    def.body.define_job.slice_elements = SLICE_ELEMENTS;
    peer_request(peer, def);
    const struct stepd_message page = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 2, .tensor = tensor, .last = true},
    };
    peer_request(peer, page);
    brain_opened_all(peer->brain, "j");
}

static void layout__with_a_hessian__says_how_many_elements_it_adds(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    define_with_newton(peer, 1);
    peer_request(peer, get_layout(0));
    const struct stepd_layout *layout = &peer_answer(peer, STEPD_MESSAGE_LAYOUT)->body.layout;
    assert_int_equal(layout->slice_shards.count, 2);
    assert_int_equal(layout->slice_extras.count, 2);
    assert_int_equal(layout->slice_extras.at[0], 9);
    assert_int_equal(layout->slice_extras.at[1], 0);
}

static void layout__without_a_hessian__says_nothing_of_extras(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_layout(0));
    const struct stepd_layout *layout = &peer_answer(peer, STEPD_MESSAGE_LAYOUT)->body.layout;
    assert_int_equal(layout->slice_extras.count, 0);
}

/* ---- Long layouts ---------------------------------------------------------------------------- */

/* MANY tensors with names of 200 bytes, every third large enough for a slice or two of its own. */
static void define_many(struct peer *peer)
{
    static struct stepd_tensor_def tensor[MANY];
    static char name[MANY][STEPD_NAME_MAX_BYTES + 1];
    static const uint64_t shape[3] = {1, 256, 300};
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(name[i], sizeof name[i], "%0200zu", i);
        tensor[i] = (struct stepd_tensor_def){
            .name = name[i], .dims = 1, .shape = &shape[i % 3], .group = ""};
    }
    struct stepd_message def = define_job(STEPD_SYNC, 1);
    def.body.define_job.slice_elements = 256;
    peer_request(peer, def);
    const struct stepd_message page = {
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = MANY, .tensor = tensor, .last = true},
    };
    peer_request(peer, page);
    brain_opened_all(peer->brain, "j");
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}

struct sums {
    size_t frames;
    size_t lasts;
    size_t tensors;
    size_t slices;
    size_t parts;
    uint64_t elements;
    uint64_t extras;
};

/* Walks the frames, whose lists must agree. */
static struct sums sum_slices(const struct peer *peer)
{
    struct sums sums = {.frames = 0};
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        if (reply->message.request_id != peer->request_id)
            continue;
        assert_int_equal(sums.lasts, 0);
        const struct stepd_layout *layout = &reply->message.body.layout;
        sums.frames++;
        sums.lasts += layout->last;
        sums.tensors += layout->tensors;
        size_t parts = 0;
        for (size_t i = 0; i < layout->slice_parts.count; i++)
            parts += layout->slice_parts.at[i];
        assert_int_equal(parts, layout->part_tensors.count);
        for (size_t i = 0; i < parts; i++)
            sums.elements += layout->part_elements.at[i];
        for (size_t i = 0; i < layout->slice_extras.count; i++)
            sums.extras += layout->slice_extras.at[i];
        sums.slices += layout->slice_shards.count;
        sums.parts += parts;
    }
    return sums;
}

/* The tensors of define_many come in order. */
static void assert_names_in_order(const struct peer *peer)
{
    size_t at = 0;
    char name[STEPD_NAME_MAX_BYTES + 1];
    for (const struct reply *reply = peer->replies; reply != NULL; reply = reply->next) {
        const struct stepd_layout *layout = &reply->message.body.layout;
        const bool asked = reply->message.request_id == peer->request_id;
        for (size_t i = 0; asked && i < layout->tensors; i++) {
            (void)snprintf(name, sizeof name, "%0200zu", at++);
            assert_string_equal(layout->tensor[i].name, name);
        }
    }
}

static void layout__long__comes_in_frames_that_go_on_where_the_last_one_ended(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    define_many(peer);
    peer_request(peer, get_layout(0));
    assert_names_in_order(peer);
    const struct sums sums = sum_slices(peer);
    const struct job *job = brain_newest(brain, 0, ORDER_JOB_OPEN)->job;
    assert_true(sums.frames > 10);
    assert_int_equal(sums.lasts, 1);
    assert_int_equal(sums.tensors, MANY);
    assert_int_equal(sums.slices, job->layout.slices);
    assert_int_equal(sums.parts, job->layout.parts);
    assert_int_equal(sums.elements, job->elements);
}

/* Each slice of a frame with extras takes a byte more: the fixture refuses what is too long. */
static void layout__long_with_a_hessian__comes_in_frames_that_are_short_enough(void **state)
{
    struct peer *peer = peer_join(*state, hello_worker("j", 0));
    define_with_newton(peer, 20000);
    peer_request(peer, get_layout(0));
    const struct sums sums = sum_slices(peer);
    assert_true(sums.frames > 2);
    assert_int_equal(sums.slices, 20001);
    assert_int_equal(sums.extras, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, brain_setup, brain_teardown)
        TEST(layout__of_an_open_job__is_answered_at_once),
        TEST(layout__asked_for_early__comes_when_the_job_is_open),
        TEST(layout__of_an_undefined_job__times_out_and_says_so),
        TEST(layout__of_unsealed_tensors__times_out_and_counts_them),
        TEST(layout__deadline_above_the_longest__is_cut),
        TEST(layout__connection_closed_while_it_waits__is_forgotten),
        TEST(layout__one_waiting_request_too_many__is_refused),
        TEST(layout__with_a_hessian__says_how_many_elements_it_adds),
        TEST(layout__without_a_hessian__says_nothing_of_extras),
        TEST(layout__long__comes_in_frames_that_go_on_where_the_last_one_ended),
        TEST(layout__long_with_a_hessian__comes_in_frames_that_are_short_enough),
    };
    return cmocka_run_group_tests_name("control_layout", tests, NULL, NULL);
}
