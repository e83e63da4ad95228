/* SPDX-License-Identifier: Apache-2.0
 *
 * Up: bytes are kept as one array, of which some have arrived; what has arrived is parsed as net
 * would parse it. Down: a queue of runs, each of bytes of its own or of a version of some weights.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "tests/sim/link_internal.h"

enum { LINKS_MAX = 64, WRITE_TIMEOUT_MS = 2000 };

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void add_run(struct link *link, struct run run)
{
    struct run *last = malloc(sizeof *last);
    assert_non_null(last);
    *last = run;
    *link->runs_end = last;
    link->runs_end = &last->next;
}

static void drop_first_run(struct link *link)
{
    struct run *run = link->runs;
    link->runs = run->next;
    if (link->runs == NULL)
        link->runs_end = &link->runs;
    struct weights *weights = run->weights;
    free(run->head);
    free(run);
    if (weights == NULL)
        return;
    host_release(link->host, weights);
}

static uint8_t *encode(const struct stepd_message *message, size_t payload_bytes, size_t *ret_bytes)
{
    struct stepd_arena arena;
    struct stepd_error error = {.code = STEPD_OK};
    uint8_t *head = NULL;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(stepd_message_encode(message, payload_bytes, &arena, &head, ret_bytes, &error),
                     STEPD_OK);
    stepd_arena_deinit(&arena);
    return head;
}

/* ---- What the core does ---------------------------------------------------------------------- */

static struct asked *find_asked(struct link *link, uint64_t id)
{
    for (size_t i = 0; i < link->requests; i++) {
        if (link->asked[i].id == id)
            return &link->asked[i];
    }
    return NULL;
}

static bool is_last(const struct stepd_message *message)
{
    switch (message->kind) {
    case STEPD_MESSAGE_RESULT: return message->body.result.last;
    case STEPD_MESSAGE_LAYOUT: return message->body.layout.last;
    case STEPD_MESSAGE_STATUS: return message->body.status.last;
    default: return true;
    }
}

static void check_answer(struct link *link, const struct stepd_message *message)
{
    if (message->request_id == 0)
        return; /* what is said of a connection, and of no request */
    struct asked *asked = find_asked(link, message->request_id);
    if (asked == NULL)
        plan_fail(link->host->plan, "an answer to request %llu, which nobody has made",
                  (unsigned long long)message->request_id);
    else if (asked->ended)
        plan_fail(link->host->plan, "request %llu is answered after its last answer",
                  (unsigned long long)message->request_id);
    else
        asked->ended = is_last(message);
}

void link_reply(struct link *link, const struct stepd_message *message,
                const struct core_piece *piece, size_t pieces)
{
    check_answer(link, message);
    size_t payload_bytes = 0;
    for (size_t i = 0; i < pieces; i++)
        payload_bytes += piece[i].count;
    size_t head_bytes = 0;
    uint8_t *head = encode(message, payload_bytes, &head_bytes);
    add_run(link, (struct run){.head = head, .bytes = head, .count = head_bytes});
    for (size_t i = 0; i < pieces; i++)
        add_run(link, (struct run){.weights = piece[i].weights,
                                   .bytes = piece[i].bytes,
                                   .count = piece[i].count});
    link_note_reply(link);
}

void link_hang_up(struct link *link)
{
    link->conn = NULL;
}

void link_hold(struct link *link, bool hold)
{
    link->held = hold;
}

/* ---- Up -------------------------------------------------------------------------------------- */

static uint32_t deadline_of(const struct stepd_message *message)
{
    switch (message->kind) {
    case STEPD_MESSAGE_PUSH: return message->body.push.deadline_ms;
    case STEPD_MESSAGE_STEP: return message->body.step.push.deadline_ms;
    case STEPD_MESSAGE_PULL: return message->body.pull.deadline_ms;
    case STEPD_MESSAGE_GET_LAYOUT: return message->body.get_layout.deadline_ms;
    default: return 0;
    }
}

static void note_asked(struct link *link, const struct stepd_message *message, bool whole)
{
    const uint32_t stated_ms = deadline_of(message);
    const uint32_t most_ms = plan_wait_max_ms(link->host->plan);
    const bool shorter = stated_ms != 0 && stated_ms < most_ms;
    assert_true(link->requests < LINK_REQUESTS_MAX);
    link->asked[link->requests++] = (struct asked){
        .id = message->request_id,
        .deadline_ms = *link->host->now_ms + (shorter ? stated_ms : most_ms),
        .whole = whole,
    };
}

