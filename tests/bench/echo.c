/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams are opened on descriptors of their own (dup), because libuv closes those that it has. A
 * uv_write_t is not used again before its callback: the far side has one for each answer, and the
 * near side ends an exchange only when it has both the callback and the answer.
 *
 * A side that polls runs its loop again and again, and needs a core of its own meanwhile: the near
 * one while it waits, the far one for a while after each question, as stepd does.
 */
#include "tests/bench/echo.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "proto/error.h"
#include "tests/bench/samples.h"

#define WINDOW_BYTES 65536u

union stream {
    uv_handle_t handle;
    uv_stream_t any;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

static bool open_stream(uv_loop_t *loop, int fd, union stream *stream)
{
    const int own = dup(fd);
    if (own < 0)
        return false;
    if (uv_guess_handle(own) == UV_TCP)
        return uv_tcp_init(loop, &stream->tcp) == 0 && uv_tcp_open(&stream->tcp, own) == 0;
    return uv_pipe_init(loop, &stream->pipe, 0) == 0 && uv_pipe_open(&stream->pipe, own) == 0;
}

/* ---- The far side ---------------------------------------------------------------------------- */

struct far_side {
    char window[WINDOW_BYTES];
    bool heard; /* a question has come */
};

struct answer {
    uv_write_t write;
    char bytes[];
};

static void on_answered(uv_write_t *write, int status)
{
    (void)status;
    free(write->data);
}

static void give_window(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_window)
{
    (void)suggested;
    *ret_window = uv_buf_init(((struct far_side *)handle->data)->window, WINDOW_BYTES);
}

static void on_question(uv_stream_t *stream, ssize_t count, const uv_buf_t *window)
{
    ((struct far_side *)stream->data)->heard = true;
    struct answer *const answer =
        count > 0 ? malloc(sizeof *answer + (size_t)count) : (struct answer *)NULL;
    if (answer == NULL) {
        if (count != 0)
            uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    memcpy(answer->bytes, window->base, (size_t)count);
    answer->write.data = answer;
    const uv_buf_t out = uv_buf_init(answer->bytes, (unsigned)count);
    if (uv_write(&answer->write, stream, &out, 1, on_answered) != 0)
        free(answer);
}

void echo_serve(const struct wire *wire, size_t wires, const void *plan)
{
    static struct far_side far_side;
    const struct echo_plan *const echo = plan;
    uv_loop_t loop;
    union stream stream;
    (void)wires;
    if (uv_loop_init(&loop) != 0 || !open_stream(&loop, wire->far, &stream))
        return;
    stream.handle.data = &far_side;
    if (uv_read_start(&stream.any, give_window, on_question) != 0)
        return;
    bool over = false;
    double sleeps_at = 0;
    while (!over) {
        const bool polls = samples_now() < sleeps_at;
        far_side.heard = false;
        (void)uv_run(&loop, polls ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        if (far_side.heard)
            sleeps_at = samples_now() + 1e-6 * echo->poll_us;
        over = uv_is_closing(&stream.handle) != 0;
    }
}

/* ---- The near side --------------------------------------------------------------------------- */

struct echo {
    uv_loop_t loop;
    union stream stream;
    uv_write_t write;
    bool polls;
    uint8_t *receive; /* borrowed until the exchange has ended */
    size_t bytes;
    size_t received;
    bool written;
    bool gone;
    char window[WINDOW_BYTES];
};

static void on_written(uv_write_t *write, int status)
{
    struct echo *const echo = write->data;
    echo->written = status == 0;
    echo->gone = echo->gone || status != 0;
}

static void give_own_window(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_window)
{
    struct echo *const echo = handle->data;
    (void)suggested;
    *ret_window = uv_buf_init(echo->window, sizeof echo->window);
}

static void on_answer(uv_stream_t *stream, ssize_t count, const uv_buf_t *window)
{
    struct echo *const echo = stream->data;
    if (count < 0 || (size_t)count > echo->bytes - echo->received) {
        echo->gone = true;
        return;
    }
    memcpy(echo->receive + echo->received, window->base, (size_t)count);
    echo->received += (size_t)count;
}

enum stepd_status echo_open(int fd, bool polls, struct echo **ret_echo, struct stepd_error *reterr)
{
    struct echo *const echo = calloc(1, sizeof *echo);
    if (echo == NULL || uv_loop_init(&echo->loop) != 0)
        goto fail_free;
    if (!open_stream(&echo->loop, fd, &echo->stream))
        goto fail_loop;
    echo->polls = polls;
    echo->stream.handle.data = echo;
    echo->write.data = echo;
    if (uv_read_start(&echo->stream.any, give_own_window, on_answer) != 0)
        goto fail_loop;
    *ret_echo = echo;
    return STEPD_OK;

fail_loop:
    (void)uv_loop_close(&echo->loop); /* with what is open in it; the run is over with this */
fail_free:
    free(echo);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the system has no loop for a bare echo");
}

enum stepd_status echo_ask(struct echo *echo, const void *send, void *receive, size_t bytes,
                           struct stepd_error *reterr)
{
    const uv_buf_t out = uv_buf_init((char *)(uintptr_t)send, (unsigned)bytes);
    echo->receive = receive;
    echo->bytes = bytes;
    echo->received = 0;
    echo->written = false;
    echo->gone = echo->gone || uv_write(&echo->write, &echo->stream.any, &out, 1, on_written) != 0;
    while (!echo->gone && !(echo->written && echo->received == echo->bytes))
        (void)uv_run(&echo->loop, echo->polls ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    return echo->gone ? stepd_fail(reterr, STEPD_UNAVAILABLE, "the bare echo is gone") : STEPD_OK;
}

struct echo *echo_close(struct echo *echo)
{
    if (echo == NULL)
        return NULL;
    uv_close(&echo->stream.handle, NULL);
    (void)uv_run(&echo->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&echo->loop);
    free(echo);
    return NULL;
}
