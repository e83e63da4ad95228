/* SPDX-License-Identifier: Apache-2.0
 *
 * What a caller says first. Bytes are collected until they hold a frame's head; that head must be a
 * Hello for control or for a shard that exists, or the Join of another daemon. Then the socket goes
 * to whoever serves it, with every byte that was read: the Hello too, which is parsed there again
 * as the connection's first message. So the door understands the address on the letter and nothing
 * else; whether it speaks our version, control and the shards judge.
 *
 * The socket is handed over as a duplicate of its descriptor. The original is closed by libuv,
 * which so removes it from this loop's epoll; the duplicate has never been in one.
 *
 * Where TLS is spoken the handshake is made here, and goes with the socket; what was read of it is
 * what is meant, and the rest lies in it.
 *
 * Who speaks our protocol in clear where TLS is spoken is told so, in clear.
 *
 * Whoever says something else is handed over too, to be told the error by a connection that knows
 * how to say goodbye. Only a caller who goes away, or for whom there is no memory, is just closed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "server/net/door_internal.h"
#include "server/net/socket.h"

static void on_close(uv_handle_t *handle)
{
    struct greeting *const greeting = handle->data;
    struct door *const door = greeting->door;
    if (greeting->prev != NULL)
        greeting->prev->next = greeting->next;
    else
        door->first = greeting->next;
    if (greeting->next != NULL)
        greeting->next->prev = greeting->prev;
    else
        door->last = greeting->prev;
    (void)tls_destroy(greeting->tls);
    free(greeting);
}

static void close_socket(struct greeting *greeting)
{
    if (greeting->closing)
        return;
    greeting->closing = true;
    uv_close(&greeting->uv.handle, on_close);
}

void greeting_drop(struct greeting *greeting)
{
    if (greeting->closing)
        return;
    close_socket(greeting);
    greeting->door->greetings--;
    door_gone(greeting->door, /* known= */ false);
}

bool greeting_drop_oldest(struct door *door, uint64_t now_ms, uint64_t grace_ms)
{
    struct greeting *oldest = door->last;
    while (oldest != NULL && oldest->closing)
        oldest = oldest->prev;
    if (oldest == NULL || now_ms - oldest->came_ms < grace_ms)
        return false;
    if (log_limit_allows(&door->dropped, now_ms))
        log_event(door->options.log, LOG_WARN, "stranger_dropped",
                  "peer=%s reason=%s unauthenticated_max=%u", oldest->peer,
                  "it has said no hello, and others want to",
                  (unsigned)door->options.unauthenticated_max);
    greeting_drop(oldest);
    return true;
}

/* Takes the socket and what was read of it away from the door's loop. NULL: it was dropped. */
static struct caller *take_caller(struct greeting *greeting)
{
    uv_os_fd_t original;
    int fd = -1;
    if (uv_fileno(&greeting->uv.handle, &original) == 0)
        fd = fcntl(original, F_DUPFD_CLOEXEC, 0);
    struct caller *caller = NULL;
    if (fd >= 0)
        caller =
            caller_create(fd, greeting->is_tcp, greeting->peer, greeting->bytes, greeting->count);
    if (caller == NULL) {
        log_event(greeting->door->options.log, LOG_ERROR, "caller_lost", "peer=%s", greeting->peer);
        if (fd >= 0)
            (void)close(fd);
        greeting_drop(greeting);
        return NULL;
    }
    caller->tls = greeting->tls;
    greeting->tls = NULL;
    greeting->door->greetings--;
    close_socket(greeting);
    return caller;
}

/* Nothing can be said to somebody whose handshake is not over; the log is told. */
static void drop_stranger(struct greeting *greeting, const char *why)
{
    struct door *const door = greeting->door;
    if (log_limit_allows(&door->refused, uv_now(door->options.uv)))
        log_event(door->options.log, LOG_WARN, "handshake_refused", "peer=%s reason=%s",
                  greeting->peer, why);
    greeting_drop(greeting);
}

static void turn_away(struct greeting *greeting, const struct stepd_error *error)
{
    const struct door_options *const options = &greeting->door->options;
    if (greeting->tls != NULL && !tls_is_up(greeting->tls)) {
        drop_stranger(greeting, error->text);
        return;
    }
    struct caller *const caller = take_caller(greeting);
    if (caller != NULL)
        options->refuse(options->owner, caller, error);
}

/* Whom a caller wants to speak to. */
struct addressee {
    bool is_daemon; /* the caller, who wants to join */
    uint32_t shard; /* or 0, control */
};

static enum stepd_status refuse_shard(const struct door_shards *shards, uint32_t shard,
                                      struct stepd_error *reterr)
{
    if (shards->first == 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "this daemon has not joined the first of peers yet; try again");
    if (shards->first == 1)
        return stepd_fail(reterr, STEPD_NOT_FOUND,
                          "there is no shard %u: this server has shards 1 to %u, and control is 0",
                          (unsigned)shard, (unsigned)shards->count);
    return stepd_fail(reterr, STEPD_NOT_FOUND, "shard %u is not here: this daemon has %u to %u",
                      (unsigned)shard, (unsigned)shards->first,
                      (unsigned)(shards->first + shards->count - 1));
}

