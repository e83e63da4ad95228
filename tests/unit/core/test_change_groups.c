/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups that change while a shard trains them: each slice at the version, with the state that it
 * has; and the same bits as a job that was defined so from the beginning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/settings.h"
#include "tests/lib/shard.h"

enum { SLICES = 2, SLICE = 256, V = 3, STEPS = 6 };

/* Two slices of one tensor of the group "g", and one worker. */
static void open(struct shard *shard, const struct stepd_group *group, enum stepd_mode mode)
{
    const uint64_t shape[] = {SLICES, SLICE};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 2, 1.0);
    const struct shard_job job = {.mode = mode,
                                  .workers = 1,
                                  .groups = 1,
                                  .group = group,
                                  .slice_elements = SLICE,
                                  .tensors = 1,
                                  .tensor = &tensor};
    shard_setup(shard, &job);
    shard_connect(shard, 0, 0);
}

/* The step from a version, of one slice; its gradients differ from step to step. */
static void push_slice(struct shard *shard, uint32_t slice, uint64_t version)
{
    float grad[SLICE];
    for (size_t i = 0; i < SLICE; i++)
        grad[i] = (float)((i * 7 + version * 3 + slice) % 11) - 4.5F;
    const struct shard_push push = {.id = version + 2,
                                    .clock = version + 1,
                                    .base_version = version,
                                    .examples = 1,
                                    .slices = 1,
                                    .slice = &slice,
                                    .grad = grad,
                                    .values = SLICE,
                                    .has_loss = true,
                                    .loss = 1.0,
                                    .step = true};
    shard_push(shard, 0, &push);
    assert_int_equal(shard_last(shard, 0)->kind, STEPD_MESSAGE_RESULT);
}

static void push(struct shard *shard, uint64_t version)
{
    for (uint32_t slice = 0; slice < SLICES; slice++)
        push_slice(shard, slice, version);
}

/* The order that an edit of the group comes to, made at a version. Each has the next number, which
 * it returns. */
static uint64_t change(struct shard *shard, const struct stepd_group *said, uint64_t version)
{
    static uint64_t number;
    const struct group_edit edit = {.said = said};
    const struct change_site site = {.job = shard->job,
                                     .now = &shard->job->group[0],
                                     .point = {.clock = version, .from = version}};
    struct order order = {.kind = ORDER_CHANGE,
                          .job_name = shard->job->name,
                          .change = ORDER_CHANGE_GROUPS,
                          .version = version,
                          .groups = group_changes_create(1)};
    struct stepd_error error = {.code = STEPD_OK};
    if (group_change_edit(&site, &edit, &order.groups->change[0], &error) != STEPD_OK)
        fail_msg("%s", error.text);
    order.groups->number = ++number;
    order.groups->version = version;
    shard_give(shard, &order);
    (void)group_changes_destroy(order.groups);
    return number;
}

/* All weights after so many steps, of which those from V on are made with what was said (NULL:
 * nothing was). early: the shard is told before V, else when it is there. */
static void train(const struct stepd_group *group, const struct stepd_group *said, bool early,
                  float ret_weights[SLICES * SLICE])
{
    struct shard shard;
    open(&shard, group, STEPD_SYNC);
    for (uint64_t version = 0; version < STEPS; version++) {
        if (said != NULL && version == (early ? V - 2 : V))
            (void)change(&shard, said, V);
        push(&shard, version);
    }
    shard_pull(&shard, 0, 99, STEPS, SLICES);
    const struct shard_reply *reply = shard_last(&shard, 0);
    assert_int_equal(reply->values, SLICES * SLICE);
    memcpy(ret_weights, reply->value, sizeof(float) * SLICES * SLICE);
    shard_teardown(&shard);
}

static void assert_trains_as(const struct stepd_group *group, const struct stepd_group *said,
                             const struct stepd_group *right)
{
    float plain[SLICES * SLICE];
    float changed[SLICES * SLICE];
    float defined[SLICES * SLICE];
    train(group, NULL, false, plain);
    train(right, NULL, false, defined);
    for (int early = 0; early < 2; early++) {
        train(group, said, early == 1, changed);
        assert_memory_equal(changed, defined, sizeof changed);
        assert_memory_not_equal(changed, plain, sizeof changed);
    }
}

