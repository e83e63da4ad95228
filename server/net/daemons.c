/* SPDX-License-Identifier: Apache-2.0
 *
 * Joining. While others are missing, a Join is not answered: who has come waits on its connection
 * until all have, because only then is it known which shards are whose; then all are answered at
 * once, and the reign begins. While it lasts, who comes again with the same instance goes on where
 * it was. Another process in its place, or one that was away for the lease, means that what its
 * shards had is gone: the reign ends, everybody is hung up on, and joins again.
 *
 * Who cannot be taken is told why, and comes again: most of it is over after a while.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/error.h"
#include "server/net/address.h"
#include "server/net/daemons_internal.h"

#define CLOCK_WARN_MS 5000

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t now_of(const struct daemons *daemons)
{
    return uv_now(daemons->options.uv);
}

/* Whose connection this is; 0: nobody's. */
static size_t place_of(const struct daemons *daemons, const struct peer_conn *conn)
{
    for (size_t i = 1; i < daemons->options.count; i++) {
        if (daemons->link[i].conn == conn)
            return i;
    }
    return 0;
}

/* ---- A reign --------------------------------------------------------------------------------- */

static void say_joined(struct daemons *daemons, size_t place)
{
    struct daemon_link *const at = &daemons->link[place];
    const struct stepd_message message = {
        .request_id = 1, /* the only one that a daemon asks for */
        .kind = STEPD_MESSAGE_JOINED,
        .body.joined =
            {
                .reign = daemons->reign,
                .first_shard = daemons->roster.line[place].first,
                .shards = roster_shards(&daemons->roster),
                .expects = peer_link_expects(at->link),
                .clock_ms = (uint64_t)wall_ms(),
                .probe = daemons->options.probe,
            },
    };
    peer_conn_say(at->conn, &message);
    peer_conn_carry(at->conn, at->link);
}

/* Where workers find each shard. False: no memory. */
static bool list_addresses(struct daemons *daemons)
{
    const struct roster *const roster = &daemons->roster;
    const uint32_t shards = roster_shards(roster);
    const char **const address = calloc(shards, sizeof *address);
    if (address == NULL)
        return false;
    for (uint32_t shard = 0; shard < shards; shard++) {
        const size_t place = roster_place_of(roster, shard);
        address[shard] = place == 0 ? "" : roster->line[place].address;
    }
    free(daemons->shard_address);
    daemons->shard_address = address;
    return true;
}

void daemons_begin_if_whole(struct daemons *daemons)
{
    const struct daemons_options *const to = &daemons->options;
    if (daemons->state != DAEMONS_GATHERING || !roster_is_whole(&daemons->roster) ||
        !list_addresses(daemons)) /* the next tick tries again */
        return;
    daemons->state = DAEMONS_REIGNING;
    daemons->reign++;
    for (size_t i = 1; i < to->count; i++) {
        struct daemon_link *const at = &daemons->link[i];
        peer_link_begin(at->link, at->instance, daemons->reign, now_of(daemons));
        say_joined(daemons, i);
    }
    const uint32_t shards = roster_shards(&daemons->roster);
    log_event(to->log, LOG_INFO, "reign_begun", "daemons=%zu shards=%u", to->count,
              (unsigned)shards);
    to->io.begun(to->io.owner, shards, daemons->shard_address);
}

void daemons_drop(struct daemons *daemons, size_t place, const struct stepd_error *why)
{
    struct daemon_link *const at = &daemons->link[place];
    if (at->conn != NULL)
        peer_conn_end(at->conn, why);
    at->conn = NULL;
    peer_link_clear(at->link);
    at->count = 0;
    at->broken = false;
    roster_go(&daemons->roster, place);
}

void daemons_lose(struct daemons *daemons, size_t place, const struct stepd_error *why)
{
    const struct daemons_options *const to = &daemons->options;
    const struct roster_line *const line = &daemons->roster.line[place];
    const bool kept = to->probe[0] != '\0';
    struct stepd_error over;
    if (daemons->state != DAEMONS_REIGNING)
        return;
    daemons->state = DAEMONS_ENDING;
    log_event(to->log, LOG_WARN, line->leaving ? "daemon_left" : "daemon_lost",
              "place=%zu address=%s reason=%s consequence=%s", place, line->address, why->text,
              kept ? "when all daemons have joined again, jobs go on from their newest checkpoints"
                   : "jobs are lost, since no checkpoints are kept (checkpoint_dir)");
    (void)stepd_fail(
        &over, STEPD_UNAVAILABLE,
        "daemon %zu of this server %s: its jobs %s when all daemons have joined again; "
        "try again",
        place, line->leaving ? "has left" : "was lost",
        kept ? "go on from their newest checkpoints"
             : "are lost, since it keeps no checkpoints, and begin anew");
    for (size_t i = 1; i < to->count; i++)
        daemons_drop(daemons, i, &over);
    to->io.ended(to->io.owner, &over);
}

