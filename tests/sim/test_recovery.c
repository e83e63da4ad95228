/* SPDX-License-Identifier: Apache-2.0
 *
 * Thousands of small trainings with the real client's brain, in which connections, workers and the
 * daemon die, and the daemon comes back from a snapshot. Where the mode promises the same bits, a
 * run must end with those of a run without any fault, which workers of another kind have made
 * (cluster.h).
 *
 *     sim_recovery [PART PARTS SEEDS]        one of several parts, 0 first, of so many seeds
 *
 *     STEPD_SIM_SEEDS=100000 sim_recovery    so many of them, whatever the arguments say
 *     STEPD_SIM_FIRST=50001  sim_recovery    from this one on
 *     STEPD_SIM_SEED=1234    sim_recovery    one of them
 *     STEPD_SIM_TRACE=1      sim_recovery    and all that happens in it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"
#include "tests/sim/range.h"
#include "tests/sim/recovery.h"

enum { SEEDS = 5000, RUNS_FOR_ALL = 100 };

struct all {
    struct range range;
    struct course course;
    struct recovery_story story;
    uint64_t runs;
    uint64_t compared;
};

/* Of the weights at the end, without a fault. */
static uint64_t undisturbed(uint64_t seed, struct all *all)
{
    struct plan plan;
    struct cluster_story story;
    plan_init(&plan, seed, 1, /* faults= */ false, &all->course);
    plan_calm(&plan);
    cluster_run(&plan, &story);
    plan_deinit(&plan);
    return story.hash;
}

static void run(uint64_t seed, struct all *all)
{
    struct plan plan;
    struct recovery_story story;
    plan_init(&plan, seed, 0, /* faults= */ true, &all->course);
    plan_calm(&plan);
    if (recovery_takes(&plan)) {
        recovery_run(&plan, &story);
        const bool same = plan.same_bits && plan.job->consistency.mode == STEPD_SYNC;
        if (same && undisturbed(seed, all) != story.hash)
            plan_fail(&plan, "the weights end otherwise than without a fault");
        all->runs++;
        all->compared += same;
        all->story.events += story.events;
        all->story.connections += story.connections;
        all->story.breaks += story.breaks;
        all->story.deaths += story.deaths;
        all->story.crashes += story.crashes;
        all->story.lost += story.lost;
        all->story.snapshots += story.snapshots;
        all->story.rollbacks += story.rollbacks;
        all->story.rings += story.rings;
    }
    plan_deinit(&plan);
}

static void training__through_crashes__ends_as_if_there_were_none(void **state)
{
    struct all *all = *state;
    const struct recovery_story *story = &all->story;
    for (uint64_t seed = all->range.first; seed < all->range.end; seed++)
        run(seed, all);
    print_message(
        "%llu runs of seeds %llu to %llu: %llu events, %llu connections, %llu faults, %llu deaths of "
        "workers, %llu crashes of the daemon, %llu with the job, %llu snapshots, %llu times told of "
        "going back, %llu compared with an undisturbed run, %llu rings\n",
        (unsigned long long)all->runs, (unsigned long long)all->range.first,
        (unsigned long long)all->range.end - 1, (unsigned long long)story->events,
        (unsigned long long)story->connections, (unsigned long long)story->breaks,
        (unsigned long long)story->deaths, (unsigned long long)story->crashes,
        (unsigned long long)story->lost, (unsigned long long)story->snapshots,
        (unsigned long long)story->rollbacks, (unsigned long long)all->compared,
        (unsigned long long)story->rings);
    assert_true(story->rings <= all->runs / 100);
    assert_true(all->range.end > all->range.first);
    if (all->runs >= RUNS_FOR_ALL)
        assert_true(story->deaths > 0 && story->crashes > story->lost && story->lost > 0 &&
                    story->rollbacks > 0 && all->compared > 0);
}

int main(int argc, char **argv)
{
    static struct all all;
    all.range = range_from(argc, argv, SEEDS);
    all.course.program = argv[0];
    all.course.trace = range_number("STEPD_SIM_TRACE", 0) != 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(training__through_crashes__ends_as_if_there_were_none, &all),
    };
    return cmocka_run_group_tests_name("sim_recovery", tests, NULL, NULL);
}
