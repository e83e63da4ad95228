/* SPDX-License-Identifier: Apache-2.0
 *
 * What control says to the shards of other daemons, and they to control. Control gives each order
 * to all shards, so one letter to a daemon is for all of its shards: it is sent with the order for
 * the first of them.
 *
 * A state that a shard has lent comes as what a manifest says of it, without floats. It is kept
 * here until control ends that snapshot, as the shard keeps its own.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/net/daemons_internal.h"
#include "server/peer/fits.h"
#include "server/persist/share.h"

#define RING_FIRST 64u

/* ---- What has arrived ------------------------------------------------------------------------ */

/* Makes room for one more. False: no memory. */
static bool reserve(struct daemon_link *link)
{
    assert(link->count <= link->room);
    if (link->count < link->room)
        return true;
    const size_t room = link->room == 0 ? RING_FIRST : 2 * link->room;
    struct sent_order *const grown = calloc(room, sizeof *grown);
    if (grown == NULL)
        return false;
    for (size_t i = 0; i < link->count; i++)
        grown[i] = link->sent[(link->first + i) % link->room];
    free(link->sent);
    link->sent = grown;
    link->first = 0;
    link->room = room;
    return true;
}

void daemons_note_arrived(struct daemon_link *link)
{
    const uint64_t seen = peer_link_seen(link->link);
    while (link->count > 0 && link->sent[link->first].sequence <= seen) {
        link->first = (link->first + 1) % link->room;
        link->count--;
    }
}

uint64_t daemons_ordered(const struct daemons *daemons)
{
    return daemons->ordered;
}

uint64_t daemons_arrived(const struct daemons *daemons)
{
    uint64_t arrived = daemons->ordered;
    for (size_t i = 1; i < daemons->options.count; i++) {
        const struct daemon_link *const link = &daemons->link[i];
        if (link->count > 0 && link->sent[link->first].number - 1 < arrived)
            arrived = link->sent[link->first].number - 1;
    }
    return arrived;
}

/* ---- Shares ---------------------------------------------------------------------------------- */

static void drop_share(struct remote_share **at)
{
    struct remote_share *const share = *at;
    *at = share->next;
    (void)job_state_unref(share->state);
    free(share);
}

/* Control has ended a snapshot: what the shards of this daemon have lent for it goes. */
static void end_shares(struct daemons *daemons, size_t place, const struct order *order)
{
    const struct roster_line *const line = &daemons->roster.line[place];
    struct remote_share **at = &daemons->share;
    while (*at != NULL) {
        const uint32_t shard = (*at)->shard;
        const bool is_its = shard >= line->first && shard - line->first < line->shards;
        if (is_its && (*at)->query == order->query)
            drop_share(at);
        else
            at = &(*at)->next;
    }
}