void daemons_gather(struct daemons *daemons)
{
    if (daemons->state != DAEMONS_ENDING)
        return;
    daemons_forget_letters(daemons);
    daemons->state = DAEMONS_GATHERING;
}

/* ---- Join ------------------------------------------------------------------------------------ */

static enum stepd_status refuse_taken(const struct daemons *daemons, size_t place,
                                      struct stepd_error *reterr)
{
    (void)daemons;
    return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                      "place %zu of the list is taken by a daemon whose link stands; start no two "
                      "with the same place (--peer, --advertise)",
                      place);
}

/* Who comes while others are missing. */
static enum stepd_status take(struct daemons *daemons, struct peer_conn *conn,
                              const struct stepd_join *join, struct stepd_error *reterr)
{
    const struct daemons_options *const to = &daemons->options;
    struct daemon_link *const at = &daemons->link[join->place];
    const bool same = memcmp(at->instance, join->instance.at, sizeof at->instance) == 0;
    if (at->conn != NULL && !same)
        return refuse_taken(daemons, join->place, reterr);
    at->warned = at->warned && same;
    if (at->conn != NULL)
        peer_conn_end(at->conn, NULL);
    at->conn = conn;
    memcpy(at->instance, join->instance.at, sizeof at->instance);
    at->rejected.code = STEPD_OK;
    roster_come(&daemons->roster, join, to->tls ? "tls:" : "", wall_ms());
    log_event(to->log, LOG_INFO, "daemon_joined",
              "place=%u address=%s peer=%s shards=%u missing=%zu", (unsigned)join->place,
              daemons->roster.line[join->place].address, peer_conn_address(conn),
              (unsigned)join->shards, to->count - daemons->roster.present);
    daemons_begin_if_whole(daemons);
    return STEPD_OK;
}

/* Who comes while it reigns: one that was cut off, or another process in its place. */
static enum stepd_status take_again(struct daemons *daemons, struct peer_conn *conn,
                                    const struct stepd_join *join, struct stepd_error *reterr)
{
    const struct daemons_options *const to = &daemons->options;
    struct daemon_link *const at = &daemons->link[join->place];
    struct stepd_error why;
    struct peer_terms terms = {.reign = join->reign, .expects = join->expects};
    memcpy(terms.instance, join->instance.at, sizeof terms.instance);
    switch (peer_link_meet(at->link, &terms, &why)) {
    case PEER_MEET_ON:
        if (at->conn != NULL)
            peer_conn_end(at->conn, NULL);
        at->conn = conn;
        peer_link_go_on(at->link, &terms, now_of(daemons));
        log_event(to->log, LOG_INFO, "daemon_back", "place=%u away_ms=%" PRIu64,
                  (unsigned)join->place, now_of(daemons) - at->away_ms);
        say_joined(daemons, join->place);
        return STEPD_OK;
    case PEER_MEET_TAKEN: return refuse_taken(daemons, join->place, reterr);
    case PEER_MEET_FIRST:
    case PEER_MEET_OTHER:
        (void)stepd_fail(&why, STEPD_UNAVAILABLE,
                         "another process has come in its place, with none of what it had");
        break;
    case PEER_MEET_BROKEN: break;
    }
    daemons_lose(daemons, join->place, &why);
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "another reign is to begin, and then this daemon will be taken; try again");
}

static void warn_of_clock(struct daemons *daemons, size_t place)
{
    const struct daemons_options *const to = &daemons->options;
    const int64_t ahead_ms = daemons->roster.line[place].ahead_ms;
    const bool differs = ahead_ms > CLOCK_WARN_MS || ahead_ms < -CLOCK_WARN_MS;
    if (differs && !daemons->link[place].warned)
        log_event(to->log, LOG_WARN, "clock_differs",
                  "place=%zu ahead_ms=%" PRId64 " consequence=%s", place, ahead_ms,
                  "times in the logs of the daemons cannot be compared");
    daemons->link[place].warned = differs;
}

