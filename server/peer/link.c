/* SPDX-License-Identifier: Apache-2.0
 *
 * Two counts are all that both ends have to agree on: how many pieces came in each direction. A
 * letter stays in the queue until its last piece was seen; what is written next is a position in
 * that queue, which a new connection sets back to what the other end says that it expects.
 *
 * What goes wrong: a connection that breaks costs nothing but the time until the next one. A gap, a
 * piece that was never sent, or too much that is not seen mean that the two ends do not know the
 * same any more; then the link is LOST, and who owns it begins anew.
 */
#include "server/peer/link.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

/* So many pieces are taken before they are said to be seen, unless there is something to send. */
#define SEEN_EVERY 16u

/* What a letter takes beside its bytes. */
#define KEPT_BYTES (sizeof(struct kept) + sizeof(struct peer_bytes) + 64u)

/* A letter that is not seen. */
struct kept {
    struct kept *next;
    struct peer_bytes *letter; /* a reference */
    uint64_t first;            /* sequence of its first piece */
    uint64_t last;
};

struct peer_link {
    struct peer_link_options options;
    enum peer_link_state state;
    uint8_t instance[PEER_INSTANCE_BYTES];
    uint64_t reign;

    /* What goes out */
    struct kept *oldest; /* owned */
    struct kept *newest;
    size_t kept_bytes;
    uint64_t posted; /* sequence of the last piece that there is */
    uint64_t sent;   /* that was written last over this connection */
    uint64_t tried;  /* the highest that was ever written */
    uint64_t seen;   /* that the other end has said it has */
    struct kept *at; /* the letter that the piece behind `sent` is in; NULL: none is left */

    /* What comes in */
    uint64_t expects;
    uint64_t told;              /* up to which sequence we said that we have all */
    struct peer_bytes *partial; /* a reference; the pieces of a letter so far; NULL: none */
    size_t partial_room;
    bool heard; /* the other end knows of this reign */

    uint64_t heard_ms; /* when something came last */
    uint64_t sent_ms;  /* when something was written last */
};

struct peer_link *peer_link_create(const struct peer_link_options *options)
{
    struct peer_link *const link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    link->options = *options;
    peer_link_clear(link);
    return link;
}

struct peer_link *peer_link_destroy(struct peer_link *link)
{
    if (link == NULL)
        return NULL;
    peer_link_clear(link);
    free(link);
    return NULL;
}

enum peer_link_state peer_link_state(const struct peer_link *link)
{
    return link->state;
}

static bool is_known(const struct peer_link *link)
{
    return link->state == PEER_LINK_UP || link->state == PEER_LINK_DOWN;
}

uint64_t peer_link_reign(const struct peer_link *link)
{
    return is_known(link) ? link->reign : 0;
}

uint64_t peer_link_expects(const struct peer_link *link)
{
    return is_known(link) ? link->expects : 1;
}

uint64_t peer_link_posted(const struct peer_link *link)
{
    return link->posted;
}

uint64_t peer_link_seen(const struct peer_link *link)
{
    return link->seen;
}

size_t peer_link_kept(const struct peer_link *link)
{
    return link->kept_bytes;
}

/* ---- Beginning and going on ------------------------------------------------------------------ */

static void drop_oldest(struct peer_link *link)
{
    struct kept *const kept = link->oldest;
    link->oldest = kept->next;
    if (link->oldest == NULL)
        link->newest = NULL;
    if (link->at == kept)
        link->at = kept->next;
    link->kept_bytes -= kept->letter->n + KEPT_BYTES;
    (void)peer_bytes_unref(kept->letter);
    free(kept);
}

static void forget(struct peer_link *link)
{
    while (link->oldest != NULL)
        drop_oldest(link);
    (void)peer_bytes_unref(link->partial);
    *link = (struct peer_link){.options = link->options, .state = link->state, .expects = 1};
}

/* Nothing that is kept is of any use any more. */
static void lose(struct peer_link *link)
{
    forget(link);
    link->state = PEER_LINK_LOST;
}

void peer_link_clear(struct peer_link *link)
{
    forget(link);
    link->state = PEER_LINK_EMPTY;
}

static void come_up(struct peer_link *link, uint64_t now_ms)
{
    link->state = PEER_LINK_UP;
    link->heard_ms = now_ms;
    link->sent_ms = now_ms;
}

void peer_link_begin(struct peer_link *link, const uint8_t instance[PEER_INSTANCE_BYTES],
                     uint64_t reign, uint64_t now_ms)
{
    forget(link);
    memcpy(link->instance, instance, sizeof link->instance);
    link->reign = reign;
    link->heard = link->options.dials;
    come_up(link, now_ms);
}

/* The sequence that the other end expects, as far as it is of this reign. */
static uint64_t expected(const struct peer_link *link, const struct peer_terms *terms)
{
    return terms->reign == link->reign ? terms->expects : 1;
}

