/* SPDX-License-Identifier: Apache-2.0
 *
 * Which steps of a schedule are worth a row of a table, and which are not.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/ctl/events.h"
#include "tests/unit/ctl/making.h"

/* "10 top, 20 jump": what is found in the steps of a course. */
static void assert_found(const struct course *course, uint64_t steps, const char *expected)
{
    struct events events;
    char text[1024] = "";
    size_t at = 0;
    events_find(course, steps, &events);
    for (size_t i = 0; i < events.count && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%" PRIu64 " %s", i > 0 ? ", " : "",
                               events.at[i].step, event_text(events.at[i].kind));
    if (events.more > 0 && at < sizeof text)
        (void)snprintf(text + at, sizeof text - at, ", %" PRIu64 " more", events.more);
    assert_string_equal(text, expected);
}

static void assert_events(const char *schedule, uint64_t steps, const char *expected)
{
    struct course course = making_course(schedule, 0.1);
    assert_found(&course, steps, expected);
    course_deinit(&course);
}

static void constant__has_none(void **state)
{
    (void)state;
    assert_events("constant", 1, "");
    assert_events("constant", 1000, "");
}

static void smooth_curves__of_one_direction__have_none(void **state)
{
    (void)state;
    assert_events("cosine:t_max=1000", 1000, "");
    assert_events("exponential:gamma=0.99", 1000, "");
    assert_events("exponential:gamma=0.5", 1000, "");
    assert_events("inverse_sqrt", 1000, "");
    assert_events("polynomial:total_iters=1000,power=3", 1000, "");
    assert_events("linear:total_iters=1000", 1000, "");
}

static void step_down__is_a_jump(void **state)
{
    (void)state;
    assert_events("multistep:milestones=100,200", 300, "100 jump, 200 jump");
    assert_events("step:step_size=40,gamma=0.5", 100, "40 jump, 80 jump");
}

static void jump__of_a_small_learning_rate__is_seen(void **state)
{
    (void)state;
    assert_events("multistep:milestones=10,20,30,40,50,60,70", 80,
                  "10 jump, 20 jump, 30 jump, 40 jump, 50 jump, 60 jump, 70 jump");
}

static void end_of_a_curve__begins_a_constant_stretch(void **state)
{
    (void)state;
    assert_events("cosine:t_max=50", 100, "50 constant from here");
    assert_events("linear:total_iters=50", 100, "50 constant from here");
}

static void constant_stretch__of_two_steps__is_none(void **state)
{
    (void)state;
    assert_events("cosine:t_max=98", 100, "");
    assert_events("cosine:t_max=97", 100, "97 constant from here");
}

static void end_of_a_constant_stretch__is_seen(void **state)
{
    (void)state;
    assert_events("lambda:steps=0,10,20,factors=1,1,0", 40,
                  "10 constant until here, 20 constant from here");
}

static void warm_up__ends_in_a_top(void **state)
{
    (void)state;
    assert_events("exponential:gamma=0.99,warmup=20", 100, "19 top");
    assert_events("one_cycle:max_lr=1,total_steps=100", 100, "29 top");
}

static void triangles__have_tops_and_bottoms(void **state)
{
    (void)state;
    assert_events("cyclic:base_lr=0.1,max_lr=1,step_size_up=10", 45,
                  "10 top, 20 bottom, 30 top, 40 bottom");
}

static void waves__have_tops_and_bottoms(void **state)
{
    (void)state;
    assert_events("cosine:t_max=1000,periodic=true", 3500, "1000 bottom, 2000 top, 3000 bottom");
}

static void restart__is_a_bottom_and_a_jump(void **state)
{
    (void)state;
    assert_events("cosine_restarts:t_0=50", 120, "49 bottom, 50 jump, 99 bottom, 100 jump");
}

static void slope__that_changes__is_a_bend(void **state)
{
    (void)state;
    assert_events("lambda:steps=0,50,100,factors=0,0.2,1", 100, "50 bend");
}

/* The roundings of long curves are neither bends nor tops. */
static void long_curves__have_no_more_events_than_short_ones(void **state)
{
    (void)state;
    assert_events("cosine:t_max=1000000", 1000000, "");
    assert_events("cosine:t_max=1000000000", 100000, "");
    assert_events("cosine:t_max=1000000000000", 10000, "");
    assert_events("linear:total_iters=1000000", 1000000, "");
    assert_events("cosine:t_max=100000,periodic=true", 350000,
                  "100000 bottom, 200000 top, 300000 bottom");
}

/* The product of a rise and a fall, so slow that differences near its top are of a rounding or
 * none: it goes up and down there many times. */
static void top__of_a_very_flat_curve__is_one(void **state)
{
    (void)state;
    struct course course = making_course("chained; linear:start_factor=0.5,total_iters=1e9; "
                                         "exponential:gamma=0.99999999900005",
                                         1);
    struct events events;
    size_t extremes = 0;
    events_find(&course, 100000, &events);
    for (size_t i = 0; i < events.count; i++)
        extremes += events.at[i].kind == EVENT_TOP || events.at[i].kind == EVENT_BOTTOM;
    assert_int_equal(extremes, 1);
    course_deinit(&course);
}

/* Five steps of ten thousand are no stretch, but there the slope changes. */
static void constant_stretch__short_beside_the_whole__is_none(void **state)
{
    (void)state;
    assert_events("lambda:steps=0,1000,1005,5000,factors=1,0.5,0.5,0", 10000,
                  "1000 bend, 1005 bend, 5000 constant from here");
}

static void events__beyond_the_limit__are_counted(void **state)
{
    (void)state;
    struct course course = making_course("cyclic:base_lr=0.1,max_lr=1,step_size_up=10", 0.1);
    struct events events;
    events_find(&course, 1005, &events);
    assert_int_equal(events.count, EVENTS_MAX);
    assert_int_equal(events.count + events.more, 100);
    assert_int_equal(events.at[EVENTS_MAX - 1].step, 10 * EVENTS_MAX);
    course_deinit(&course);
}

static void phase__within_the_steps__is_one(void **state)
{
    (void)state;
    struct course course = making_course("multistep:milestones=10,50", 1);
    struct course_phase phase[] = {course.phase[0], course.phase[0], course.phase[0]};
    phase[1].from = 30;
    phase[2].from = 100;
    free(course.phase);
    course.phase = phase;
    course.phases = 3;
    assert_found(&course, 100, "10 jump, 30 phase, 50 jump");
    course.phase = NULL;
    course_deinit(&course);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant__has_none),
        cmocka_unit_test(smooth_curves__of_one_direction__have_none),
        cmocka_unit_test(step_down__is_a_jump),
        cmocka_unit_test(jump__of_a_small_learning_rate__is_seen),
        cmocka_unit_test(end_of_a_curve__begins_a_constant_stretch),
        cmocka_unit_test(constant_stretch__of_two_steps__is_none),
        cmocka_unit_test(end_of_a_constant_stretch__is_seen),
        cmocka_unit_test(warm_up__ends_in_a_top),
        cmocka_unit_test(triangles__have_tops_and_bottoms),
        cmocka_unit_test(waves__have_tops_and_bottoms),
        cmocka_unit_test(restart__is_a_bottom_and_a_jump),
        cmocka_unit_test(slope__that_changes__is_a_bend),
        cmocka_unit_test(long_curves__have_no_more_events_than_short_ones),
        cmocka_unit_test(top__of_a_very_flat_curve__is_one),
        cmocka_unit_test(constant_stretch__short_beside_the_whole__is_none),
        cmocka_unit_test(events__beyond_the_limit__are_counted),
        cmocka_unit_test(phase__within_the_steps__is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
