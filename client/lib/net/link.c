/* SPDX-License-Identifier: Apache-2.0
 *
 * libuv's stream, and little else. Reading: alloc_cb asks the reader for its window, read_cb tells
 * it how much has come. Writing: one uv_write for each frame, with one buffer for the head and one
 * for each span of the payload; the write request lives until its callback. Frames wait in a queue
 * of ours and not in libuv's, which knows no priorities (core/sendqueue.h).
 *
 * uv_close() stops reading at once and lets go of what is written, so the link may tell its owner
 * right after it; the callbacks of the writes come later and only free them.
 */
#include "client/lib/net/link.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/core/reader.h"
#include "client/lib/core/sendqueue.h"
#include "proto/error.h"

struct stepd_link {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;

    struct stepd_link_options options;
    char *peer; /* owned */
    struct stepd_reader reader;
    struct stepd_sendqueue queue; /* of struct link_write, owned */
    uint64_t received;
    bool closed;
    int descriptor[STEPD_LINK_DESCRIPTORS]; /* owned */
    size_t descriptors;
};

struct link_write {
    struct stepd_sendqueue_item item; /* first */
    uv_write_t uv;
    struct stepd_outgoing *outgoing; /* owned */
    unsigned bufs;
    uv_buf_t buf[];
};

static void close_descriptors(struct stepd_link *link)
{
    while (link->descriptors > 0)
        (void)close(link->descriptor[--link->descriptors]);
}

static void destroy_write(struct link_write *write)
{
    write->outgoing = stepd_outgoing_destroy(write->outgoing);
    free(write);
}

static void destroy(struct stepd_link *link)
{
    close_descriptors(link);
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
    uv_close(&link->uv.handle, on_closed);
    struct stepd_sendqueue_item *item;
    while ((item = stepd_sendqueue_drop(&link->queue)) != NULL)
        destroy_write((struct link_write *)item);
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

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct stepd_link *const link = handle->data;
    struct stepd_room room;
    (void)suggested;
    stepd_reader_window(&link->reader, &room);
    *ret_buf = uv_buf_init((char *)room.at, (unsigned)room.bytes);
}

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

static void on_accepted_closed(uv_handle_t *handle)
{
    free(handle);
}

/* libuv hands over descriptors as streams of which it thinks well; it is never used as one. -1:
 * there is no memory. */
