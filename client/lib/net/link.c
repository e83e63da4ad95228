/* SPDX-License-Identifier: Apache-2.0
 *
 * A socket that libuv watches, and little else. Reading: the reader is asked for its window, and is
 * told how much has come. Writing: a frame goes to the socket at once if nothing is in front of it,
 * with one buffer for the head and one for each span of the payload; what the socket does not take
 * leaves as soon as it takes more. One frame is being written at a time. The others wait in a queue
 * that knows priorities (core/sendqueue.h).
 *
 * Why no stream of libuv's: it writes with writev(), which raises SIGPIPE, the process's and not
 * ours, where the peer has gone; it says that all has left a turn of the loop and two system calls
 * later; and it takes descriptors in as streams only. Without it a step of 64 bytes takes 0.9 of
 * the time.
 *
 * Through TLS each part is a call of its own, which encrypts some of it and writes that. What TLS
 * has read from the socket and not given out yet makes no event, so reading goes on until it has
 * nothing; and as long as it must read before it can write, the socket is not watched for that.
 *
 * What is wrong with the socket is found by the loop, never in stepd_link_send(): the one who sends
 * has just made the request that would be lost.
 */
#include "client/lib/net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client/lib/core/reader.h"
#include "client/lib/core/sendqueue.h"
#include "proto/error.h"

/* The other links get their turn behind so many reads, or so many bytes written. */
#define TURN_READS 32u
#define TURN_BYTES ((size_t)4 << 20)

#define PARTS_MOST 1024u /* of one sendmsg(): UIO_MAXIOV of Linux */

struct stepd_link {
    uv_poll_t poll;
    int watched; /* the events that libuv watches for */

    struct stepd_link_options options; /* with the socket, owned */
    char *peer;                        /* owned */
    struct stepd_reader reader;
    struct stepd_sendqueue queue; /* of struct link_write, owned */
    struct link_write *writing;   /* owned; the frame of which not all has left */
    uint64_t received;
    bool busy; /* frames are being written: a further one waits its turn */
    bool closed;
    int descriptor[STEPD_LINK_DESCRIPTORS]; /* owned */
    size_t descriptors;
};

/* A frame on its way. */
struct link_write {
    struct stepd_sendqueue_item item; /* first */
    struct stepd_outgoing *outgoing;  /* owned */
    size_t parts;
    size_t at;           /* the first part of which not all has left */
    struct iovec part[]; /* what has not left of each */
};

static void close_descriptors(struct stepd_link *link)
{
    while (link->descriptors > 0)
        (void)close(link->descriptor[--link->descriptors]);
}

static struct link_write *destroy_write(struct link_write *write)
{
    if (write == NULL)
        return NULL;
    write->outgoing = stepd_outgoing_destroy(write->outgoing);
    free(write);
    return NULL;
}

static void destroy(struct stepd_link *link)
{
    close_descriptors(link);
    link->options.tls = stepd_tls_destroy(link->options.tls);
    stepd_reader_deinit(&link->reader);
    free(link->peer);
    free(link);
}

static void on_closed(uv_handle_t *handle)
{
    destroy(handle->data);
}

struct stepd_link *stepd_link_close(struct stepd_link *link)
{
    if (link == NULL || link->closed)
        return NULL;
    link->closed = true;
    uv_close((uv_handle_t *)&link->poll, on_closed);
    link->options.tls = stepd_tls_destroy(link->options.tls); /* which says goodbye */
    (void)close(link->options.fd);
    link->writing = destroy_write(link->writing);
    struct stepd_sendqueue_item *item;
    while ((item = stepd_sendqueue_take(&link->queue)) != NULL)
        (void)destroy_write((struct link_write *)item);
    return NULL;
}

static void lose(struct stepd_link *link, const struct stepd_error *error)
{
    if (link->closed)
        return;
    (void)stepd_link_close(link);
    link->options.on_lost(link->options.owner, link->options.shard, error);
}

/* The connection broke: says where it led, and why it is no more. */
static enum stepd_status broken(const struct stepd_link *link, const char *why,
                                struct stepd_error *reterr)
{
    if (link->options.shard == 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "connection to %s lost: %s", link->peer, why);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "connection to %s (shard %u) lost: %s", link->peer,
                      link->options.shard, why);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void advance(struct stepd_link *link, size_t n)
{
    struct stepd_error error;
    const uint64_t answers = link->reader.answers;
    link->received += n;
    if (stepd_reader_advance(&link->reader, n, &error) != STEPD_OK)
        lose(link, &error);
    else if (link->reader.answers != answers && !link->closed)
        link->options.on_answer(link->options.owner, link->options.shard);
}

