/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peer/lent.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/message.h"

/* A snapshot that shares may come of. Control gives each another number. */
struct asked_snapshot {
    struct asked_snapshot *next;
    uint64_t query;
};

struct lent_share {
    struct lent_share *next;
    uint64_t query;
    char *job_name; /* owned */
    const struct job_state *state;
};

/* ---- Snapshots ------------------------------------------------------------------------------- */

/* Where it stands, or the end. */
static struct asked_snapshot **find(struct lent *lent, uint64_t query)
{
    struct asked_snapshot **at = &lent->asked;
    while (*at != NULL && (*at)->query != query)
        at = &(*at)->next;
    return at;
}

static void ask(struct lent *lent, uint64_t query)
{
    struct asked_snapshot *const asked = calloc(1, sizeof *asked);
    if (asked == NULL)
        return;
    *asked = (struct asked_snapshot){.next = lent->asked, .query = query};
    lent->asked = asked;
}

static void drop_asked(struct asked_snapshot **at)
{
    struct asked_snapshot *const asked = *at;
    *at = asked->next;
    free(asked);
}

static void drop_share(struct lent_share **at)
{
    struct lent_share *const share = *at;
    *at = share->next;
    free(share->job_name);
    free(share);
}

static void end(struct lent *lent, uint64_t query)
{
    struct asked_snapshot **const asked = find(lent, query);
    struct lent_share **at = &lent->share;
    if (*asked != NULL)
        drop_asked(asked);
    while (*at != NULL) {
        if ((*at)->query == query)
            drop_share(at);
        else
            at = &(*at)->next;
    }
}

void lent_note_order(struct lent *lent, const struct order *order)
{
    if (order->kind == ORDER_SNAPSHOT)
        ask(lent, order->query);
    else if (order->kind == ORDER_SNAPSHOT_END)
        end(lent, order->query);
}

void lent_forget(struct lent *lent)
{
    while (lent->asked != NULL)
        drop_asked(&lent->asked);
    while (lent->share != NULL)
        drop_share(&lent->share);
}

/* ---- Shares ---------------------------------------------------------------------------------- */

enum stepd_status lent_take(struct lent *lent, const struct notice *notice,
                            struct stepd_error *reterr)
{
    if (*find(lent, notice->query) == NULL)
        return stepd_fail(reterr, STEPD_ABORTED, "the snapshot was ended");
    struct lent_share *const share = calloc(1, sizeof *share);
    char *const job_name = strdup(notice->job_name);
    if (share == NULL || job_name == NULL) {
        free(share);
        free(job_name);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    }
    *share = (struct lent_share){
        .next = lent->share, .query = notice->query, .job_name = job_name, .state = notice->state};
    lent->share = share;
    return STEPD_OK;
}

size_t lent_newest(const struct lent *lent, const char *job_name,
                   const struct job_state **ret_share)
{
    size_t shares = 0;
    uint64_t newest = 0;
    for (const struct lent_share *at = lent->share; at != NULL; at = at->next) {
        if (strcmp(at->job_name, job_name) == 0 && at->query > newest)
            newest = at->query;
    }
    for (const struct lent_share *at = lent->share; at != NULL; at = at->next) {
        if (at->query == newest && shares < STEPD_SHARDS_MAX && strcmp(at->job_name, job_name) == 0)
            ret_share[shares++] = at->state;
    }
    return shares;
}