/* A connection that cannot go on: the worker is told why, and it ends. */
static void refuse(struct link *link, const struct stepd_error *error)
{
    link_reply(link,
               &(struct stepd_message){.kind = STEPD_MESSAGE_ERROR,
                                       .body.error = {.code = error->code, .text = error->text}},
               NULL, 0);
    void *const conn = link->conn;
    link->conn = NULL;
    host_close(link->host, conn);
}

/* Hands a head to the host; false: it is not whole yet. */
static bool take_head(struct link *link)
{
    struct stepd_frame_head head;
    struct stepd_error error = {.code = STEPD_OK};
    const uint8_t *bytes = link->up.at + link->taken;
    const enum stepd_frame_progress progress =
        stepd_frame_parse(bytes, link->arrived - link->taken, STEPD_FRAME_MAX_BYTES, &head, &error);
    if (progress == STEPD_FRAME_NEED_MORE)
        return false;
    struct stepd_arena arena;
    struct stepd_message message;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    enum stepd_status status = error.code;
    if (progress == STEPD_FRAME_HEAD)
        status = stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &message,
                                      &error);
    if (status == STEPD_OK) {
        note_asked(link, &message, head.payload_bytes == 0);
        link->taken += head.payload_at;
        link->payload_left = head.payload_bytes;
        status = host_message(link->host, link->conn, &message, head.payload_bytes, &error);
    }
    stepd_arena_deinit(&arena);
    if (status != STEPD_OK)
        refuse(link, &error);
    return true;
}

static void take_payload(struct link *link)
{
    const size_t here = link->arrived - link->taken;
    size_t n = here < link->payload_left ? here : link->payload_left;
    size_t room = 0;
    uint8_t *window = host_window(link->host, link->conn, &room);
    n = n < room ? n : room;
    if (n == 0)
        plan_fail(link->host->plan, "a window without room");
    if (window != NULL)
        memcpy(window, link->up.at + link->taken, n);
    link->taken += n;
    link->payload_left -= n;
    if (link->payload_left == 0)
        link->asked[link->requests - 1].whole = true;
    host_filled(link->host, link->conn, n);
}

bool link_carry_up(struct link *link, size_t n)
{
    const size_t left = link->up.count - link->arrived;
    if ((left == 0 && link->taken == link->arrived) || link->conn == NULL || link->held ||
        link->choked)
        return false;
    link->arrived += n < left ? n : left;
    while (link->conn != NULL && !link->held && !link->choked && link->taken < link->arrived) {
        if (link->payload_left > 0)
            take_payload(link);
        else if (!take_head(link))
            break;
    }
    return true;
}

void link_send_bytes(struct link *link, const void *bytes, size_t n)
{
    bytes_append(&link->up, bytes, n);
}

void link_send(struct link *link, const struct stepd_message *message, const void *payload,
               size_t payload_bytes)
{
    size_t head_bytes = 0;
    uint8_t *head = encode(message, payload_bytes, &head_bytes);
    bytes_append(&link->up, head, head_bytes);
    bytes_append(&link->up, payload, payload_bytes);
    free(head);
}

/* ---- Down ------------------------------------------------------------------------------------ */

/* Gives whole frames to the worker. */
static void receive_frames(struct link *link)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    size_t at = 0;
    while (!link->worker_lost) {
        struct stepd_frame_head head;
        struct stepd_message message;
        struct stepd_error error = {.code = STEPD_OK};
        const uint8_t *bytes = link->down.at + at;
        const size_t left = link->down.count - at;
        const enum stepd_frame_progress progress =
            stepd_frame_parse(bytes, left, STEPD_FRAME_MAX_BYTES, &head, &error);
        if (progress == STEPD_FRAME_NEED_MORE || left - head.payload_at < head.payload_bytes)
            break;
        assert_int_equal(stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena,
                                              &message, &error),
                         STEPD_OK);
        link->on_frame(link->owner, link, &message, bytes + head.payload_at, head.payload_bytes);
        at += head.payload_at + head.payload_bytes;
    }
    stepd_arena_deinit(&arena);
    link->down.count -= at;
    if (at > 0)
        memmove(link->down.at, link->down.at + at, link->down.count);
}

static void receive(struct link *link)
{
    if (link->on_bytes == NULL) {
        receive_frames(link);
        return;
    }
    link->on_bytes(link->owner, link, link->down.at, link->down.count);
    link->down.count = 0;
}