/* A server sends two, with its Welcome; of one that sends more, none are kept. */
static void keep_descriptors(struct stepd_link *link, const int *fd, size_t n)
{
    const bool fits = n <= STEPD_LINK_DESCRIPTORS - link->descriptors;
    if (!fits)
        close_descriptors(link);
    for (size_t i = 0; i < n; i++) {
        if (fits)
            link->descriptor[link->descriptors++] = fd[i];
        else
            (void)close(fd[i]);
    }
}

/* What recv() says; descriptors that came with the bytes are kept. */
static ssize_t receive(struct stepd_link *link, const struct stepd_room *room)
{
    int fd[STEPD_LINK_DESCRIPTORS + 1];

    union {
        struct cmsghdr header; /* for its alignment */
        uint8_t bytes[CMSG_SPACE(sizeof fd)];
    } control;
    struct iovec part = {.iov_base = room->at, .iov_len = room->bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.bytes};
    if (link->options.tls != NULL)
        return stepd_tls_read(link->options.tls, room->at, room->bytes);
    if (!link->options.shares)
        return recv(link->options.fd, room->at, room->bytes, 0);
    const ssize_t n = recvmsg(link->options.fd, &message, MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *at = n > 0 ? CMSG_FIRSTHDR(&message) : NULL; at != NULL;
         at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t bytes = at->cmsg_len - CMSG_LEN(0);
        memcpy(fd, CMSG_DATA(at), bytes);
        keep_descriptors(link, fd, bytes / sizeof fd[0]);
    }
    return n;
}

bool stepd_link_take_descriptors(struct stepd_link *link, int ret_fd[STEPD_LINK_DESCRIPTORS])
{
    if (link->descriptors < STEPD_LINK_DESCRIPTORS)
        return false;
    memcpy(ret_fd, link->descriptor, sizeof link->descriptor);
    link->descriptors = 0;
    return true;
}

static bool comes_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static void lose_broken(struct stepd_link *link, const char *why)
{
    struct stepd_error error;
    (void)broken(link, why, &error);
    lose(link, &error);
}

/* With what the system has said, or TLS. */
static void lose_failed(struct stepd_link *link, int error)
{
    struct stepd_error why;
    if (link->options.tls == NULL || error != EPROTO) {
        lose_broken(link, strerror(error));
        return;
    }
    const enum stepd_status status = stepd_tls_explain(link->options.tls, &why);
    (void)stepd_fail_in(&why, status, "connection to %s", link->peer);
    lose(link, &why);
}

/* Is there more to be read that makes no event? */
static bool holds_more(const struct stepd_link *link)
{
    return !link->closed && link->options.tls != NULL && stepd_tls_holds(link->options.tls);
}

/* A read that does not fill its room has brought all that was there. */
static void read_on(struct stepd_link *link)
{
    struct stepd_room room;
    ssize_t n;
    unsigned reads = 0;
    do {
        stepd_reader_window(&link->reader, &room);
        n = receive(link, &room);
        if (n > 0)
            advance(link, (size_t)n);
        else if (n == 0)
            lose_broken(link, "closed by the server");
        else if (!comes_later(errno))
            lose_failed(link, errno);
        reads++;
    } while (n > 0 && !link->closed &&
             (holds_more(link) || ((size_t)n == room.bytes && reads < TURN_READS)));
}

