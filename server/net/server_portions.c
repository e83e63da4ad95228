/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints of a job that several daemons hold, as far as their servers have to do with them.
 *
 *     control's daemon    server_ask        -> PEER_NOTE_WRITE to another one
 *                         PEER_NOTE_WRITTEN -> options.answered
 *     a member daemon     NOTICE_SNAPSHOT of a shard: what it has lent is kept here, and control is
 *                         told what a manifest says of it
 *                         PEER_NOTE_WRITE   -> options.write_portion, with what was lent
 *                         server_answer     -> PEER_NOTE_WRITTEN
 *
 * A shard frees what it has lent when it is told of the snapshot's end. Control may end one that is
 * not whole, as where some shards are past its version; so a notice may be on its way from one
 * shard when that has the end already: its share is not looked at.
 *
 * What is being written reads what shards have lent. So an order that ends a snapshot, and whatever
 * comes behind it, is held back until it is written or given up; the same goes for the end of a
 * reign (server_peers_ready).
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/net/server_internal.h"
#include "server/peer/portions.h"
#include "server/persist/share.h"

/* What a shard here has lent. */
struct lent_share {
    struct lent_share *next;
    uint32_t from; /* the shard, counted in this daemon */
    uint64_t query;
    char *job_name; /* owned */
    const struct job_state *state;
};

/* A snapshot that may be lent. */
struct asked_share {
    struct asked_share *next;
    uint64_t query;
};

struct held_order {
    struct held_order *next;
    struct order *order; /* owned */
};

/* ---- Control's daemon ------------------------------------------------------------------------ */

void server_ask(struct server *server, const char *job_name, const struct portion_request *request)
{
    uint8_t bytes[PEER_REQUEST_BYTES];
    peer_request_pack(request, bytes);
    const struct peer_note note = {
        .kind = PEER_NOTE_WRITE,
        .number = request->number,
        .text = job_name,
        .bytes = {.n = sizeof bytes, .at = bytes},
    };
    if (daemons_tell(server->daemons, request->index, &note))
        return;
    struct portion_answer answer = {.number = request->number, .index = request->index};
    (void)stepd_fail(&answer.error, STEPD_UNAVAILABLE, "it cannot be reached");
    server->options.answered(server->options.peers_owner, &answer);
}

void server_take_written(struct server *server, size_t place, const struct peer_note *note)
{
    struct portion_answer answer = {
        .number = note->number, .index = (uint32_t)place, .error = note->error};
    if (note->error.code == STEPD_OK) {
        answer.sums = malloc(note->bytes.n + 1);
        answer.sums_bytes = note->bytes.n;
        if (answer.sums == NULL)
            (void)stepd_fail(&answer.error, STEPD_RESOURCE_EXHAUSTED,
                             "no memory for its checksums");
        else
            memcpy(answer.sums, note->bytes.at, note->bytes.n);
    }
    server->options.answered(server->options.peers_owner, &answer);
}

/* ---- A member daemon: what is lent ----------------------------------------------------------- */

static void drop(struct lent_share **at)
{
    struct lent_share *const share = *at;
    *at = share->next;
    free(share->job_name);
    free(share);
}

static struct asked_share **find_asked(struct server *server, uint64_t query)
{
    struct asked_share **at = &server->reign.asked;
    while (*at != NULL && (*at)->query != query)
        at = &(*at)->next;
    return at;
}

/* Without memory nothing is taken of it. */
static void note_asked(struct server *server, uint64_t query)
{
    struct asked_share *const asked = calloc(1, sizeof *asked);
    if (asked == NULL)
        return;
    *asked = (struct asked_share){.next = server->reign.asked, .query = query};
    server->reign.asked = asked;
}

static void drop_asked(struct asked_share **at)
{
    struct asked_share *const asked = *at;
    if (asked == NULL)
        return;
    *at = asked->next;
    free(asked);
}

static bool keep(struct server *server, uint32_t from, const struct notice *notice)
{
    struct lent_share *const share = calloc(1, sizeof *share);
    char *const job_name = strdup(notice->job_name);
    if (share == NULL || job_name == NULL) {
        free(share);
        free(job_name);
        return false;
    }
    *share = (struct lent_share){.next = server->reign.lent,
                                 .from = from,
                                 .query = notice->query,
                                 .job_name = job_name,
                                 .state = notice->state};
    server->reign.lent = share;
    return true;
}

