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

static void log_without(const struct control *control, const struct control_job *job)
{
    for (size_t i = 0; i < job->decision.ranks; i++)
        control_log(control, "step_without", "job=%s version=%" PRIu64 " rank=%u",
                    control_quote(job->name).text, job->decision.version,
                    job->decision.rank_list[i]);
}

static void log_decision(const struct control *control, const struct control_job *job)
{
    const struct order *decision = &job->decision;
    if (decision->kind == ORDER_WITHOUT)
        log_without(control, job);
    else if (decision->verdict != ORDER_APPLY)
        control_log(control, decision->verdict == ORDER_HALT ? "job_halted" : "step_skipped",
                    "job=%s version=%" PRIu64 " cause=%s", control_quote(job->name).text,
                    decision->version, control_quote(decision->error.text).text);
}

/* The shards halt by the decision itself. */
static void fail_if_halted(struct control *control, struct control_job *job)
{
    const struct order *decision = &job->decision;
    struct stepd_error why;
    if (decision->kind != ORDER_COMMIT || decision->verdict != ORDER_HALT)
        return;
    gate_explain_halt(job->name, decision->version, &decision->error, &why);
    control_job_fail(control, job, &why, /* shards_know= */ true);
}

static void tell(struct control *control, struct control_job *job)
{
    job->decision_untold = control_order_like(control, &job->decision) != STEPD_OK;
}

/* From a step on a group may have another clip_norm. Of one group later changes have no lower
 * versions, so it has that of the newest that has begun. */
static void reach_changes(struct control_job *job)
{
    const uint64_t version = gate_version(job->gate);
    for (const struct group_changes *at = job->history.coming; at != NULL; at = at->next) {
        for (size_t i = 0; i < at->count && at->version <= version; i++)
            gate_set_clip_norm(job->gate, at->change[i].index,
                               at->change[i].group->group.treatment.clip_norm);
    }
}

void control_gate_restore(struct control_job *job, const struct job_state *state)
{
    if (job->gate == NULL)
        return;
    gate_start_at(job->gate, state->version);
    for (size_t i = 0; i < job->job->layout.slices; i++) {
        const struct shared_group *changed = state->slice[i].changed;
        if (changed != NULL)
            gate_set_clip_norm(job->gate, job->job->layout.slice[i].group,
                               changed->group.treatment.clip_norm);
    }
}

void control_gate_take(struct control *control, struct control_job *job,
                       const struct notice *report)
{
    if (job->gate == NULL || !control_job_is_open(job) || !gate_take(job->gate, report))
        return;
    reach_changes(job);
    job->decision = (struct order){.job_name = job->name};
    gate_decide(job->gate, &job->decision);
    log_decision(control, job);
    tell(control, job);
    fail_if_halted(control, job);
}

void control_gate_on_tick(struct control *control, struct control_job *job)
{
    if (job->decision_untold)
        tell(control, job);
}
