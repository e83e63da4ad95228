/* SPDX-License-Identifier: Apache-2.0
 *
 * Attempts follow each other for ever: a member daemon may be there before control's, and stays
 * when that is gone. The log is told when the reason changes why there is no link, and again after
 * a while, and not at each attempt.
 */
#include "server/net/deputy_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/error.h"
#include "server/net/dial.h"
#include "server/net/peer_conn.h"
#include "server/peer/fits.h"

#define REST_MOST_MS 2000u

static uint64_t now_of(const struct deputy *deputy)
{
    return uv_now(deputy->options.uv);
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- Attempts -------------------------------------------------------------------------------- */

void deputy_note_trouble(struct deputy *deputy, const struct stepd_error *why)
{
    const bool same =
        deputy->trouble.code == why->code && strcmp(deputy->trouble.text, why->text) == 0;
    if (same && now_of(deputy) < deputy->log_ms)
        return;
    deputy->trouble = *why;
    deputy->log_ms = now_of(deputy) + DEPUTY_LOG_AGAIN_MS;
    log_event(deputy->options.log, LOG_WARN, "not_joined", "control=%s reason=%s",
              deputy->options.control, why->text);
}

void deputy_rest(struct deputy *deputy)
{
    if (deputy->state == DEPUTY_CLOSED)
        return;
    deputy->state = DEPUTY_RESTING;
    deputy->waits = false;
    deputy->conn = NULL;
    deputy->next_ms = now_of(deputy) + deputy->rest_ms;
    deputy->rest_ms = deputy->rest_ms * 2 < REST_MOST_MS ? deputy->rest_ms * 2 : REST_MOST_MS;
}

static void on_dialled(void *owner, struct caller *caller, const struct stepd_error *error)
{
    struct deputy *const deputy = owner;
    deputy->dialling = false;
    if (deputy->state == DEPUTY_CLOSED) {
        (void)caller_destroy(caller);
    } else if (caller == NULL) {
        deputy_note_trouble(deputy, error);
        deputy_rest(deputy);
    } else {
        deputy->state = DEPUTY_JOINING;
        peer_conns_serve(deputy->conns, caller);
        if (deputy->conn == NULL)
            deputy_rest(deputy);
    }
    deputy->options.io.gone(deputy->options.io.owner, /* known= */ true);
}

static void dial(struct deputy *deputy)
{
    const struct deputy_options *const to = &deputy->options;
    const struct dial_options options = {
        .uv = to->uv,
        .address = to->control,
        .tls = to->tls,
        .tcp_congestion = to->tcp_congestion,
        .stop = &deputy->stop,
        .owner = deputy,
        .done = on_dialled,
    };
    deputy->state = DEPUTY_DIALLING;
    deputy->dialling = dial_start(&options) == STEPD_OK;
    if (!deputy->dialling)
        deputy_rest(deputy);
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void on_opened(void *owner, struct peer_conn *conn)
{
    struct deputy *const deputy = owner;
    const struct deputy_options *const to = &deputy->options;
    const struct stepd_message message = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_JOIN,
        .body.join =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .version = to->version,
                .place = to->place,
                .daemons = to->daemons,
                .others = to->others,
                .address = to->address,
                .shards = to->shards,
                .instance = {.count = sizeof to->instance, .at = to->instance},
                .reign = peer_link_reign(deputy->link),
                .expects = peer_link_expects(deputy->link),
                .clock_ms = wall_ms(),
                .token = {.count = strlen(to->token), .at = (const uint8_t *)to->token},
            },
    };
    deputy->conn = conn;
    deputy->heard_ms = now_of(deputy);
    peer_conn_say(conn, &message);
}

/* What the shards have is of no use any more. */
static void forget(struct deputy *deputy, const struct deputy_reign *reign, const char *why)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "%s", why);
    if (deputy->had_reign || reign != NULL)
        deputy->options.io.reset(deputy->options.io.owner, reign, &error);
    deputy->had_reign = reign != NULL;
    deputy->owes_reset = false;
}