/* Is this a message that opens a connection, and to whom? */
static enum stepd_status find_addressee(const struct stepd_message *message,
                                        const struct door_options *options,
                                        struct addressee *ret_addressee, struct stepd_error *reterr)
{
    const struct door_shards *const shards = &options->shards;
    const uint32_t shard = message->body.hello.shard;
    if (message->kind == STEPD_MESSAGE_JOIN && options->join != NULL) {
        *ret_addressee = (struct addressee){.is_daemon = true};
        return STEPD_OK;
    }
    if (message->kind == STEPD_MESSAGE_JOIN)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "this daemon is not the first of any peers: all daemons must be started "
                          "with the same list");
    if (message->kind != STEPD_MESSAGE_HELLO)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a connection begins with hello, not with %s",
                          stepd_message_name(message->kind));
    const bool is_here = shard == 0 || (shards->first != 0 && shard >= shards->first &&
                                        shard - shards->first < shards->count);
    if (!is_here)
        return refuse_shard(shards, shard, reterr);
    *ret_addressee = (struct addressee){.shard = shard};
    return STEPD_OK;
}

/* Looks at what has been read. OK: once it is a whole Hello, *ret_whole is set, and the addressee.
 */
static enum stepd_status read_hello(struct greeting *greeting, bool *ret_whole,
                                    struct addressee *ret_addressee, struct stepd_error *reterr)
{
    struct door *const door = greeting->door;
    struct stepd_frame_head head;
    switch (stepd_frame_parse(greeting->bytes, greeting->count, door->options.hello_max_bytes,
                              &head, reterr)) {
    case STEPD_FRAME_BAD:
        if (reterr->code == STEPD_RESOURCE_EXHAUSTED)
            limit_refused(door->options.limits, LIMIT_HELLO_BYTES);
        return reterr->code;
    case STEPD_FRAME_NEED_MORE: return STEPD_OK;
    case STEPD_FRAME_HEAD: break;
    }
    struct stepd_message message;
    enum stepd_status status = stepd_message_decode(
        greeting->bytes + head.header_at, head.header_bytes, &door->arena, &message, reterr);
    if (status == STEPD_OK)
        status = find_addressee(&message, &door->options, ret_addressee, reterr);
    stepd_arena_reset(&door->arena);
    *ret_whole = true;
    return status;
}

/* Are the places that are left those of daemons? Where none are kept, nobody is accepted then. */
static bool is_full(struct door *door, struct stepd_error *reterr)
{
    const struct door_options *const options = &door->options;
    if (door->inside - door->greetings < options->connections_max)
        return false;
    door_note_full(door);
    (void)stepd_fail(reterr, STEPD_UNAVAILABLE,
                     "all connections of this server are in use (connections_max is %u); try again",
                     (unsigned)options->connections_max);
    return true;
}

static void received(struct greeting *greeting, size_t n)
{
    const struct door_options *const options = &greeting->door->options;
    bool whole = false;
    struct addressee addressee = {.shard = 0};
    struct stepd_error error;
    greeting->count += n;
    if (read_hello(greeting, &whole, &addressee, &error) != STEPD_OK) {
        turn_away(greeting, &error);
        return;
    }
    if (!whole)
        return;
    if (!addressee.is_daemon && is_full(greeting->door, &error)) {
        turn_away(greeting, &error);
        return;
    }
    struct caller *const caller = take_caller(greeting);
    if (caller != NULL && addressee.is_daemon)
        options->join(options->owner, caller);
    else if (caller != NULL)
        options->admit(options->owner, addressee.shard, caller);
}

/* Says what TLS has to say; the socket of a fresh connection takes it all. */
static bool send_output(struct greeting *greeting)
{
    size_t n = 0;
    const uint8_t *const bytes = tls_output(greeting->tls, &n);
    const uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)n);
    if (n == 0)
        return true;
    const int sent = uv_try_write(&greeting->uv.stream, &buf, 1);
    tls_output_gone(greeting->tls, n);
    return sent > 0 && (size_t)sent == n;
}

/* Reads what is meant until it is a whole Hello, or all that has come is read. */
static enum tls_result read_tls(struct greeting *greeting)
{
    enum tls_result result = TLS_READ;
    while (result == TLS_READ && !greeting->closing) {
        size_t n = 0;
        result = tls_read(greeting->tls, greeting->bytes + greeting->count,
                          greeting->room - greeting->count, &n);
        if (result == TLS_READ)
            received(greeting, n);
    }
    return result;
}

/* Are these the first bytes of somebody who speaks our protocol without TLS? */
static bool is_in_clear(const uint8_t *bytes, size_t n, size_t most)
{
    struct stepd_frame_head head;
    struct stepd_error error;
    const bool handshake = n < 2 || (bytes[0] == 0x16 && bytes[1] == 0x03);
    return !handshake && stepd_frame_parse(bytes, n, most, &head, &error) != STEPD_FRAME_BAD;
}