void daemons_reject(struct daemons *daemons, size_t place, const struct stepd_error *why)
{
    struct stepd_error text = *why;
    (void)stepd_fail_in(&text, STEPD_FAILED_PRECONDITION,
                        "daemon %zu cannot serve; when that is mended, start it again", place);
    daemons->link[place].rejected = text;
    daemons_lose(daemons, place, &text);
}

static enum stepd_status check_rejected(const struct daemons *daemons,
                                        const struct stepd_join *join, struct stepd_error *reterr)
{
    const struct daemon_link *const at = &daemons->link[join->place];
    const bool same = memcmp(at->instance, join->instance.at, sizeof at->instance) == 0;
    return same && at->rejected.code != STEPD_OK
               ? stepd_fail(reterr, at->rejected.code, "%s", at->rejected.text)
               : STEPD_OK;
}

/* A worker's certificate is of the same CA, and makes no daemon. */
static enum stepd_status check_host(const struct daemons *daemons, const struct peer_conn *conn,
                                    uint32_t place, struct stepd_error *reterr)
{
    struct address address;
    if (!daemons->options.by_host)
        return STEPD_OK;
    const enum stepd_status status =
        address_parse(daemons->options.address[place], &address, reterr);
    if (status != STEPD_OK || peer_conn_holds_for(conn, address.host))
        return status;
    return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                      "the certificate of this daemon does not hold for %.100s, which the list has "
                      "in its place: make one that does (stepctl certs --hosts), or give the first "
                      "of peers an access_file with a line of role peer",
                      address.host);
}

static enum stepd_status join(struct daemons *daemons, struct peer_conn *conn,
                              const struct stepd_join *join, struct stepd_error *reterr)
{
    const struct daemons_options *const to = &daemons->options;
    const struct control_caller caller = {
        .address = peer_conn_address(conn),
        .certificate = peer_conn_certificate(conn),
    };
    const struct access_grant *grant = NULL;
    enum stepd_status status = to->io.admits(to->io.owner, &caller, join, &grant, reterr);
    if (status == STEPD_OK)
        status = roster_judge(&daemons->roster, join, reterr);
    if (status == STEPD_OK)
        status = check_host(daemons, conn, join->place, reterr);
    if (status == STEPD_OK)
        status = check_rejected(daemons, join, reterr);
    if (status == STEPD_OK && daemons->state == DAEMONS_REIGNING)
        status = take_again(daemons, conn, join, reterr);
    else if (status == STEPD_OK && daemons->state == DAEMONS_GATHERING)
        status = take(daemons, conn, join, reterr);
    else if (status == STEPD_OK)
        status = stepd_fail(reterr, STEPD_UNAVAILABLE,
                            "a reign is ending: when that is done this daemon will be taken; try "
                            "again");
    if (status != STEPD_OK) {
        if (!log_limit_allows(&daemons->refused, now_of(daemons)))
            return status;
        log_event(to->log, LOG_WARN, "daemon_refused", "place=%u peer=%s reason=%s",
                  (unsigned)join->place, caller.address, reterr->text);
        return status;
    }
    to->io.came(to->io.owner, join->place, grant);
    warn_of_clock(daemons, join->place);
    return STEPD_OK;
}

/* ---- What connections say -------------------------------------------------------------------- */

static void on_opened(void *owner, struct peer_conn *conn)
{
    (void)owner;
    (void)conn;
}

static enum stepd_status on_greeted(void *owner, struct peer_conn *conn,
                                    const struct stepd_message *message, uint64_t now_ms,
                                    struct stepd_error *reterr)
{
    struct daemons *const daemons = owner;
    (void)now_ms;
    if (message->kind == STEPD_MESSAGE_JOIN && place_of(daemons, conn) == 0)
        return join(daemons, conn, &message->body.join, reterr);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s is nothing that a daemon says here",
                      stepd_message_name(message->kind));
}

static enum stepd_status on_letter(void *owner, struct peer_conn *conn, const uint8_t *bytes,
                                   size_t n, uint64_t now_ms, struct stepd_error *reterr)
{
    struct daemons *const daemons = owner;
    const size_t place = place_of(daemons, conn);
    (void)now_ms;
    return place == 0 ? STEPD_OK : daemons_letter(daemons, place, bytes, n, reterr);
}

static void on_progressed(void *owner, struct peer_conn *conn)
{
    struct daemons *const daemons = owner;
    const size_t place = place_of(daemons, conn);
    if (place == 0 || daemons->state != DAEMONS_REIGNING)
        return;
    daemons_note_arrived(&daemons->link[place]);
    daemons->options.io.settled(daemons->options.io.owner);
}