static enum peer_meet meet_again(const struct peer_link *link, const struct peer_terms *terms,
                                 struct stepd_error *reterr)
{
    const uint64_t expects = expected(link, terms);
    if (terms->reign != link->reign && link->heard)
        return PEER_MEET_OTHER;
    if (expects > link->seen && expects <= link->tried + 1)
        return PEER_MEET_ON;
    (void)stepd_fail(reterr, STEPD_DATA_LOSS,
                     "it expects piece %" PRIu64 " of our letters, but has seen %" PRIu64
                     " of the %" PRIu64 " that were sent",
                     expects, link->seen, link->tried);
    return PEER_MEET_BROKEN;
}

enum peer_meet peer_link_meet(const struct peer_link *link, const struct peer_terms *terms,
                              struct stepd_error *reterr)
{
    if (!is_known(link))
        return PEER_MEET_FIRST;
    if (memcmp(link->instance, terms->instance, sizeof link->instance) == 0)
        return meet_again(link, terms, reterr);
    if (link->state != PEER_LINK_UP)
        return PEER_MEET_OTHER;
    (void)stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                     "another daemon has joined in its place and is connected; give each its own "
                     "place in peers, or end that one first");
    return PEER_MEET_TAKEN;
}

static void mark_seen(struct peer_link *link, uint64_t seen)
{
    if (seen <= link->seen)
        return;
    link->seen = seen;
    while (link->oldest != NULL && link->oldest->last <= seen)
        drop_oldest(link);
}

void peer_link_go_on(struct peer_link *link, const struct peer_terms *terms, uint64_t now_ms)
{
    const uint64_t expects = expected(link, terms);
    mark_seen(link, expects - 1);
    link->heard = link->heard || terms->reign == link->reign;
    link->sent = expects - 1;
    link->told = link->expects - 1; /* in Join or Joined */
    link->at = link->oldest;        /* the first piece that is not seen is in it */
    come_up(link, now_ms);
}

void peer_link_down(struct peer_link *link, uint64_t now_ms)
{
    (void)now_ms; /* the lease runs from what was heard last */
    if (link->state == PEER_LINK_UP)
        link->state = PEER_LINK_DOWN;
}

void peer_link_break(struct peer_link *link)
{
    if (is_known(link))
        lose(link);
}

/* ---- Going out ------------------------------------------------------------------------------- */

static uint64_t pieces_of(size_t n)
{
    return ((uint64_t)n + PEER_PIECE_MAX_BYTES - 1) / PEER_PIECE_MAX_BYTES;
}

/* Takes ownership of the reference on success. False: no memory. */
static bool keep(struct peer_link *link, struct peer_bytes *letter)
{
    struct kept *const kept = malloc(sizeof *kept);
    if (kept == NULL)
        return false;
    *kept = (struct kept){
        .letter = letter,
        .first = link->posted + 1,
        .last = link->posted + pieces_of(letter->n),
    };
    if (link->newest == NULL)
        link->oldest = kept;
    else
        link->newest->next = kept;
    link->newest = kept;
    if (link->at == NULL)
        link->at = kept;
    link->posted = kept->last;
    link->kept_bytes += letter->n + KEPT_BYTES;
    return true;
}

enum stepd_status peer_link_post(struct peer_link *link, struct peer_bytes *letter,
                                 struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    const size_t most = link->options.kept_max_bytes;
    if (!is_known(link)) {
        status = stepd_fail(reterr, STEPD_UNAVAILABLE, "the daemon has not joined");
    } else if (letter->n == 0 || letter->n > PEER_LETTER_MAX_BYTES) {
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a letter of %zu bytes", letter->n);
    } else if (letter->n > most || link->kept_bytes + KEPT_BYTES > most - letter->n) {
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "it has not taken %zu MiB of letters, and at most %zu MiB are kept "
                            "for it",
                            (link->kept_bytes + letter->n) >> 20, most >> 20);
        lose(link);
    } else if (!keep(link, letter)) {
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to keep a letter for it");
        lose(link);
    }
    if (status != STEPD_OK)
        (void)peer_bytes_unref(letter);
    return status;
}

/* The piece behind the one that was sent last. */
static void next_piece(struct peer_link *link, struct peer_frame *ret_frame)
{
    struct kept *const kept = link->at;
    const size_t begin = (size_t)(link->sent + 1 - kept->first) * PEER_PIECE_MAX_BYTES;
    const size_t left = kept->letter->n - begin;
    const bool more = left > PEER_PIECE_MAX_BYTES;
    link->sent++;
    link->tried = link->sent > link->tried ? link->sent : link->tried;
    *ret_frame = (struct peer_frame){
        .head = {.sequence = link->sent, .more = more},
        .letter = peer_bytes_ref(kept->letter),
        .at = kept->letter->at + begin,
        .n = more ? PEER_PIECE_MAX_BYTES : left,
    };
    if (!more)
        link->at = kept->next;
}

static bool owes_sign(const struct peer_link *link, uint64_t now_ms)
{
    const uint64_t most = link->options.tells_at_once ? 1 : SEEN_EVERY;
    return link->expects - 1 - link->told >= most ||
           now_ms - link->sent_ms >= link->options.ping_ms;
}