/* Says so to whom TLS would say nothing that they understand. */
static void answer_in_clear(struct greeting *greeting)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_FAILED_PRECONDITION,
                     "this server speaks TLS: use an address that begins with tls:, as in "
                     "tls:HOST:PORT, and name its CA (--tls-ca)%s",
                     greeting->door->options.join == NULL
                         ? ""
                         : "; a daemon of its peers needs tls_cert, tls_key and peer_ca");
    greeting->tls = tls_destroy(greeting->tls);
    turn_away(greeting, &error);
}

/* Bytes of TLS have come. */
static void received_tls(struct greeting *greeting, size_t n)
{
    const struct door *const door = greeting->door;
    if (greeting->encrypted == 0 &&
        is_in_clear(door->encrypted, n, door->options.hello_max_bytes)) {
        answer_in_clear(greeting);
        return;
    }
    greeting->encrypted += n;
    if (greeting->encrypted > greeting->door->options.handshake_max_bytes) {
        limit_refused(greeting->door->options.limits, LIMIT_HANDSHAKE_BYTES);
        drop_stranger(greeting, "it has sent too much before its hello");
        return;
    }
    if (!tls_feed(greeting->tls, greeting->door->encrypted, n)) {
        drop_stranger(greeting, "no memory for its handshake");
        return;
    }
    const enum tls_result result = read_tls(greeting);
    if (greeting->closing)
        return; /* and its TLS with it, to somebody else */
    const bool sends = send_output(greeting);
    if (result == TLS_BAD)
        drop_stranger(greeting, tls_why(greeting->tls));
    else if (result == TLS_ENDED)
        greeting_drop(greeting);
    else if (!sends)
        drop_stranger(greeting, "it does not take what the handshake says");
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct greeting *const greeting = handle->data;
    (void)suggested;
    if (greeting->tls != NULL) {
        *buf = uv_buf_init((char *)greeting->door->encrypted, GREETING_TLS_READ_BYTES);
        return;
    }
    *buf = uv_buf_init((char *)greeting->bytes + greeting->count,
                       (unsigned)(greeting->room - greeting->count));
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    (void)buf;
    const struct greeting *const greeting = stream->data;
    if (nread > 0 && greeting->tls != NULL)
        received_tls(stream->data, (size_t)nread);
    else if (nread > 0)
        received(stream->data, (size_t)nread);
    else if (nread < 0)
        greeting_drop(stream->data);
}

/* Accepts, makes the socket ready, and starts to read. */
static int start(struct greeting *greeting, struct listener *listener)
{
    uv_os_fd_t fd;
    int failure = uv_accept(&listener->uv.stream, &greeting->uv.stream);
    if (failure == 0)
        failure = uv_fileno(&greeting->uv.handle, &fd);
    if (failure != 0)
        return failure;
    if (greeting->is_tcp)
        socket_tune(fd, greeting->door->options.tcp_congestion);
    else
        socket_tune_local(fd);
    socket_peer(fd, greeting->peer, sizeof greeting->peer);
    return uv_read_start(&greeting->uv.stream, on_alloc, on_read);
}

/* It must be accepted to be closed, or nobody else would be. */
static void drop_without_tls(struct greeting *greeting, struct listener *listener)
{
    (void)uv_accept(&listener->uv.stream, &greeting->uv.stream);
    log_event(greeting->door->options.log, LOG_ERROR, "out_of_memory", "peer=?");
    greeting_drop(greeting);
}

bool greeting_start(struct door *door, struct listener *listener)
{
    uv_loop_t *const uv = door->options.uv;
    const size_t room = door->options.hello_max_bytes + GREETING_PREFIX_BYTES;
    struct greeting *const greeting = malloc(sizeof *greeting + room);
    if (greeting == NULL)
        return false;
    *greeting = (struct greeting){
        .door = door,
        .next = door->first,
        .is_tcp = listener->is_tcp,
        .came_ms = uv_now(uv),
        .peer = "?",
        .room = room,
    };
    if (door->first != NULL)
        door->first->prev = greeting;
    else
        door->last = greeting;
    door->first = greeting;
    if (greeting->is_tcp)
        (void)uv_tcp_init(uv, &greeting->uv.tcp); /* without flags neither can fail */
    else
        (void)uv_pipe_init(uv, &greeting->uv.pipe, 0);
    greeting->uv.handle.data = greeting;
    door_came(door);
    const bool encrypted = greeting->is_tcp && door->options.tls != NULL;
    if (encrypted)
        greeting->tls = tls_create(door->options.tls);
    if (encrypted && greeting->tls == NULL)
        drop_without_tls(greeting, listener);
    else if (start(greeting, listener) != 0)
        greeting_drop(greeting);
    return true;
}

void greeting_tick(struct greeting *greeting, uint64_t now_ms)
{
    const struct door_options *const options = &greeting->door->options;
    if (greeting->closing || now_ms - greeting->came_ms < options->hello_timeout_ms)
        return;
    struct stepd_error error;
    limit_refused(options->limits, LIMIT_HELLO_TIME);
    (void)stepd_fail(&error, STEPD_DEADLINE_EXCEEDED, "no hello came within %u ms",
                     (unsigned)options->hello_timeout_ms);
    turn_away(greeting, &error);
}
