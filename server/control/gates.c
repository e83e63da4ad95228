/* SPDX-License-Identifier: Apache-2.0
 *
 * A decision stays in the gate until all shards have been sent it: they wait for it, and report
 * nothing new before.
 */
#include "server/control/gates.h"

#include <inttypes.h>

#include "server/control/orders.h"
#include "server/sync/gate.h"

enum stepd_status control_gate_open(struct control_job *job)
{
    return job_is_gated(job->job) ? gate_create(job->job, &job->gate) : STEPD_OK;
}

void control_gate_close(struct control_job *job)
{
    job->gate = gate_destroy(job->gate);
    job->decision_untold = false;
}

static void log_decision(const struct control *control, const struct control_job *job)
{
    const struct order *decision = &job->decision;
    if (decision->kind == ORDER_WITHOUT || decision->verdict == ORDER_APPLY)
        return;
    control_log(control, decision->verdict == ORDER_HALT ? "job_halted" : "step_skipped",
                "job=%s version=%" PRIu64 " cause=%s", control_quote(job->name).text,
                decision->version, control_quote(decision->error.text).text);
}

static void tell(struct control *control, struct control_job *job)
{
    job->decision_untold = control_order_like(control, &job->decision) != STEPD_OK;
}

void control_gate_take(struct control *control, struct control_job *job,
                       const struct notice *report)
{
    if (job->gate == NULL || !control_job_is_open(job) || !gate_take(job->gate, report))
        return;
    job->decision = (struct order){.job_name = job->name};
    gate_decide(job->gate, &job->decision);
    log_decision(control, job);
    tell(control, job);
}

void control_gate_on_tick(struct control *control, struct control_job *job)
{
    if (job->decision_untold)
        tell(control, job);
}
