/* SPDX-License-Identifier: Apache-2.0
 *
 * A listening socket: TCP or Unix. Whoever listens accepts when it likes; connections that are not
 * accepted wait in the system's backlog.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <sys/socket.h>
#include <uv.h>

#include <stepd/status.h>

#include "server/base/log.h"

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;

    bool is_tcp;
    bool open;
    bool waiting; /* a connection has been announced and not been accepted */
    void *owner;
};

/*
 * Listens. on_connection gets the handle, whose `data` is the listener. The listener must not move.
 * UNAVAILABLE: the address is taken or cannot be had; the text names it and the remedy. On failure
 * too the loop must run once more before the listener's memory goes.
 */
enum stepd_status listener_open_tcp(struct listener *listener, uv_loop_t *uv,
                                    const struct sockaddr *address, uv_connection_cb on_connection,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The same on a Unix socket. A socket file that a dead daemon left behind is removed first. A
 * directory that others may enter is worth a warning in the log.
 */
enum stepd_status listener_open_unix(struct listener *listener, uv_loop_t *uv, const char *path,
                                     uv_connection_cb on_connection, const struct log *log,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Stops, and removes the file of a Unix socket. A listener that is not open is fine. */
void listener_close(struct listener *listener);

#endif
