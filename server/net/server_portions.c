/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints of a job that several daemons hold, as far as their servers have to do with them.
 *
 *     control's daemon    server_ask        -> PEER_NOTE_WRITE to another one
 *                         PEER_NOTE_WRITTEN -> options.answered
 *     a member daemon     NOTICE_SNAPSHOT of a shard: what it has lent is kept (peer/lent.h), and
 *                         control is told what a manifest says of it
 *                         PEER_NOTE_WRITE   -> options.write_portion, with what was lent
 *                         server_answer     -> PEER_NOTE_WRITTEN
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

void server_send_share(struct server *server, struct notice *notice)
{
    char *text = NULL;
    struct peer_opaque share = {.n = 0};
    enum stepd_status status = STEPD_OK;
    if (notice->state != NULL)
        status = lent_take(&server->reign.lent, notice, &notice->error);
    if (notice->state != NULL && status == STEPD_OK)
        status = share_pack(notice->state, &text, &share.n, &notice->error);
    if (status != STEPD_OK)
        notice->state = NULL; /* control ends it by its number */
    share.at = (const uint8_t *)text;
    deputy_notice(server->deputy, notice, 0, notice->state == NULL ? NULL : &share);
    free(text);
}

/* ---- A member daemon: orders that wait ------------------------------------------------------- */

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
    const size_t shares = lent_newest(&server->reign.lent, job_name, share);
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
    lent_forget(&server->reign.lent);
    while (server->reign.held != NULL) {
        struct held_order *const held = server->reign.held;
        server->reign.held = held->next;
        (void)order_destroy(held->order);
        free(held);
    }
}