void daemons_forget_letters(struct daemons *daemons)
{
    while (daemons->share != NULL)
        drop_share(&daemons->share);
    for (size_t i = 1; daemons->link != NULL && i < daemons->options.count; i++)
        daemons->link[i].count = 0;
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* Without this letter the daemon cannot go on, nor can the reign: the next tick ends it. */
static void give_up(struct daemons *daemons, size_t place, const struct stepd_error *why)
{
    log_event(daemons->options.log, LOG_ERROR, "letter_lost", "place=%zu reason=%s", place,
              why->text);
    daemons->link[place].broken = true;
}

static void post(struct daemons *daemons, size_t place, struct peer_bytes *bytes)
{
    struct daemon_link *const at = &daemons->link[place];
    struct stepd_error error;
    if (!reserve(at)) {
        (void)peer_bytes_unref(bytes);
        (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "no memory for an order");
        give_up(daemons, place, &error);
        return;
    }
    const enum stepd_status status = peer_link_post(at->link, bytes, &error);
    if (status != STEPD_OK) {
        if (status != STEPD_UNAVAILABLE)
            give_up(daemons, place, &error);
        return;
    }
    at->sent[(at->first + at->count++) % at->room] =
        (struct sent_order){.number = ++daemons->ordered, .sequence = peer_link_posted(at->link)};
    if (at->conn != NULL)
        peer_conn_pump(at->conn);
}

void daemons_order(struct daemons *daemons, uint32_t shard, struct order *order)
{
    const size_t place = roster_place_of(&daemons->roster, shard);
    const struct roster_line *const line = &daemons->roster.line[place];
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    if (daemons->state != DAEMONS_REIGNING || shard != line->first) {
        (void)order_destroy(order);
        return;
    }
    assert(place > 0);
    if (order->kind == ORDER_SNAPSHOT_END)
        end_shares(daemons, place, order);
    if (peer_order_pack(order, shard, line->shards, &bytes, &error) == STEPD_OK)
        post(daemons, place, bytes);
    else
        give_up(daemons, place, &error);
    (void)order_destroy(order);
}

bool daemons_tell(struct daemons *daemons, size_t place, const struct peer_note *note)
{
    struct daemon_link *const at = &daemons->link[place];
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    if (peer_note_pack(note, &bytes, &error) != STEPD_OK ||
        peer_link_post(at->link, bytes, &error) != STEPD_OK)
        return false;
    if (at->conn != NULL)
        peer_conn_pump(at->conn);
    return true;
}

/* ---- Notices --------------------------------------------------------------------------------- */

/* Keeps what a shard has lent, and gives the notice a state to read. */
static enum stepd_status take_share(struct daemons *daemons, struct peer_letter *letter,
                                    struct job *job, struct stepd_error *reterr)
{
    struct notice *const notice = letter->notice;
    if (notice->kind != NOTICE_SNAPSHOT || letter->share.n == 0)
        return STEPD_OK;
    struct remote_share *const share = calloc(1, sizeof *share);
    if (share == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a share");
    const enum stepd_status status = share_unpack((const char *)letter->share.at, letter->share.n,
                                                  job, notice->shard, &share->state, reterr);
    if (status != STEPD_OK) {
        free(share);
        return status;
    }
    share->shard = notice->shard;
    share->query = notice->query;
    share->next = daemons->share;
    daemons->share = share;
    notice->state = share->state;
    return STEPD_OK;
}

static enum stepd_status take_notice(struct daemons *daemons, size_t place,
                                     struct peer_letter *letter, struct stepd_error *reterr)
{
    const struct daemons_io *const io = &daemons->options.io;
    const struct roster_line *const line = &daemons->roster.line[place];
    struct notice *const notice = letter->notice;
    if (notice->shard < line->first || notice->shard - line->first >= line->shards)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "daemon %zu speaks for shard %u, which is none of its", place,
                          notice->shard + 1);
    struct job *const job = io->job(io->owner, notice->job_name);
    if (job == NULL)
        return STEPD_OK; /* it was dropped meanwhile: nobody wants to know */
    enum stepd_status status = peer_notice_fits(notice, letter->sums, job, reterr);
    if (status == STEPD_OK)
        status = take_share(daemons, letter, job, reterr);
    if (status != STEPD_OK)
        return status;
    letter->notice = NULL;
    io->notice(io->owner, notice);
    return STEPD_OK;
}

static enum stepd_status take_note(struct daemons *daemons, size_t place,
                                   const struct peer_note *note)
{
    if (note->kind == PEER_NOTE_LEAVING)
        daemons->roster.line[place].leaving = true;
    daemons->options.io.note(daemons->options.io.owner, place, note);
    return STEPD_OK;
}

enum stepd_status daemons_letter(struct daemons *daemons, size_t place, const uint8_t *bytes,
                                 size_t n, struct stepd_error *reterr)
{
    struct peer_letter letter = {.order = NULL};
    enum stepd_status status = peer_letter_unpack(bytes, n, &letter, reterr);
    if (status != STEPD_OK)
        return status;
    if (letter.kind == PEER_NOTICE)
        status = take_notice(daemons, place, &letter, reterr);
    else if (letter.kind == PEER_NOTE)
        status = take_note(daemons, place, &letter.note);
    else
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "daemon %zu gives orders", place);
    peer_letter_deinit(&letter);
    return status;
}
