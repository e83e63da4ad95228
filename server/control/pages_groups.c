/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups, frame by frame: each tensor of a job with the group that took it, and what the next
 * update of its slowest slice will use: the optimizer of the phase that the group is in, and the
 * schedule's learning rate. In sync mode the schedule's step is the version; in async mode it is a
 * slice's own count of updates, which is close to it. What depends on the losses so far is known to
 * the shards alone: a plateau shows what it begins with.
 */
#include "proto/error.h"
#include "server/control/edits.h"
#include "server/control/handle_status.h"
#include "server/control/jobs.h"
#include "server/control/page.h"
#include "server/control/query.h"
#include "server/control/waits.h"

/* What stands for the optimizer of a group that is never updated. */
static const char frozen[] = "frozen";

/* Learning rates, weight decay, version, and the change. */
#define GROUP_NUMBERS 6u

static const char *optimizer_name(const struct group *group, uint64_t version)
{
    return group->frozen ? frozen : group_phase(group, version)->optimizer->name;
}

/* What a group is now, or will be at the version that its newest change begins with. */
struct state {
    const struct group *group;
    uint64_t version; /* that its next update starts from */
    uint64_t change;
    uint64_t change_version;
};

static struct state state_of(const struct control_job *job, uint32_t group, uint64_t version)
{
    const struct control_group *changed =
        group < job->history.groups ? &job->history.group[group] : NULL;
    struct state state = {.group = control_group_now(job, group), .version = version};
    if (changed == NULL || changed->now == NULL)
        return state;
    state.change = changed->number;
    state.change_version = changed->version;
    state.version = version > changed->version ? version : changed->version;
    return state;
}

static size_t tensor_bytes(const struct control_job *job, const struct tensor *tensor,
                           uint64_t version)
{
    const struct state state = state_of(job, tensor->group, version);
    const struct group *group = state.group;
    return PAGE_TAG_BYTES + page_text_bytes(tensor->name) +
           page_list_bytes(tensor->dims, tensor->shape) + page_text_bytes(group->name) +
           page_text_bytes(optimizer_name(group, state.version)) +
           page_text_bytes(group->schedule.kind->name) + GROUP_NUMBERS * PAGE_NUMBER_BYTES;
}

/* The index behind the final tensor that fits into a frame beginning with the first. */
static size_t fitting(const struct control_job *job, size_t first, uint64_t version)
{
    size_t left = CONTROL_PAGE_BYTES;
    size_t end = first;
    for (; end < job->job->tensors; end++) {
        const size_t bytes = tensor_bytes(job, &job->job->tensor[end], version);
        if (bytes > left)
            break;
        left -= bytes;
    }
    return end;
}

static struct stepd_tensor_group tensor_group(const struct control_job *job,
                                              const struct tensor *tensor, uint64_t version)
{
    const struct state state = state_of(job, tensor->group, version);
    const struct group *group = state.group;
    const struct optim_hyper *hyper = &group_phase(group, state.version)->hyper;
    const double lr = schedule_lr(&group->schedule, hyper->lr, state.version);
    return (struct stepd_tensor_group){
        .tensor = tensor->name,
        .dims = tensor->dims,
        .shape = tensor->shape,
        .group = group->name,
        .optimizer = optimizer_name(group, state.version),
        .schedule = group->schedule.kind->name,
        .lr = group->frozen ? 0.0 : lr,
        .weight_decay = group->frozen ? 0.0 : hyper->weight_decay,
        .version = version,
        .base_lr = group->frozen ? 0.0 : hyper->lr,
        .change = state.change,
        .change_version = state.change_version,
    };
}

enum stepd_status control_groups_pages(const struct control_wait *wait, struct control_pages *pages,
                                       struct stepd_error *reterr)
{
    const struct job *job = wait->job->job;
    const uint64_t version = control_query_tally(wait->query, wait->job)->version_min;
    size_t end = 0;
    do {
        const size_t first = end;
        end = fitting(wait->job, first, version);
        struct stepd_tensor_group *tensor =
            stepd_arena_calloc(&pages->arena, end - first, sizeof *tensor);
        if (tensor == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no memory to list the groups of job '%s'", job->name);
        for (size_t i = first; i < end; i++)
            tensor[i - first] = tensor_group(wait->job, &job->tensor[i], version);
        struct stepd_message message = {
            .kind = STEPD_MESSAGE_GROUPS,
            .body.groups = {.tensors = end - first, .tensor = tensor, .last = end == job->tensors},
        };
        control_pages_put(pages, &message);
    } while (end < job->tensors);
    return STEPD_OK;
}
