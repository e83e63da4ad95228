/* SPDX-License-Identifier: Apache-2.0
 *
 * Hundreds of small trainings, each of another shape, under every fault that the network can
 * produce. Each seed is run twice: on one shard without a fault, and on its own number of shards
 * with faults; both must give the weights of the replay, bit for bit, in every view of every
 * version. At the end all optimizers, schedules and the rest must have been drawn.
 *
 *     STEPD_SIM_SEEDS=5000 sim_training      more of them
 *     STEPD_SIM_SEED=1234  sim_training      one of them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

enum { SEEDS = 1000 };

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* What all runs have seen together. */
struct all {
    struct cluster_story story;
    struct coverage coverage;
};

static void run(uint64_t seed, uint32_t shards, bool faults, struct all *all)
{
    struct plan plan;
    struct cluster_story of_run;
    struct cluster_story *story = &all->story;
    plan_init(&plan, seed, shards, faults, &all->coverage);
    cluster_run(&plan, &of_run);
    plan_deinit(&plan);
    story->events += of_run.events;
    story->connections += of_run.connections;
    story->breaks += of_run.breaks;
    story->resumes += of_run.resumes;
    story->requests += of_run.requests;
}

static void training__under_any_faults__ends_where_the_replay_does(void **state)
{
    (void)state;
    const uint64_t only = number_from("STEPD_SIM_SEED", 0);
    const uint64_t first = only != 0 ? only : 1;
    const uint64_t last = only != 0 ? only : number_from("STEPD_SIM_SEEDS", SEEDS);
    struct all all = {.story = {.events = 0}};
    for (uint64_t seed = first; seed <= last; seed++) {
        run(seed, 1, false, &all);
        run(seed, 0, true, &all);
    }
    const uint64_t seeds = last - first + 1;
    print_message("%llu seeds: %llu events, %llu requests, %llu connections, %llu broken, %llu "
                  "sessions resumed\n",
                  (unsigned long long)seeds, (unsigned long long)all.story.events,
                  (unsigned long long)all.story.requests, (unsigned long long)all.story.connections,
                  (unsigned long long)all.story.breaks, (unsigned long long)all.story.resumes);
    coverage_print(&all.coverage);
    assert_true(all.story.breaks > 0);
    if (only == 0)
        coverage_check(&all.coverage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training__under_any_faults__ends_where_the_replay_does),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