static void note_joined(struct deputy *deputy, const struct stepd_joined *joined, bool again)
{
    log_event(deputy->options.log, LOG_INFO, again ? "link_back" : "joined",
              "control=%s first_shard=%u shards=%u", deputy->options.control,
              (unsigned)joined->first_shard + 1, (unsigned)joined->shards);
    deputy->trouble.code = STEPD_OK;
    deputy->rest_ms = DEPUTY_REST_FIRST_MS;
    deputy->state = DEPUTY_JOINED;
    deputy->waits = false;
    deputy->reign = joined->reign;
    deputy->first = joined->first_shard;
}

/* The folder of checkpoints must be one for all. */
static void look_for_probe(struct deputy *deputy, const struct stepd_joined *joined)
{
    const struct deputy_io *const io = &deputy->options.io;
    struct peer_note note = {.kind = PEER_NOTE_PROBED, .text = ""};
    note.error.code = io->sees(io->owner, joined->probe, &note.error);
    if (note.error.code != STEPD_OK)
        deputy_note_trouble(deputy, &note.error);
    (void)deputy_tell(deputy, &note);
}

static enum stepd_status on_joined(struct deputy *deputy, const struct stepd_joined *joined,
                                   struct stepd_error *reterr)
{
    const struct deputy_reign reign = {.first = joined->first_shard, .total = joined->shards};
    struct peer_terms terms = {.reign = joined->reign, .expects = joined->expects};
    memcpy(terms.instance, deputy->options.instance, sizeof terms.instance);
    if (joined->shards - joined->first_shard < deputy->options.shards)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "control counts %u shards in all, and %u of this daemon from %u on are not "
            "among them",
            (unsigned)joined->shards, (unsigned)deputy->options.shards,
            (unsigned)joined->first_shard + 1);
    switch (peer_link_meet(deputy->link, &terms, reterr)) {
    case PEER_MEET_ON:
        peer_link_go_on(deputy->link, &terms, now_of(deputy));
        note_joined(deputy, joined, /* again= */ true);
        peer_conn_carry(deputy->conn, deputy->link);
        return STEPD_OK;
    case PEER_MEET_FIRST:
    case PEER_MEET_OTHER:
        if (!deputy->options.io.ready(deputy->options.io.owner))
            return stepd_fail(reterr, STEPD_UNAVAILABLE,
                              "daemon %u still writes a checkpoint of the last reign",
                              (unsigned)deputy->options.place);
        forget(deputy, &reign, "another reign begins; connect again");
        peer_link_begin(deputy->link, terms.instance, joined->reign, now_of(deputy));
        note_joined(deputy, joined, /* again= */ false);
        peer_conn_carry(deputy->conn, deputy->link);
        look_for_probe(deputy, joined);
        return STEPD_OK;
    case PEER_MEET_TAKEN:
    case PEER_MEET_BROKEN: break;
    }
    peer_link_clear(deputy->link);
    deputy->owes_reset = true;
    return reterr->code;
}

static enum stepd_status on_greeted(void *owner, struct peer_conn *conn,
                                    const struct stepd_message *message, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    struct deputy *const deputy = owner;
    (void)now_ms;
    if (message->kind == STEPD_MESSAGE_JOINED && deputy->state == DEPUTY_JOINING)
        return on_joined(deputy, &message->body.joined, reterr);
    if (message->kind != STEPD_MESSAGE_ERROR)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s is nothing that control says here",
                          stepd_message_name(message->kind));
    struct stepd_error why;
    (void)stepd_fail(&why, message->body.error.code, "%s", message->body.error.text);
    deputy_note_trouble(deputy, &why);
    peer_conn_end(conn, NULL);
    deputy_rest(deputy);
    return STEPD_OK;
}

