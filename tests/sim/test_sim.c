/* SPDX-License-Identifier: Apache-2.0
 *
 * Thousands of small trainings, each of another shape, under every fault that the network can
 * produce. Each seed is run twice: on one shard without a fault, and on its own number of shards
 * with faults; both must give the weights of the replay, bit for bit, at every version.
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

enum { SEEDS = 300 };

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static void run(uint64_t seed, uint32_t shards, bool faults, struct cluster_story *story)
{
    struct plan plan = plan_init(seed, shards, faults);
    struct cluster_story of_run;
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
    struct cluster_story story = {.events = 0};
    for (uint64_t seed = first; seed <= last; seed++) {
        run(seed, 1, false, &story);
        run(seed, 0, true, &story);
    }
    print_message("%llu seeds: %llu events, %llu requests, %llu connections, %llu broken, %llu "
                  "sessions resumed\n",
                  (unsigned long long)(last - first + 1), (unsigned long long)story.events,
                  (unsigned long long)story.requests, (unsigned long long)story.connections,
                  (unsigned long long)story.breaks, (unsigned long long)story.resumes);
    assert_true(story.breaks > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training__under_any_faults__ends_where_the_replay_does),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
