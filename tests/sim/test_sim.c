/* SPDX-License-Identifier: Apache-2.0
 *
 * Thousands of small trainings, each of another shape, under every fault that the network can
 * produce. Each seed is run twice: on one shard without a fault, and on its own number of shards
 * with faults; both must give the weights of the replay, bit for bit, in every view of every
 * version, and the same at the end where the mode promises that. At last all optimizers, schedules
 * and the rest must have been drawn.
 *
 *     sim_training [PART PARTS SEEDS]        one of several parts, 0 first, of so many seeds
 *
 *     STEPD_SIM_SEEDS=100000 sim_training    so many of them, whatever the arguments say
 *     STEPD_SIM_FIRST=50001  sim_training    from this one on
 *     STEPD_SIM_SEED=1234    sim_training    one of them
 *     STEPD_SIM_TRACE=1      sim_training    and all that happens in it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"
#include "tests/sim/range.h"

/* Seeds of a whole run, and of one that must have drawn everything. */
enum { SEEDS = 10000, SEEDS_FOR_ALL = 1000 };

/* What all runs have seen together. */
struct all {
    struct range range;
    struct cluster_story story;
    struct course course;
};

/* Gives a number for the weights at the end; 0 where these are not known beforehand. */
static uint64_t run(uint64_t seed, uint32_t shards, bool faults, struct all *all)
{
    struct plan plan;
    struct cluster_story of_run;
    struct cluster_story *story = &all->story;
    plan_init(&plan, seed, shards, faults, &all->course);
    cluster_run(&plan, &of_run);
    const uint64_t hash = plan.same_bits ? of_run.hash : 0;
    plan_deinit(&plan);
    story->events += of_run.events;
    story->connections += of_run.connections;
    story->breaks += of_run.breaks;
    story->resumes += of_run.resumes;
    story->requests += of_run.requests;
    return hash;
}

static void training__under_any_faults__ends_where_the_replay_does(void **state)
{
    struct all *all = *state;
    const struct cluster_story *story = &all->story;
    const uint64_t seeds = all->range.end - all->range.first;
    for (uint64_t seed = all->range.first; seed < all->range.end; seed++) {
        const uint64_t hash = run(seed, 1, false, all);
        if (run(seed, 0, true, all) != hash)
            fail_msg("seed %llu: with faults the weights end otherwise", (unsigned long long)seed);
    }
    print_message("%llu seeds from %llu on: %llu events, %llu requests, %llu connections, %llu "
                  "broken, %llu sessions resumed\n",
                  (unsigned long long)seeds, (unsigned long long)all->range.first,
                  (unsigned long long)story->events, (unsigned long long)story->requests,
                  (unsigned long long)story->connections, (unsigned long long)story->breaks,
                  (unsigned long long)story->resumes);
    coverage_print(&all->course.coverage);
    assert_true(seeds > 0 && story->breaks > 0);
    if (seeds >= SEEDS_FOR_ALL)
        coverage_check(&all->course.coverage);
}

int main(int argc, char **argv)
{
    static struct all all;
    all.range = range_from(argc, argv, SEEDS);
    all.course.program = argv[0];
    all.course.trace = range_number("STEPD_SIM_TRACE", 0) != 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(training__under_any_faults__ends_where_the_replay_does, &all),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
