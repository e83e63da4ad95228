/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups, frame by frame: each tensor of a job with the group that took it, and what the next
 * update of its slowest slice will use. In sync mode the schedule's step is the version; in async
 * mode it is a slice's own count of updates, which is close to it.
 */
#include "proto/error.h"
#include "server/control/handle_status.h"
#include "server/control/jobs.h"
#include "server/control/page.h"
#include "server/control/query.h"
#include "server/control/waits.h"

/* Learning rate, weight decay, version. */
#define GROUP_NUMBERS 3u

static size_t tensor_bytes(const struct job *job, const struct tensor *tensor)
{
    const struct group *group = &job->group[tensor->group];
    return PAGE_TAG_BYTES + page_text_bytes(tensor->name) +
           page_list_bytes(tensor->dims, tensor->shape) + page_text_bytes(group->name) +
           page_text_bytes(group->optimizer->name) + page_text_bytes(group->schedule.kind->name) +
           GROUP_NUMBERS * PAGE_NUMBER_BYTES;
}

/* The index behind the final tensor that fits into a frame beginning with the first. */
static size_t fitting(const struct job *job, size_t first)
{
    size_t left = CONTROL_PAGE_BYTES;
    size_t end = first;
    for (; end < job->tensors; end++) {
        const size_t bytes = tensor_bytes(job, &job->tensor[end]);
        if (bytes > left)
            break;
        left -= bytes;
    }
    return end;
}

static struct stepd_tensor_group tensor_group(const struct job *job, const struct tensor *tensor,
                                              uint64_t version)
{
    const struct group *group = &job->group[tensor->group];
    return (struct stepd_tensor_group){
        .tensor = tensor->name,
        .dims = tensor->dims,
        .shape = tensor->shape,
        .group = group->name,
        .optimizer = group->optimizer->name,
        .schedule = group->schedule.kind->name,
        .lr = schedule_lr(&group->schedule, group->hyper.lr, version),
        .weight_decay = group->hyper.weight_decay,
        .version = version,
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
        end = fitting(job, first);
        struct stepd_tensor_group *tensor =
            stepd_arena_calloc(&pages->arena, end - first, sizeof *tensor);
        if (tensor == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "no memory to list the groups of job '%s'", job->name);
        for (size_t i = first; i < end; i++)
            tensor[i - first] = tensor_group(job, &job->tensor[i], version);
        struct stepd_message message = {
            .kind = STEPD_MESSAGE_GROUPS,
            .body.groups = {.tensors = end - first, .tensor = tensor, .last = end == job->tensors},
        };
        control_pages_put(pages, &message);
    } while (end < job->tensors);
    return STEPD_OK;
}
