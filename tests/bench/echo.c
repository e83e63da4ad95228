/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams are opened on descriptors of their own (dup), because libuv closes those that it has. A
 * uv_write_t is not used again before its callback: the far side has one for each answer, and the
 * near side ends an exchange only when it has both the callback and the answer.
 */
#include "tests/bench/echo.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "proto/error.h"

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
    *ret_window = uv_buf_init(handle->data, WINDOW_BYTES);
}

static void on_question(uv_stream_t *stream, ssize_t count, const uv_buf_t *window)
{
    struct answer *const answer =
        count > 0 ? malloc(sizeof *answer + (size_t)count) : (struct answer *)NULL;
    if (answer == NULL) {
        if (count != 0)
            uv_stop(stream->loop);
        return;
    }
    memcpy(answer->bytes, window->base, (size_t)count);
    answer->write.data = answer;
    const uv_buf_t out = uv_buf_init(answer->bytes, (unsigned)count);
    if (uv_write(&answer->write, stream, &out, 1, on_answered) != 0)
        free(answer);
}

void echo_serve(int fd, size_t bytes)
{
    static char window[WINDOW_BYTES];
    uv_loop_t loop;
    union stream stream;
    (void)bytes;
    if (uv_loop_init(&loop) != 0 || !open_stream(&loop, fd, &stream))
        return;
    stream.handle.data = window;
    if (uv_read_start(&stream.any, give_window, on_question) == 0)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- The near side --------------------------------------------------------------------------- */

struct echo {
    uv_loop_t loop;
    uv_async_t wake;
    union stream stream;
    uv_write_t write;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows, as far as both threads use it */
    pthread_cond_t changed;
    const uint8_t *send; /* borrowed until the exchange has ended */
    uint8_t *receive;    /* the same */
    size_t bytes;
    size_t received;
    bool written;
    bool asked; /* an exchange is under way */
    bool gone;
    bool closing;
    char window[WINDOW_BYTES];
};

/* In the loop's thread, whenever something has come: is the exchange over? */
static void look(struct echo *echo)
{
    if (!echo->gone && !(echo->written && echo->received == echo->bytes))
        return;
    (void)pthread_mutex_lock(&echo->mutex);
    echo->asked = false;
    (void)pthread_cond_signal(&echo->changed);
    (void)pthread_mutex_unlock(&echo->mutex);
}

static void on_written(uv_write_t *write, int status)
{
    struct echo *const echo = write->data;
    echo->written = status == 0;
    echo->gone = echo->gone || status != 0;
    look(echo);
}

static void give_own_window(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_window)
{
    struct echo *const echo = handle->data;
    (void)suggested;
    *ret_window = uv_buf_init(echo->window, sizeof echo->window);
}

/* A count of 0 says only that there is no more to read: by then the exchange may be over, and what
 * belongs to it the asker's. */
static void on_answer(uv_stream_t *stream, ssize_t count, const uv_buf_t *window)
{
    struct echo *const echo = stream->data;
    if (count == 0)
        return;
    if (count < 0 || (size_t)count > echo->bytes - echo->received)
        echo->gone = true;
    else
        memcpy(echo->receive + echo->received, window->base, (size_t)count);
    echo->received += count > 0 ? (size_t)count : 0;
    look(echo);
}

static void on_wake(uv_async_t *wake)
{
    struct echo *const echo = wake->data;
    (void)pthread_mutex_lock(&echo->mutex);
    const bool closing = echo->closing;
    const bool asked = echo->asked;
    (void)pthread_mutex_unlock(&echo->mutex);
    if (closing) {
        uv_close(&echo->stream.handle, NULL);
        uv_close((uv_handle_t *)&echo->wake, NULL);
        return;
    }
    if (!asked)
        return;
    const uv_buf_t out = uv_buf_init((char *)(uintptr_t)echo->send, (unsigned)echo->bytes);
    echo->gone = echo->gone || uv_write(&echo->write, &echo->stream.any, &out, 1, on_written) != 0;
    look(echo);
}

static void *run(void *self)
{
    struct echo *const echo = self;
    (void)uv_run(&echo->loop, UV_RUN_DEFAULT);
    return NULL;
}

enum stepd_status echo_open(int fd, struct echo **ret_echo, struct stepd_error *reterr)
{
    struct echo *const echo = calloc(1, sizeof *echo);
    if (echo == NULL || uv_loop_init(&echo->loop) != 0)
        goto fail_free;
    if (uv_async_init(&echo->loop, &echo->wake, on_wake) != 0 ||
        !open_stream(&echo->loop, fd, &echo->stream))
        goto fail_loop;
    echo->wake.data = echo;
    echo->stream.handle.data = echo;
    echo->write.data = echo;
    (void)pthread_mutex_init(&echo->mutex, NULL);
    (void)pthread_cond_init(&echo->changed, NULL);
    if (uv_read_start(&echo->stream.any, give_own_window, on_answer) != 0 ||
        pthread_create(&echo->thread, NULL, run, echo) != 0)
        goto fail_loop;
    *ret_echo = echo;
    return STEPD_OK;

fail_loop:
    (void)uv_loop_close(&echo->loop); /* with what is open in it; the run is over with this */
fail_free:
    free(echo);
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the system has no loop for a bare echo");
}

enum stepd_status echo_ask(struct echo *echo, const uint8_t *send, uint8_t *receive, size_t bytes,
                           struct stepd_error *reterr)
{
    (void)pthread_mutex_lock(&echo->mutex);
    echo->send = send;
    echo->receive = receive;
    echo->bytes = bytes;
    echo->received = 0;
    echo->written = false;
    echo->asked = true;
    (void)uv_async_send(&echo->wake);
    while (echo->asked)
        (void)pthread_cond_wait(&echo->changed, &echo->mutex);
    const bool gone = echo->gone;
    (void)pthread_mutex_unlock(&echo->mutex);
    return gone ? stepd_fail(reterr, STEPD_UNAVAILABLE, "the bare echo is gone") : STEPD_OK;
}

struct echo *echo_close(struct echo *echo)
{
    if (echo == NULL)
        return NULL;
    (void)pthread_mutex_lock(&echo->mutex);
    echo->closing = true;
    (void)pthread_mutex_unlock(&echo->mutex);
    (void)uv_async_send(&echo->wake);
    (void)pthread_join(echo->thread, NULL);
    (void)uv_loop_close(&echo->loop);
    (void)pthread_cond_destroy(&echo->changed);
    (void)pthread_mutex_destroy(&echo->mutex);
    free(echo);
    return NULL;
}
