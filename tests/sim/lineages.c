/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/lineages.h"

void lineages_init(struct lineages *lineages, const struct plan *plan)
{
    *lineages = (struct lineages){.plan = plan, .newest = 1};
    lineages->replay[1] = replay_create(plan);
    lineages->witness[1] = witness_create(plan, lineages->replay[1]);
}

void lineages_deinit(struct lineages *lineages)
{
    for (uint64_t i = 1; i <= lineages->newest; i++) {
        if (lineages->replay[i] == NULL)
            continue;
        lineages->witness[i] = witness_destroy(lineages->witness[i]);
        lineages->replay[i] = replay_destroy(lineages->replay[i]);
    }
}

static void check(const struct lineages *lineages, uint64_t incarnation)
{
    if (incarnation > lineages->newest || lineages->replay[incarnation] == NULL)
        plan_fail(lineages->plan, "incarnation %llu, which there has not been",
                  (unsigned long long)incarnation);
}

void lineages_go_back(struct lineages *lineages, const struct snapshots_kept *snapshot,
                      uint64_t incarnation)
{
    if (incarnation <= lineages->newest || incarnation > LINEAGES_MAX) {
        plan_fail(lineages->plan, "the job is restored under incarnation %llu, after %llu",
                  (unsigned long long)incarnation, (unsigned long long)lineages->newest);
        return;
    }
    struct replay *replay = replay_create(lineages->plan);
    lineages->newest = incarnation;
    lineages->replay[incarnation] = replay;
    lineages->witness[incarnation] = witness_go_back(lineages->witness[snapshot->taken_in],
                                                     &snapshot->control, snapshot->state, replay);
}

const struct replay *lineages_replay(const struct lineages *lineages, uint64_t incarnation)
{
    check(lineages, incarnation);
    return lineages->replay[incarnation];
}

const struct witness *lineages_witness(const struct lineages *lineages, uint64_t incarnation)
{
    check(lineages, incarnation);
    return lineages->witness[incarnation];
}