bool link_carry_down(struct link *link, size_t n)
{
    if (link->runs == NULL || (link->deaf && !link->worker_lost))
        return false;
    link->read_ms = *link->host->now_ms;
    while (n > 0 && link->runs != NULL) {
        struct run *run = link->runs;
        const size_t part = n < run->count ? n : run->count;
        if (!link->worker_lost)
            bytes_append(&link->down, run->bytes, part);
        run->bytes += part;
        run->count -= part;
        n -= part;
        if (run->count == 0)
            drop_first_run(link);
    }
    if (!link->worker_lost)
        receive(link);
    link_note_taken(link);
    return true;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

static struct link *create(struct host *host, uint32_t rank, void *owner)
{
    struct link *link = calloc(1, sizeof *link);
    assert_non_null(link);
    link->host = host;
    link->rank = rank;
    link->owner = owner;
    link->runs_end = &link->runs;
    link->posted = true;
    link->read_ms = *host->now_ms;
    link->next = host->links;
    host->links = link;
    host_post_link(host, link);
    return link;
}

struct link *link_create(struct host *host, uint32_t rank, link_frame_fn *on_frame, void *owner)
{
    struct link *link = create(host, rank, owner);
    link->on_frame = on_frame;
    return link;
}

struct link *link_create_raw(struct host *host, uint32_t rank, link_bytes_fn *on_bytes, void *owner)
{
    struct link *link = create(host, rank, owner);
    link->on_bytes = on_bytes;
    return link;
}

void link_open(struct link *link)
{
    link->posted = false;
    if (link->broken)
        return;
    link->conn = host_open(link->host, link);
    assert_non_null(link->conn);
}

static void drop_runs(struct link *link)
{
    while (link->runs != NULL)
        drop_first_run(link);
}

struct link *link_destroy(struct link *link)
{
    struct link **at = &link->host->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    drop_runs(link);
    free(link->up.at);
    free(link->down.at);
    free(link);
    return NULL;
}

void link_break_shard(struct link *link)
{
    void *const conn = link->conn;
    link->closing = true;
    link->broken = true;
    link->conn = NULL;
    if (conn != NULL)
        host_close(link->host, conn);
    drop_runs(link);
    link->closing = false;
}

/* The first n bytes on their way down, in memory of their own. */
static struct run copy_of_runs(const struct link *link, size_t n)
{
    struct bytes copy = {.at = NULL};
    for (const struct run *run = link->runs; run != NULL && copy.count < n; run = run->next) {
        const size_t left = n - copy.count;
        bytes_append(&copy, run->bytes, run->count < left ? run->count : left);
    }
    return (struct run){.head = copy.at, .bytes = copy.at, .count = copy.count};
}

/* Weights on their way are given back when all connections are closed: nobody is told then of what
 * that leads to. */
void links_crash(struct link *const *link, size_t links, struct random *random)
{
    struct run last[LINKS_MAX];
    assert_true(links <= LINKS_MAX);
    for (size_t i = 0; i < links; i++) {
        const uint64_t most = random_once_in(random, 2) ? 0 : random_below(random, 5000);
        last[i] = copy_of_runs(link[i], most);
    }
    for (size_t i = 0; i < links; i++) {
        if (link[i]->conn != NULL)
            host_close(link[i]->host, link[i]->conn);
        link[i]->conn = NULL;
        link[i]->posted = false;
        link[i]->broken = true;
        link[i]->requests = 0;
        link[i]->choked = false;
        link[i]->cut = false;
    }
    for (size_t i = 0; i < links; i++) {
        drop_runs(link[i]);
        if (last[i].count > 0)
            add_run(link[i], last[i]);
        else
            free(last[i].head);
    }
}

void link_deafen(struct link *link)
{
    link->deaf = true;
}

void link_break_worker(struct link *link)
{
    link->worker_lost = true;
}

bool link_shard_has_lost(const struct link *link)
{
    return link->conn == NULL && !link->posted;
}

uint32_t link_rank(const struct link *link)
{
    return link->rank;
}

bool link_worker_has_lost(const struct link *link)
{
    return link->worker_lost;
}

bool link_is_at_end(const struct link *link)
{
    return link_shard_has_lost(link) && link->runs == NULL;
}

static void check_deadlines(const struct link *link)
{
    for (size_t i = 0; i < link->requests && link->conn != NULL; i++) {
        const struct asked *asked = &link->asked[i];
        if (asked->whole && !asked->ended && asked->deadline_ms <= *link->host->now_ms)
            plan_fail(link->host->plan, "request %llu has not ended by its deadline",
                      (unsigned long long)asked->id);
    }
}

/* What the daemon's net does to a reader that takes nothing. */
static void cut_off(struct link *link)
{
    if (link->runs == NULL)
        link->read_ms = *link->host->now_ms;
    if (*link->host->now_ms - link->read_ms < WRITE_TIMEOUT_MS || !link->deaf)
        return;
    coverage_count(link->host->plan->coverage, COVERAGE_DEAF, 1);
    link_break_shard(link);
}

void link_tick(struct link *link)
{
    check_deadlines(link);
    cut_off(link);
}