void server_send_share(struct server *server, uint32_t from, struct notice *notice)
{
    char *text = NULL;
    struct peer_opaque share = {.n = 0};
    enum stepd_status status = STEPD_OK;
    if (notice->state != NULL && *find_asked(server, notice->query) == NULL) {
        notice->state = NULL; /* the shard may have freed it */
        status = stepd_fail(&notice->error, STEPD_ABORTED, "the snapshot was ended");
    } else if (notice->state != NULL && !keep(server, from, notice)) {
        status = stepd_fail(&notice->error, STEPD_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    } else if (notice->state != NULL) {
        status = share_pack(notice->state, &text, &share.n, &notice->error);
    }
    if (status != STEPD_OK)
        notice->state = NULL; /* control ends it by its number */
    share.at = (const uint8_t *)text;
    deputy_notice(server->deputy, notice, 0, notice->state == NULL ? NULL : &share);
    free(text);
}

/* ---- A member daemon: orders that wait ------------------------------------------------------- */

static void end_snapshot(struct server *server, const struct order *order)
{
    struct lent_share **at = &server->reign.lent;
    drop_asked(find_asked(server, order->query));
    while (*at != NULL) {
        if ((*at)->query == order->query && strcmp((*at)->job_name, order->job_name) == 0)
            drop(at);
        else
            at = &(*at)->next;
    }
}

/* Keeps it for later. False: no memory. */
static bool hold(struct server *server, struct order *order)
{
    struct held_order *const held = calloc(1, sizeof *held);
    struct held_order **at = &server->reign.held;
    if (held == NULL)
        return false;
    held->order = order;
    while (*at != NULL)
        at = &(*at)->next;
    *at = held;
    return true;
}

bool server_must_hold(const struct server *server, const struct order *order)
{
    const bool ends = order->kind == ORDER_SNAPSHOT_END && server->reign.portions > 0;
    return ends || server->reign.held != NULL;
}

bool server_hold(struct server *server, struct order *order)
{
    if (order->kind == ORDER_SNAPSHOT_END)
        server->options.end(server->options.peers_owner); /* what is written is of no use */
    return hold(server, order);
}

void server_before_order(struct server *server, const struct order *order)
{
    if (order->kind == ORDER_SNAPSHOT)
        note_asked(server, order->query);
    if (order->kind == ORDER_SNAPSHOT_END)
        end_snapshot(server, order);
}

static void go_on(struct server *server)
{
    while (server->reign.held != NULL && server->reign.portions == 0) {
        struct held_order *const held = server->reign.held;
        server->reign.held = held->next;
        server_obey(server, held->order);
        free(held);
    }
}

/* ---- A member daemon: writing ---------------------------------------------------------------- */

void server_answer(struct server *server, void *token, struct portion_answer *answer)
{
    const struct peer_note note = {
        .kind = PEER_NOTE_WRITTEN,
        .number = answer->number,
        .text = "",
        .bytes = {.n = answer->sums_bytes, .at = (const uint8_t *)answer->sums},
        .error = answer->error,
    };
    (void)token;
    server->reign.portions--;
    (void)deputy_tell(server->deputy, &note);
    portion_answer_deinit(answer);
    go_on(server);
}

static void write_portion(struct server *server, const struct portion_request *request,
                          const char *job_name)
{
    const struct job_state *share[STEPD_SHARDS_MAX];
    size_t shares = 0;
    uint64_t newest = 0;
    for (const struct lent_share *at = server->reign.lent; at != NULL; at = at->next) {
        if (strcmp(at->job_name, job_name) == 0 && at->query > newest)
            newest = at->query;
    }
    for (const struct lent_share *at = server->reign.lent; at != NULL; at = at->next) {
        if (at->query == newest && strcmp(at->job_name, job_name) == 0)
            share[shares++] = at->state;
    }
    server->reign.portions++;
    if (shares > 0) {
        server->options.write_portion(server->options.peers_owner, request, share, shares, NULL);
        return;
    }
    struct portion_answer none = {.number = request->number, .index = request->index};
    (void)stepd_fail(&none.error, STEPD_FAILED_PRECONDITION, "its shards have lent nothing of it");
    server_answer(server, NULL, &none);
}

void server_take_request(struct server *server, const struct peer_note *note)
{
    struct portion_request request;
    struct portion_answer refusal = {.number = note->number};
    if (peer_request_unpack(note->bytes.at, note->bytes.n, &request, &refusal.error) == STEPD_OK) {
        write_portion(server, &request, note->text);
        return;
    }
    server->reign.portions++;
    server_answer(server, NULL, &refusal);
}

bool server_portions_ready(struct server *server)
{
    if (server->reign.portions == 0)
        return true;
    server->options.end(server->options.peers_owner);
    return server->reign.portions == 0;
}

void server_portions_forget(struct server *server)
{
    while (server->reign.asked != NULL)
        drop_asked(&server->reign.asked);
    while (server->reign.lent != NULL)
        drop(&server->reign.lent);
    while (server->reign.held != NULL) {
        struct held_order *const held = server->reign.held;
        server->reign.held = held->next;
        (void)order_destroy(held->order);
        free(held);
    }
}
