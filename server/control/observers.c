/* SPDX-License-Identifier: Apache-2.0
 *
 * Observers among all sessions. They are few enough to be counted whenever another one comes.
 */
#include "server/control/observers.h"

#include <inttypes.h>

#include "proto/error.h"
#include "server/base/limit.h"
#include "server/control/jobs.h"

size_t control_observers(const struct control *control)
{
    size_t observers = 0;
    for (const struct control_session *at = control->first_session; at != NULL; at = at->next)
        observers += at->role == STEPD_OBSERVER;
    return observers;
}

enum stepd_status control_observer_create(struct control *control, struct control_job *job,
                                          const struct stepd_hello *hello,
                                          struct control_session **ret_session,
                                          struct stepd_error *reterr)
{
    const uint32_t most = control->options.observers_max;
    if (control_observers(control) >= most) {
        limit_refused(control->options.limits, LIMIT_OBSERVERS);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "%u observers are connected already; close some first, or raise the "
                          "server's observers_max",
                          (unsigned)most);
    }
    const enum stepd_status status =
        control_session_create(control, job, 0, hello, ret_session, reterr);
    if (status == STEPD_OK && job != NULL)
        job->observers++;
    return status;
}

void control_observer_drop(struct control *control, struct control_session *session)
{
    if (session->job != NULL)
        session->job->observers--;
    control_session_drop(control, session);
}

void control_observers_on_tick(struct control *control)
{
    struct control_session *next = NULL;
    for (struct control_session *session = control->first_session; session != NULL;
         session = next) {
        next = session->next;
        if (session->role != STEPD_OBSERVER || !control_session_is_over(session, control->now_ms))
            continue;
        control_log(control, "observer_lost", "job=%s observer=%s silent_s=%" PRIu64,
                    control_quote(session->job == NULL ? "" : session->job->name).text,
                    control_quote(session->worker).text,
                    control_session_silent_ms(session, control->now_ms) / 1000);
        control_observer_drop(control, session);
    }
}