/* ---- The same bits as if it had been known --------------------------------------------------- */

static void change__of_the_rate__is_a_schedule_that_halves_it_there(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("adam", "lr=0.5");
    const struct stepd_group said = settings_group("", "lr=0.25");
    struct stepd_group right = group;
    right.schedule = "multistep";
    right.schedule_settings = settings_of("milestones=3 gamma=0.5");
    assert_trains_as(&group, &said, &right);
}

static void change__of_the_schedule__is_that_schedule_from_there_on(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("momentum", "lr=0.5");
    struct stepd_group said = settings_group("", "");
    said.schedule = "multistep";
    said.schedule_settings = settings_of("milestones=2,5 gamma=0.5");
    struct stepd_group right = group;
    right.schedule = "multistep";
    right.schedule_settings = settings_of("milestones=3,5 gamma=0.5");
    assert_trains_as(&group, &said, &right);
}

static void change__of_the_optimizer__is_a_phase_that_begins_there(void **state)
{
    (void)state;
    const struct stepd_group group = settings_group("adam", "lr=0.5");
    const struct stepd_group said = settings_group("momentum", "lr=0.25 momentum=0.5");
    const struct stepd_phase phase = settings_phase(V, "momentum", "lr=0.25 momentum=0.5");
    struct stepd_group right = group;
    right.phases = 1;
    right.phase = &phase;
    assert_trains_as(&group, &said, &right);
}

static void change__of_phases_to_come__is_these_phases(void **state)
{
    (void)state;
    const struct stepd_phase phase = settings_phase(V + 1, "sgd", "lr=0.125");
    const struct stepd_group group = settings_group("adam", "lr=0.5");
    struct stepd_group said = settings_group("", "");
    said.phases = 1;
    said.phase = &phase;
    struct stepd_group right = group;
    right.phases = 1;
    right.phase = &phase;
    assert_trains_as(&group, &said, &right);
}

/* ---- When ------------------------------------------------------------------------------------ */

static float weight(struct shard *shard, uint32_t slice)
{
    const struct shard_reply *reply = NULL;
    shard_pull(shard, 0, 98, 0, SLICES);
    reply = shard_last(shard, 0);
    return reply->value[(size_t)slice * SLICE];
}

static void change__ahead_of_one_slice__changes_each_at_the_version(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("sgd", "lr=1");
    const struct stepd_group said = settings_group("", "lr=0");
    open(&shard, &group, STEPD_SYNC);
    push_slice(&shard, 0, 0); /* at 1, where the change begins; the other is behind */
    (void)change(&shard, &said, 1);
    const float first = weight(&shard, 0);
    push_slice(&shard, 0, 1);
    assert_true(weight(&shard, 0) == first);
    const float before = weight(&shard, 1);
    push_slice(&shard, 1, 0);
    const float second = weight(&shard, 1);
    assert_true(second != before);
    push_slice(&shard, 1, 1);
    assert_true(weight(&shard, 1) == second);
    shard_teardown(&shard);
}

static void change__twice_at_one_version__makes_both(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("momentum", "lr=1");
    const struct stepd_group first = settings_group("sgd", "lr=1");
    const struct stepd_group second = settings_group("sgd", "lr=0");
    open(&shard, &group, STEPD_SYNC);
    (void)change(&shard, &first, 1);
    (void)change(&shard, &second, 1);
    push(&shard, 0);
    const float before = weight(&shard, 0);
    push(&shard, 1);
    assert_true(weight(&shard, 0) == before);
    shard_teardown(&shard);
}

static void change__ahead_of_one_to_come__takes_its_place(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("sgd", "lr=1");
    const struct stepd_group later = settings_group("", "lr=0.25");
    const struct stepd_group said = settings_group("", "lr=0");
    open(&shard, &group, STEPD_SYNC);
    (void)change(&shard, &later, 3);
    (void)change(&shard, &said, 1);
    push(&shard, 0);
    const float before = weight(&shard, 0);
    for (uint64_t version = 1; version < 5; version++)
        push(&shard, version);
    assert_true(weight(&shard, 0) == before);
    shard_teardown(&shard);
}