static void on_closed(void *owner, struct peer_conn *conn, const struct stepd_error *why)
{
    struct deputy *const deputy = owner;
    if (deputy->conn != conn)
        return;
    if (deputy->state == DEPUTY_JOINED || deputy->trouble.code == STEPD_OK)
        deputy_note_trouble(deputy, why);
    deputy_rest(deputy);
}

/* ---- Letters --------------------------------------------------------------------------------- */

/* Without this notice control cannot go on: the link, and so the reign, begins anew. */
static void give_up(struct deputy *deputy, const struct stepd_error *why)
{
    log_event(deputy->options.log, LOG_ERROR, "letter_lost", "reason=%s", why->text);
    deputy->broken = true;
}

static bool post(struct deputy *deputy, struct peer_bytes *bytes)
{
    struct stepd_error error;
    const enum stepd_status status = peer_link_post(deputy->link, bytes, &error);
    if (status != STEPD_OK && status != STEPD_UNAVAILABLE)
        give_up(deputy, &error);
    if (status == STEPD_OK && deputy->conn != NULL)
        peer_conn_pump(deputy->conn);
    return status == STEPD_OK;
}

void deputy_notice(struct deputy *deputy, struct notice *notice, size_t sums,
                   const struct peer_opaque *share)
{
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    if (peer_notice_pack(notice, sums, share, &bytes, &error) == STEPD_OK)
        (void)post(deputy, bytes);
    else
        give_up(deputy, &error);
    (void)notice_destroy(notice);
}

bool deputy_tell(struct deputy *deputy, const struct peer_note *note)
{
    struct peer_bytes *bytes = NULL;
    struct stepd_error error;
    if (peer_note_pack(note, &bytes, &error) == STEPD_OK)
        return post(deputy, bytes);
    give_up(deputy, &error);
    return false;
}

static enum stepd_status take_order(struct deputy *deputy, struct peer_letter *letter,
                                    struct stepd_error *reterr)
{
    const struct deputy_io *const io = &deputy->options.io;
    struct order *const order = letter->order;
    const struct job *const job =
        order->kind == ORDER_JOB_OPEN ? order->job : io->job(io->owner, order->job_name);
    if (letter->shard != deputy->first || letter->shards != deputy->options.shards)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "an order to %u shards from %u on, which are not those of this daemon",
                          (unsigned)letter->shards, (unsigned)letter->shard + 1);
    const enum stepd_status status = peer_order_fits(order, job, reterr);
    if (status != STEPD_OK)
        return status;
    letter->order = NULL;
    io->order(io->owner, order);
    return STEPD_OK;
}

static enum stepd_status on_letter(void *owner, struct peer_conn *conn, const uint8_t *bytes,
                                   size_t n, uint64_t now_ms, struct stepd_error *reterr)
{
    struct deputy *const deputy = owner;
    struct peer_letter letter = {.order = NULL};
    (void)conn;
    (void)now_ms;
    enum stepd_status status = peer_letter_unpack(bytes, n, &letter, reterr);
    if (status != STEPD_OK)
        return status;
    if (letter.kind == PEER_ORDER)
        status = take_order(deputy, &letter, reterr);
    else if (letter.kind == PEER_NOTE)
        deputy->options.io.note(deputy->options.io.owner, &letter.note);
    else
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "control gives notice");
    peer_letter_deinit(&letter);
    return status;
}

static void on_progressed(void *owner, struct peer_conn *conn)
{
    (void)owner;
    (void)conn;
}

static void on_gone(void *owner, bool known)
{
    const struct deputy *const deputy = owner;
    deputy->options.io.gone(deputy->options.io.owner, known);
}

/* ---- Life ------------------------------------------------------------------------------------ */

