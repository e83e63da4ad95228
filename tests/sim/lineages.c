/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/lineages.h"

static void begin(struct lineages *lineages)
{
    const uint64_t number = ++lineages->newest;
    if (number > LINEAGES_MAX)
        plan_fail(lineages->plan, "too many incarnations");
    lineages->replay[number] = replay_create(lineages->plan);
    lineages->witness[number] = witness_create(lineages->plan, lineages->replay[number]);
}

void lineages_init(struct lineages *lineages, const struct plan *plan)
{
    *lineages = (struct lineages){.plan = plan};
    begin(lineages);
}

void lineages_begin_anew(struct lineages *lineages)
{
    lineages->base = lineages->newest;
    begin(lineages);
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

static void check(const struct lineages *lineages, uint64_t number)
{
    if (number == 0 || number > lineages->newest || lineages->replay[number] == NULL)
        plan_fail(lineages->plan, "lineage %llu, which there has not been",
                  (unsigned long long)number);
}

void lineages_go_back(struct lineages *lineages, const struct snapshots_kept *snapshot,
                      uint64_t incarnation)
{
    const uint64_t number = lineages->base + incarnation;
    if (number <= lineages->newest || number > LINEAGES_MAX) {
        plan_fail(lineages->plan, "the job is restored under incarnation %llu, after %llu",
                  (unsigned long long)incarnation,
                  (unsigned long long)(lineages->newest - lineages->base));
        return;
    }
    struct replay *replay = replay_create(lineages->plan);
    lineages->newest = number;
    lineages->replay[number] = replay;
    lineages->witness[number] =
        witness_go_back(lineages->witness[lineages->base + snapshot->taken_in], &snapshot->control,
                        snapshot->state, replay);
}

const struct replay *lineages_replay(const struct lineages *lineages, uint64_t number)
{
    check(lineages, number);
    return lineages->replay[number];
}

const struct witness *lineages_witness(const struct lineages *lineages, uint64_t number)
{
    check(lineages, number);
    return lineages->witness[number];
}