uint64_t stepd_link_received(const struct stepd_link *link)
{
    return link->received;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void on_event(uv_poll_t *poll, int status, int events);

static bool has_to_write(const struct stepd_link *link)
{
    return link->writing != NULL || link->queue.first != NULL;
}

/* libuv cannot fail here: the socket is no other handle's. */
static void watch(struct stepd_link *link)
{
    const bool must_read =
        !link->closed && link->options.tls != NULL && stepd_tls_must_read(link->options.tls);
    const int events = UV_READABLE | (has_to_write(link) && !must_read ? UV_WRITABLE : 0);
    if (!link->closed && events != link->watched)
        (void)uv_poll_start(&link->poll, events, on_event);
    link->watched = events;
}

/* So much of the frame has left. */
static void pass(struct link_write *write, size_t sent)
{
    for (size_t left = sent; write->at < write->parts;) {
        struct iovec *const part = &write->part[write->at];
        if (part->iov_len > left) {
            *part = (struct iovec){.iov_base = (uint8_t *)part->iov_base + left,
                                   .iov_len = part->iov_len - left};
            break;
        }
        left -= part->iov_len;
        write->at++;
    }
}

/* The same through TLS, which takes a part of a part at a time. */
static ssize_t send_some_tls(struct stepd_link *link)
{
    struct link_write *const write = link->writing;
    size_t all = 0;
    ssize_t sent = 1;
    while (sent > 0 && all < TURN_BYTES && write->at < write->parts) {
        const struct iovec *const part = &write->part[write->at];
        sent = stepd_tls_write(link->options.tls, part->iov_base, part->iov_len);
        if (sent > 0)
            pass(write, (size_t)sent);
        all += sent > 0 ? (size_t)sent : 0;
    }
    return sent < 0 && all == 0 ? -1 : (ssize_t)all;
}

/* Gives the socket what it takes of the frame. As write(). */
static ssize_t send_some(struct stepd_link *link)
{
    struct link_write *const write = link->writing;
    if (link->options.tls != NULL)
        return send_some_tls(link);
    const size_t parts = write->parts - write->at;
    const struct msghdr message = {.msg_iov = &write->part[write->at],
                                   .msg_iovlen = parts < PARTS_MOST ? parts : PARTS_MOST};
    const ssize_t sent = sendmsg(link->options.fd, &message, MSG_NOSIGNAL);
    pass(write, sent > 0 ? (size_t)sent : 0);
    return sent;
}

/* The next frame, if not all of the one before has left. */
static bool has_next(struct stepd_link *link)
{
    if (link->writing == NULL && !link->closed)
        link->writing = (struct link_write *)stepd_sendqueue_take(&link->queue);
    return link->writing != NULL;
}

/* All of a frame has left. That may end its request, whose owner may send more, or close the link.
 */
static void finish(struct stepd_link *link)
{
    const uint64_t id = link->writing->outgoing->request_id;
    link->writing = destroy_write(link->writing);
    stepd_pending_written(link->options.pending, link->options.shard, id);
}

/* Writes until the socket has not taken all that it was offered: asked again at once it would take
 * little, again and again. What is wrong with it, or 0. */
static int write_on(struct stepd_link *link)
{
    ssize_t sent = 0;
    link->busy = true;
    for (size_t all = 0; all < TURN_BYTES && has_next(link); all += (size_t)sent) {
        sent = send_some(link);
        if (sent < 0 || link->writing->at < link->writing->parts)
            break;
        finish(link);
    }
    const int error = sent < 0 && !comes_later(errno) ? errno : 0;
    link->busy = false;
    return error;
}

/* Reads first: a server that has hung up may have said why. */
static void on_event(uv_poll_t *poll, int status, int events)
{
    struct stepd_link *const link = poll->data;
    if (status < 0 || (events & UV_READABLE) != 0)
        read_on(link);
    const int error = !link->closed && has_to_write(link) ? write_on(link) : 0;
    if (error != 0)
        lose_failed(link, error);
    else if (status < 0)
        lose_broken(link, uv_strerror(status));
    watch(link);
}

static struct iovec part_of(const void *at, size_t bytes)
{
    /* What is written is only read. */
    return (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = bytes};
}

static struct link_write *create_write(struct stepd_outgoing *outgoing)
{
    struct link_write *const write =
        malloc(sizeof *write + (1 + outgoing->spans) * sizeof write->part[0]);
    if (write == NULL)
        return NULL;
    *write = (struct link_write){
        .item = {.priority = outgoing->priority, .clock = outgoing->clock},
        .outgoing = outgoing,
        .parts = 1 + outgoing->spans,
    };
    write->part[0] = part_of(outgoing->head, outgoing->head_bytes);
    for (size_t i = 0; i < outgoing->spans; i++)
        write->part[1 + i] = part_of(outgoing->span[i].at, outgoing->span[i].bytes);
    return write;
}

enum stepd_status stepd_link_send(struct stepd_link *link, struct stepd_outgoing *outgoing,
                                  struct stepd_error *reterr)
{
    struct link_write *const write = create_write(outgoing);
    if (write == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to send %zu bytes",
                          outgoing->payload_bytes);
    const bool waits = link->busy || has_to_write(link);
    stepd_sendqueue_add(&link->queue, &write->item);
    if (!waits)
        (void)write_on(link); /* the loop will find what is wrong */
    watch(link);
    return STEPD_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

enum stepd_status stepd_link_open(uv_loop_t *uv, const struct stepd_link_options *options,
                                  struct stepd_link **ret_link, struct stepd_error *reterr)
{
    struct stepd_link *const link = calloc(1, sizeof *link);
    if (link == NULL) {
        (void)stepd_tls_destroy(options->tls);
        (void)close(options->fd);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    link->options = *options;
    link->peer = strdup(options->peer);
    link->options.peer = link->peer;
    if (link->peer == NULL ||
        stepd_reader_init(&link->reader, options->pending, options->shard) != STEPD_OK) {
        (void)close(options->fd);
        destroy(link);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    }
    const int result = uv_poll_init(uv, &link->poll, options->fd);
    if (result != 0) {
        (void)close(options->fd);
        destroy(link);
        return stepd_fail(reterr, STEPD_INTERNAL, "cannot use a connection: %s",
                          uv_strerror(result));
    }
    link->poll.data = link;
    watch(link);
    *ret_link = link;
    return STEPD_OK;
}