bool peer_link_next(struct peer_link *link, uint64_t now_ms, struct peer_frame *ret_frame)
{
    if (link->state != PEER_LINK_UP)
        return false;
    if (link->at != NULL)
        next_piece(link, ret_frame);
    else if (owes_sign(link, now_ms))
        *ret_frame = (struct peer_frame){.letter = NULL};
    else
        return false;
    link->told = link->expects - 1;
    ret_frame->head.seen = link->told;
    link->sent_ms = now_ms;
    return true;
}

/* ---- Coming in ------------------------------------------------------------------------------- */

void peer_link_heard(struct peer_link *link, uint64_t now_ms)
{
    if (link->state == PEER_LINK_UP)
        link->heard_ms = now_ms;
}

static enum stepd_status check(const struct peer_link *link, const struct stepd_letter *head,
                               size_t n, struct stepd_error *reterr)
{
    if (link->state != PEER_LINK_UP)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a letter over no connection");
    if (head->seen > link->sent)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "it has seen %" PRIu64 " pieces, but %" PRIu64 " were sent", head->seen,
                          link->sent);
    if (head->sequence > link->expects)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "piece %" PRIu64 " came where %" PRIu64 " was expected", head->sequence,
                          link->expects);
    if (head->sequence == 0 ? n > 0 : n == 0 || n > PEER_PIECE_MAX_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "piece %" PRIu64 " has %zu bytes, and may have at most %u",
                          head->sequence, n, PEER_PIECE_MAX_BYTES);
    if (head->sequence == link->expects && link->partial != NULL &&
        n > link->options.letter_max_bytes - link->partial->n)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a letter of more than %zu bytes",
                          link->options.letter_max_bytes);
    return STEPD_OK;
}

/* False: no memory. */
static bool append(struct peer_link *link, const uint8_t *piece, size_t n)
{
    if (link->partial == NULL) {
        link->partial = calloc(1, sizeof *link->partial);
        if (link->partial == NULL)
            return false;
        link->partial->refs = 1;
        link->partial_room = 0;
    }
    struct peer_bytes *const partial = link->partial;
    if (partial->at == NULL || n > link->partial_room - partial->n) {
        const size_t room = 2 * (partial->n + n);
        uint8_t *const larger = realloc(partial->at, room);
        if (larger == NULL)
            return false;
        partial->at = larger;
        link->partial_room = room;
    }
    memcpy(partial->at + partial->n, piece, n);
    partial->n += n;
    return true;
}

/* The next piece. */
static enum stepd_status take_piece(struct peer_link *link, const struct stepd_letter *head,
                                    const struct peer_opaque *piece,
                                    struct peer_received *ret_received, struct stepd_error *reterr)
{
    const bool alone = link->partial == NULL && !head->more;
    if (!alone && !append(link, piece->at, piece->n)) {
        lose(link);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a letter of it");
    }
    link->expects++;
    if (alone)
        *ret_received = (struct peer_received){.at = piece->at, .n = piece->n};
    if (alone || head->more)
        return STEPD_OK;
    *ret_received = (struct peer_received){
        .at = link->partial->at, .n = link->partial->n, .letter = link->partial};
    link->partial = NULL;
    return STEPD_OK;
}

enum stepd_status peer_link_receive(struct peer_link *link, const struct stepd_letter *head,
                                    const struct peer_opaque *payload, uint64_t now_ms,
                                    struct peer_received *ret_received, struct stepd_error *reterr)
{
    const enum stepd_status status = check(link, head, payload->n, reterr);
    *ret_received = (struct peer_received){.n = 0};
    if (status != STEPD_OK) {
        lose(link);
        return status;
    }
    link->heard = true;
    link->heard_ms = now_ms;
    mark_seen(link, head->seen);
    if (head->sequence != link->expects)
        return STEPD_OK;
    return take_piece(link, head, payload, ret_received, reterr);
}

/* ---- Time ------------------------------------------------------------------------------------ */

enum peer_due peer_link_on_tick(struct peer_link *link, uint64_t now_ms, struct stepd_error *reterr)
{
    const uint64_t silent_ms = now_ms - link->heard_ms;
    if (!is_known(link))
        return PEER_DUE_NOTHING;
    if (silent_ms >= link->options.lease_ms) {
        (void)stepd_fail(reterr, STEPD_UNAVAILABLE,
                         "nothing was heard of it for %" PRIu64 " ms, and its lease is %" PRIu64
                         " ms",
                         silent_ms, link->options.lease_ms);
        lose(link);
        return PEER_DUE_LOST;
    }
    if (link->state != PEER_LINK_UP || silent_ms < link->options.silent_ms)
        return PEER_DUE_NOTHING;
    (void)stepd_fail(reterr, STEPD_UNAVAILABLE,
                     "nothing came over its connection for %" PRIu64 " ms", silent_ms);
    link->state = PEER_LINK_DOWN;
    return PEER_DUE_CLOSE;
}