void daemons_closed(struct daemons *daemons, struct peer_conn *conn, const struct stepd_error *why)
{
    const size_t place = place_of(daemons, conn);
    if (place == 0)
        return;
    struct daemon_link *const at = &daemons->link[place];
    at->conn = NULL;
    at->away_ms = now_of(daemons);
    if (daemons->state == DAEMONS_GATHERING) {
        roster_go(&daemons->roster, place);
        log_event(daemons->options.log, LOG_INFO, "daemon_gone", "place=%zu", place);
    } else if (daemons->state == DAEMONS_REIGNING && daemons->roster.line[place].leaving) {
        daemons_lose(daemons, place, why);
    } else if (daemons->state == DAEMONS_REIGNING) {
        log_event(daemons->options.log, LOG_WARN, "daemon_away", "place=%zu reason=%s lease_ms=%u",
                  place, why->text, (unsigned)daemons->options.lease_ms);
    }
}

static void on_closed(void *owner, struct peer_conn *conn, const struct stepd_error *why)
{
    daemons_closed(owner, conn, why);
}

static void on_known(void *owner)
{
    const struct daemons *const daemons = owner;
    daemons->options.io.known(daemons->options.io.owner);
}

static void on_gone(void *owner, bool known)
{
    const struct daemons *const daemons = owner;
    daemons->options.io.gone(daemons->options.io.owner, known);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool create_links(struct daemons *daemons)
{
    const struct peer_link_options link = {
        .lease_ms = daemons->options.lease_ms,
        .ping_ms = PEER_PING_MS_DEFAULT,
        .silent_ms = PEER_SILENT_MS_DEFAULT,
        .kept_max_bytes = PEER_KEPT_MAX_BYTES,
        .letter_max_bytes = PEER_LETTER_MAX_BYTES,
    };
    daemons->link = calloc(daemons->options.count, sizeof *daemons->link);
    for (size_t i = 1; daemons->link != NULL && i < daemons->options.count; i++) {
        daemons->link[i].link = peer_link_create(&link);
        if (daemons->link[i].link == NULL)
            return false;
    }
    return daemons->link != NULL;
}

struct daemons *daemons_create(const struct daemons_options *options)
{
    struct daemons *const daemons = calloc(1, sizeof *daemons);
    if (daemons == NULL)
        return NULL;
    *daemons = (struct daemons){
        .options = *options, .reign = options->seed, .refused = {.event = "daemon_refused"}};
    roster_init(&daemons->roster, options->version, options->shards, options->count,
                options->address);
    const struct peer_conns_options conns = {
        .uv = options->uv,
        .log = options->log,
        .frame_max_bytes = options->frame_max_bytes,
        .write_timeout_ms = options->write_timeout_ms,
        .read_timeout_ms = options->read_timeout_ms,
        .io =
            {
                .owner = daemons,
                .opened = on_opened,
                .greeted = on_greeted,
                .letter = on_letter,
                .progressed = on_progressed,
                .closed = on_closed,
                .known = on_known,
                .gone = on_gone,
            },
    };
    daemons->conns = peer_conns_create(&conns);
    if (daemons->conns == NULL || !create_links(daemons))
        return daemons_destroy(daemons);
    return daemons;
}

struct daemons *daemons_destroy(struct daemons *daemons)
{
    if (daemons == NULL)
        return NULL;
    daemons_forget_letters(daemons);
    (void)peer_conns_destroy(daemons->conns);
    for (size_t i = 1; daemons->link != NULL && i < daemons->options.count; i++) {
        (void)peer_link_destroy(daemons->link[i].link);
        free(daemons->link[i].sent);
    }
    free(daemons->link);
    free(daemons->shard_address);
    free(daemons);
    return NULL;
}

void daemons_serve(struct daemons *daemons, struct caller *caller)
{
    peer_conns_serve(daemons->conns, caller);
}

void daemons_cut(struct daemons *daemons)
{
    daemons->state = DAEMONS_CLOSED;
    for (size_t i = 1; i < daemons->options.count; i++)
        daemons->link[i].conn = NULL;
    peer_conns_cut(daemons->conns);
}

size_t daemons_connections(const struct daemons *daemons)
{
    return peer_conns_count(daemons->conns);
}

bool daemons_reigns(const struct daemons *daemons)
{
    return daemons->state == DAEMONS_REIGNING;
}

bool daemons_leaves(const struct daemons *daemons, size_t place)
{
    return daemons->roster.line[place].present && daemons->roster.line[place].leaving;
}