struct deputy *deputy_create(const struct deputy_options *options)
{
    struct deputy *const deputy = calloc(1, sizeof *deputy);
    if (deputy == NULL)
        return NULL;
    deputy->options = *options;
    deputy->rest_ms = DEPUTY_REST_FIRST_MS;
    const struct peer_link_options link = {
        .dials = true,
        .tells_at_once = true, /* workers are let in when their orders have arrived */
        .lease_ms = options->lease_ms,
        .ping_ms = PEER_PING_MS_DEFAULT,
        .silent_ms = PEER_SILENT_MS_DEFAULT,
        .kept_max_bytes = PEER_KEPT_MAX_BYTES,
        .letter_max_bytes = PEER_LETTER_MAX_BYTES,
    };
    const struct peer_conns_options conns = {
        .uv = options->uv,
        .log = options->log,
        .frame_max_bytes = options->frame_max_bytes,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .io =
            {
                .owner = deputy,
                .opened = on_opened,
                .greeted = on_greeted,
                .letter = on_letter,
                .waits = deputy_on_waits,
                .progressed = on_progressed,
                .closed = on_closed,
                .gone = on_gone,
            },
    };
    deputy->link = peer_link_create(&link);
    deputy->conns = peer_conns_create(&conns);
    return deputy->link == NULL || deputy->conns == NULL ? deputy_destroy(deputy) : deputy;
}

struct deputy *deputy_destroy(struct deputy *deputy)
{
    if (deputy == NULL)
        return NULL;
    (void)peer_conns_destroy(deputy->conns);
    (void)peer_link_destroy(deputy->link);
    free(deputy);
    return NULL;
}

bool deputy_has_joined(const struct deputy *deputy)
{
    return deputy->state == DEPUTY_JOINED;
}

/* The link cannot go on: what the shards have is of no use. */
static void lose(struct deputy *deputy, const struct stepd_error *why)
{
    log_event(deputy->options.log, LOG_WARN, "control_lost", "control=%s reason=%s",
              deputy->options.control, why->text);
    if (deputy->conn != NULL) {
        peer_conn_end(deputy->conn, NULL);
        deputy_rest(deputy);
    }
    peer_link_clear(deputy->link);
    deputy->broken = false;
    deputy->owes_reset = true;
}

static void reset_if_ready(struct deputy *deputy)
{
    const struct deputy_io *const io = &deputy->options.io;
    if (!deputy->owes_reset || !io->ready(io->owner))
        return;
    forget(deputy, NULL, "control of this server cannot be reached; connect to it again");
}

static void tick_link(struct deputy *deputy, uint64_t now_ms)
{
    struct stepd_error why = {.code = STEPD_OK};
    const enum peer_due due = peer_link_on_tick(deputy->link, now_ms, &why);
    if (due == PEER_DUE_CLOSE && deputy->conn != NULL) {
        struct peer_conn *const conn = deputy->conn;
        on_closed(deputy, conn, &why);
        peer_conn_end(conn, NULL);
    } else if (due == PEER_DUE_LOST || deputy->broken ||
               peer_link_state(deputy->link) == PEER_LINK_LOST) {
        if (why.code == STEPD_OK)
            (void)stepd_fail(&why, STEPD_UNAVAILABLE, "the link is broken");
        lose(deputy, &why);
    }
}

void deputy_tick(struct deputy *deputy, uint64_t now_ms)
{
    if (deputy->state == DEPUTY_CLOSED)
        return;
    tick_link(deputy, now_ms);
    deputy_tick_joining(deputy, now_ms);
    reset_if_ready(deputy);
    if (deputy->state == DEPUTY_RESTING && now_ms >= deputy->next_ms)
        dial(deputy);
    peer_conns_tick(deputy->conns, now_ms);
}

void deputy_cut(struct deputy *deputy)
{
    deputy->state = DEPUTY_CLOSED;
    deputy->conn = NULL;
    atomic_store(&deputy->stop, true);
    peer_conns_cut(deputy->conns);
}

size_t deputy_connections(const struct deputy *deputy)
{
    return peer_conns_count(deputy->conns) + deputy->dialling;
}
