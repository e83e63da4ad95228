/* SPDX-License-Identifier: Apache-2.0 */
#include "server/control/limits.h"

#include "server/base/limit.h"
#include "server/control/drafts.h"
#include "server/control/observers.h"
#include "server/control/opening.h"

/* What control knows better than any counter. */
static void look_up(const struct control *control)
{
    struct limits *const limits = control->options.limits;
    limit_set(limits, LIMIT_OBSERVERS, control_observers(control));
    limit_set(limits, LIMIT_JOBS, control->jobs);
    limit_set(limits, LIMIT_DEFINITIONS, control_drafts_bytes(control));
    limit_set(limits, LIMIT_MEMORY, control_opened_bytes(control));
}

/* Where several daemons serve the jobs, those of the one that has control hold. */
static bool is_of_jobs(enum limit limit)
{
    return limit == LIMIT_JOBS || limit == LIMIT_TENSORS || limit == LIMIT_DEFINITIONS ||
           limit == LIMIT_JOB_MEMORY || limit == LIMIT_MEMORY;
}

size_t control_limits(const struct control *control, struct stepd_limit_status *ret_limit)
{
    struct limits *const limits = control->options.limits;
    if (limits == NULL)
        return 0;
    look_up(control);
    size_t count = 0;
    for (size_t i = 0; i < LIMITS; i++) {
        if (control->place > 0 && is_of_jobs((enum limit)i))
            continue;
        ret_limit[count++] = (struct stepd_limit_status){
            .name = limit_key((enum limit)i),
            .used = atomic_load_explicit(&limits->used[i], memory_order_relaxed),
            .max = limits->max[i],
            .refused = atomic_load_explicit(&limits->refused[i], memory_order_relaxed),
        };
    }
    return count;
}