static int accept_descriptor(struct stepd_link *link)
{
    uv_os_fd_t fd;
    int copy = -1;
    uv_pipe_t *const accepted = malloc(sizeof *accepted);
    if (accepted == NULL)
        return -1;
    (void)uv_pipe_init(link->uv.handle.loop, accepted, /* ipc= */ 0); /* cannot fail */
    if (uv_accept(&link->uv.stream, (uv_stream_t *)accepted) == 0 &&
        uv_fileno((uv_handle_t *)accepted, &fd) == 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    uv_close((uv_handle_t *)accepted, on_accepted_closed);
    return copy;
}

/* A server sends two, with its Welcome; of one that sends more, none are kept. */
static void take_in_descriptors(struct stepd_link *link)
{
    while (link->options.shares && uv_pipe_pending_count(&link->uv.pipe) > 0) {
        const int fd = accept_descriptor(link);
        if (fd < 0)
            return;
        if (link->descriptors == STEPD_LINK_DESCRIPTORS) {
            (void)close(fd);
            close_descriptors(link);
        } else {
            link->descriptor[link->descriptors++] = fd;
        }
    }
}

bool stepd_link_take_descriptors(struct stepd_link *link, int ret_fd[STEPD_LINK_DESCRIPTORS])
{
    if (link->descriptors < STEPD_LINK_DESCRIPTORS)
        return false;
    memcpy(ret_fd, link->descriptor, sizeof link->descriptor);
    link->descriptors = 0;
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct stepd_link *const link = stream->data;
    struct stepd_error error;
    (void)buf;
    if (n == 0)
        return;
    if (n < 0) {
        (void)broken(link, n == UV_EOF ? "closed by the server" : uv_strerror((int)n), &error);
        lose(link, &error);
    } else {
        take_in_descriptors(link); /* before the message that tells of them */
        advance(link, (size_t)n);
    }
}

uint64_t stepd_link_received(const struct stepd_link *link)
{
    return link->received;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void on_write(uv_write_t *uv, int result);

/* Gives libuv what it may have. Returns the frame that it did not take, and why; NULL: it has. */
static struct link_write *write_on(struct stepd_link *link, int *ret_result)
{
    struct link_write *write;
    while ((write = (struct link_write *)stepd_sendqueue_take(&link->queue)) != NULL) {
        const int result =
            uv_write(&write->uv, &link->uv.stream, write->buf, write->bufs, on_write);
        if (result != 0) {
            stepd_sendqueue_written(&link->queue, write->item.bytes);
            *ret_result = result;
            return write;
        }
    }
    return NULL;
}

static void on_write(uv_write_t *uv, int result)
{
    struct link_write *const write = uv->data;
    struct stepd_link *const link = uv->handle->data;
    struct stepd_error error;
    const uint64_t id = write->outgoing->request_id;
    stepd_sendqueue_written(&link->queue, write->item.bytes);
    destroy_write(write);
    if (link->closed)
        return;
    struct link_write *const refused = result == 0 ? write_on(link, &result) : NULL;
    if (refused != NULL)
        destroy_write(refused);
    if (result == 0) {
        stepd_pending_written(link->options.pending, link->options.shard, id);
        return;
    }
    (void)broken(link, uv_strerror(result), &error);
    lose(link, &error);
}

/* libuv's buffers are not const, but what is written is only read. */
static uv_buf_t buffer_of(const void *at, size_t bytes)
{
    return (uv_buf_t){.base = (char *)(uintptr_t)at, .len = bytes};
}

static struct link_write *create_write(struct stepd_outgoing *outgoing)
{
    struct link_write *const write =
        calloc(1, sizeof *write + (1 + outgoing->spans) * sizeof(uv_buf_t));
    if (write == NULL)
        return NULL;
    write->item = (struct stepd_sendqueue_item){
        .priority = outgoing->priority,
        .clock = outgoing->clock,
        .bytes = outgoing->head_bytes + outgoing->payload_bytes,
    };
    write->uv.data = write;
    write->outgoing = outgoing;
    write->bufs = (unsigned)(1 + outgoing->spans);
    write->buf[0] = buffer_of(outgoing->head, outgoing->head_bytes);
    for (size_t i = 0; i < outgoing->spans; i++)
        write->buf[1 + i] = buffer_of(outgoing->span[i].at, outgoing->span[i].bytes);
    return write;
}

enum stepd_status stepd_link_send(struct stepd_link *link, struct stepd_outgoing *outgoing,
                                  struct stepd_error *reterr)
{
    struct link_write *const write = create_write(outgoing);
    if (write == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to send %zu bytes",
                          outgoing->payload_bytes);
    int result = 0;
    stepd_sendqueue_add(&link->queue, &write->item);
    struct link_write *const refused = write_on(link, &result);
    if (refused == NULL)
        return STEPD_OK;
    assert(refused == write); /* what was in front of it had to wait, and has to */
    free(write);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to send %zu bytes: %s",
                      outgoing->payload_bytes, uv_strerror(result));
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* Gives the socket to libuv; until that has worked it is ours to close. */
static int open_handle(uv_loop_t *uv, struct stepd_link *link)
{
    const int fd = link->options.fd;
    int result;
    if (link->options.local) {
        (void)uv_pipe_init(uv, &link->uv.pipe, link->options.shares); /* cannot fail */
        result = uv_pipe_open(&link->uv.pipe, fd);
    } else {
        (void)uv_tcp_init(uv, &link->uv.tcp); /* cannot fail either */
        result = uv_tcp_open(&link->uv.tcp, fd);
    }
    link->uv.handle.data = link;
    if (result != 0)
        (void)close(fd);
    else
        result = uv_read_start(&link->uv.stream, on_alloc, on_read);
    return result;
}

enum stepd_status stepd_link_open(uv_loop_t *uv, const struct stepd_link_options *options,
                                  struct stepd_link **ret_link, struct stepd_error *reterr)
{
    struct stepd_link *const link = calloc(1, sizeof *link);
    if (link == NULL) {
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
    const int result = open_handle(uv, link);
    if (result != 0) {
        (void)stepd_link_close(link);
        return stepd_fail(reterr, STEPD_INTERNAL, "cannot use a connection: %s",
                          uv_strerror(result));
    }
    *ret_link = link;
    return STEPD_OK;
}
