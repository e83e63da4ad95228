/* SPDX-License-Identifier: Apache-2.0
 *
 * One change of a job at a time is proposed; the next one follows when it is made, without waiting
 * for its version. What control knows of the shards' versions is old, so the first proposal may
 * well name a version that is over; the answers say how far the shards are. A job that takes steps
 * faster than orders travel would outrun every proposal, so those that follow leave it more and
 * more room.
 *
 * A shard without memory does not answer, and a proposal or a decision that there is no memory for
 * is not sent: the tick does both again.
 */
#include "server/control/changes.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/control/members.h"
#include "server/control/orders.h"

/* Shards answer as soon as they read their orders. */
#define ANSWER_MS 1000u

/* Versions between the highest known one and the one that is proposed: 2, and after the second
 * refusal twice as many each time. */
#define MARGIN              2u
#define MARGIN_DOUBLED_MOST 20u

struct control_change {
    struct control_change *next;
    struct order *order; /* owned */
};

static const char *name_of(enum order_change change)
{
    switch (change) {
    case ORDER_CHANGE_MEMBER: return "member";
    }
    return "";
}

/* ---- Proposing ------------------------------------------------------------------------------- */

static uint64_t margin(const struct control_changes *changes)
{
    const uint32_t doubled = changes->refusals > 1 ? changes->refusals - 1 : 0;
    return (uint64_t)MARGIN << (doubled < MARGIN_DOUBLED_MOST ? doubled : MARGIN_DOUBLED_MOST);
}

static void propose(struct control *control, struct control_job *job)
{
    struct control_changes *changes = &job->changes;
    changes->ask_again_ms = control->now_ms + ANSWER_MS;
    changes->left = control->options.shards;
    changes->refused = false;
    changes->number = ++control->query;
    changes->version = changes->highest + margin(changes);
    if (control_order_proposal(control, job) != STEPD_OK)
        changes->ask_again_ms = control->now_ms; /* the next tick */
}

enum stepd_status control_change_add(struct control *control, struct control_job *job,
                                     const struct order *like, struct stepd_error *reterr)
{
    struct control_change *change = malloc(sizeof *change);
    struct order *order = order_copy(like);
    if (change == NULL || order == NULL) {
        free(change);
        (void)order_destroy(order);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to change job '%s'",
                          job->name);
    }
    *change = (struct control_change){.order = order};
    struct control_change **at = &job->changes.first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = change;
    if (job->changes.first == change)
        propose(control, job);
    return STEPD_OK;
}

/* ---- Deciding -------------------------------------------------------------------------------- */

/* The shards know of it: so does control now. */
static void made(struct control *control, struct control_job *job, const struct order *order)
{
    control_log(control, "job_changed", "job=%s change=%s version=%" PRIu64,
                control_quote(job->name).text, name_of(order->change), order->version);
    switch (order->change) {
    case ORDER_CHANGE_MEMBER:
        control_member_admitted(control, job, order->rank, order->version);
        break;
    }
}

static void free_first(struct control_changes *changes)
{
    struct control_change *change = changes->first;
    changes->first = change->next;
    (void)order_destroy(change->order);
    free(change);
}

/* All shards have agreed to the version. Without memory the tick proposes it once more. */
static void decide(struct control *control, struct control_job *job)
{
    struct control_changes *changes = &job->changes;
    struct order *order = changes->first->order;
    order->version = changes->version;
    order->from = changes->version;
    order->clock = changes->version;
    changes->number = 0;
    if (control_order_like(control, order) != STEPD_OK)
        return;
    made(control, job, order);
    free_first(changes);
    changes->refusals = 0;
    if (changes->first != NULL)
        propose(control, job);
}

void control_change_answered(struct control *control, struct control_job *job,
                             const struct notice *notice)
{
    struct control_changes *changes = &job->changes;
    if (notice->version_max > changes->highest)
        changes->highest = notice->version_max;
    if (changes->first == NULL || notice->query != changes->number || changes->left == 0)
        return;
    changes->refused = changes->refused || !notice->agreed;
    if (--changes->left > 0)
        return;
    if (!changes->refused) {
        decide(control, job);
        return;
    }
    changes->refusals++;
    propose(control, job);
}

void control_changes_on_tick(struct control *control, struct control_job *job)
{
    const struct control_changes *changes = &job->changes;
    if (changes->first != NULL && control->now_ms >= changes->ask_again_ms)
        propose(control, job);
}

void control_changes_drop(struct control_job *job)
{
    while (job->changes.first != NULL)
        free_first(&job->changes);
    job->changes = (struct control_changes){.first = NULL};
}