static void change__called_off__lets_the_steps_go_on(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("sgd", "lr=1");
    open(&shard, &group, STEPD_SYNC);
    const struct order propose = {
        .kind = ORDER_PROPOSE, .job_name = shard.job->name, .query = 1, .version = 0};
    shard_give(&shard, &propose);
    assert_true(shard.agreed);
    const float grad[SLICE] = {1};
    const struct shard_push held = {
        .id = 2, .clock = 1, .examples = 1, .slices = 1, .grad = grad, .values = SLICE};
    const size_t before = shard.peer[0].replies;
    shard_push(&shard, 0, &held);
    assert_int_equal(shard.peer[0].replies, before);
    const struct order off = {
        .kind = ORDER_CHANGE, .job_name = shard.job->name, .change = ORDER_CHANGE_GROUPS};
    shard_give(&shard, &off);
    assert_int_equal(shard_last(&shard, 0)->version[0], 1);
    shard_teardown(&shard);
}

static void change__in_async_mode__is_made_with_each_slices_next_step(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("sgd", "lr=1");
    const struct stepd_group said = settings_group("", "lr=0");
    open(&shard, &group, STEPD_ASYNC);
    push_slice(&shard, 0, 0);
    push_slice(&shard, 0, 1);
    push_slice(&shard, 1, 0);
    const uint64_t number = change(&shard, &said, 0);
    assert_int_equal(shard.changed, number);
    assert_int_equal(shard.changed_min, 1);
    assert_int_equal(shard.changed_max, 2);
    const float before = weight(&shard, 1);
    push_slice(&shard, 1, 1);
    assert_true(weight(&shard, 1) == before);
    shard_teardown(&shard);
}

static void change__of_the_schedule__forgets_what_it_has_heard(void **state)
{
    (void)state;
    struct shard shard;
    struct stepd_group group = settings_group("sgd", "lr=1");
    group.schedule = "plateau";
    group.schedule_settings = settings_of("patience=0 factor=0.5");
    open(&shard, &group, STEPD_SYNC);
    push(&shard, 0);
    push(&shard, 1); /* no better than the first: the rate is halved */
    struct stepd_group said = settings_group("", "");
    said.schedule_settings = settings_of("factor=0.25");
    (void)change(&shard, &said, 2);
    const float before = weight(&shard, 0);
    push(&shard, 2);
    assert_true(weight(&shard, 0) == before - ((float)(2 * 3 % 11) - 4.5F)); /* lr 1 again */
    shard_teardown(&shard);
}

static void change__to_the_same_optimizer_in_async_mode__begins_it_anew(void **state)
{
    (void)state;
    struct shard shard;
    const struct stepd_group group = settings_group("momentum", "lr=1 momentum=0.5");
    const struct stepd_group said = settings_group("momentum", "lr=1 momentum=0.5");
    open(&shard, &group, STEPD_ASYNC);
    push_slice(&shard, 0, 0);
    (void)change(&shard, &said, 0);
    const float before = weight(&shard, 0);
    push_slice(&shard, 0, 1);
    assert_true(weight(&shard, 0) == before - ((float)(1 * 3 % 11) - 4.5F)); /* no momentum yet */
    shard_teardown(&shard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change__of_the_rate__is_a_schedule_that_halves_it_there),
        cmocka_unit_test(change__of_the_schedule__is_that_schedule_from_there_on),
        cmocka_unit_test(change__of_the_optimizer__is_a_phase_that_begins_there),
        cmocka_unit_test(change__of_phases_to_come__is_these_phases),
        cmocka_unit_test(change__ahead_of_one_slice__changes_each_at_the_version),
        cmocka_unit_test(change__twice_at_one_version__makes_both),
        cmocka_unit_test(change__ahead_of_one_to_come__takes_its_place),
        cmocka_unit_test(change__called_off__lets_the_steps_go_on),
        cmocka_unit_test(change__in_async_mode__is_made_with_each_slices_next_step),
        cmocka_unit_test(change__of_the_schedule__forgets_what_it_has_heard),
        cmocka_unit_test(change__to_the_same_optimizer_in_async_mode__begins_it_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
