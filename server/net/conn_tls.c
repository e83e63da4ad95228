/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection whose bytes go through TLS. Reading: what came from the socket is fed in, and what
 * is meant is read out to where the same bytes would go without TLS, straight into the handler's
 * window where there is one. It is read out only as long as the handler takes input, and the socket
 * is read only then too: what is held back lies in the sender's socket, as without TLS, and one
 * read of the socket here at most.
 *
 * Writing: replies wait in the list that conn_write.c keeps, with references to their weights, and
 * are encrypted CHUNK_BYTES at a time, no more before the socket has taken these. So a reply of any
 * length costs one chunk of memory beside the weights. One whose last byte has gone is put on the
 * loop's list and gives its references back when nobody of the handler's is running.
 *
 * What goes wrong is no word to the peer: whoever breaks TLS hears an alert, and nothing that is
 * meant.
 */
#include <stdlib.h>
#include <string.h>

#include "server/net/conn_internal.h"

#define CHUNK_BYTES ((size_t)64 << 10)

/* ---- Reading --------------------------------------------------------------------------------- */

void conn_tls_read_on(struct conn *conn)
{
    enum tls_result result = TLS_READ;
    while (result == TLS_READ && conn_takes_input(conn)) {
        const uv_buf_t place = conn_place(conn);
        size_t n = 0;
        result = tls_read(conn->tls, (uint8_t *)place.base, place.len, &n);
        if (result == TLS_READ)
            conn_received(conn, (const uint8_t *)place.base, n);
    }
    if (conn->state != CONN_CLOSED)
        conn_tls_flush(conn); /* TLS answers some of what it reads, by an alert where it is bad */
    if (result == TLS_BAD)
        conn_drop(conn, tls_why(conn->tls));
    else if (result == TLS_ENDED)
        conn_on_end(conn);
}

void conn_tls_received(struct conn *conn, const uint8_t *bytes, size_t n)
{
    if (conn->state != CONN_OPEN)
        return; /* a farewell: nobody listens any more */
    tls_lend(conn->tls, bytes, n);
    conn_tls_read_on(conn);
    if (!tls_keep(conn->tls))
        conn_drop(conn, "no memory for what it sends");
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Encrypts n bytes of the reply from where it stands. */
static bool encrypt(struct conn *conn, struct conn_write *write, size_t most)
{
    size_t at = write->encrypted;
    const uint8_t *bytes = write->head;
    size_t count = write->head_bytes;
    for (size_t i = 0; at >= count && i < write->pieces; i++) {
        at -= count;
        bytes = write->held[i].bytes;
        count = write->held[i].count;
    }
    const size_t n = count - at < most ? count - at : most;
    if (!tls_write(conn->tls, bytes + at, n))
        return false;
    write->encrypted += n;
    conn->unencrypted -= n;
    return true;
}

/* Encrypts the next chunk of what waits. */
static bool encrypt_chunk(struct conn *conn)
{
    size_t before = conn->unencrypted;
    const size_t until = before > CHUNK_BYTES ? before - CHUNK_BYTES : 0;
    struct conn_write *write = conn->oldest;
    while (conn->unencrypted > until) {
        while (write->encrypted == write->bytes)
            write = write->next;
        if (!encrypt(conn, write, conn->unencrypted - until))
            return false;
    }
    return true;
}

/* Everything that was encrypted has left: replies that were encrypted whole are done. */
static void retire(struct conn *conn)
{
    while (conn->oldest != NULL && conn->oldest->encrypted == conn->oldest->bytes) {
        struct conn_write *const write = conn->oldest;
        conn->oldest = write->next;
        write->next = conn->loop->written;
        conn->loop->written = write;
    }
}

static void on_flown(uv_write_t *request, int status)
{
    struct conn *const conn = request->data;
    struct conn_loop *const loop = conn->loop;
    free(conn->flight);
    conn->flight = NULL;
    conn->flight_bytes = 0;
    if (status == 0) {
        conn_tls_flush(conn);
        conn_after_write(conn);
    } else if (status != UV_ECANCELED) {
        conn_drop(conn, uv_strerror(status));
    }
    conn_loop_settle(loop);
}

/* Gives libuv what the socket has not taken. */
static bool fly(struct conn *conn, const uint8_t *bytes, size_t n)
{
    conn->flight = malloc(n);
    if (conn->flight == NULL)
        return false;
    memcpy(conn->flight, bytes, n);
    conn->flight_bytes = n;
    conn->flying.data = conn;
    const uv_buf_t buf = uv_buf_init((char *)conn->flight, (unsigned)n);
    if (uv_write(&conn->flying, &conn->uv.stream, &buf, 1, on_flown) == 0)
        return true;
    free(conn->flight);
    conn->flight = NULL;
    conn->flight_bytes = 0;
    return false;
}

/* Sends what is encrypted; false: it cannot be. */
static bool send_output(struct conn *conn)
{
    size_t n = 0;
    const uint8_t *const bytes = tls_output(conn->tls, &n);
    if (n == 0)
        return true;
    /* A buffer of libuv's is not const; a write only reads it. */
    const uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)n);
    const int taken = uv_try_write(&conn->uv.stream, &buf, 1);
    const size_t sent = taken > 0 ? (size_t)taken : 0;
    const bool sends = sent == n || fly(conn, bytes + sent, n - sent);
    tls_output_gone(conn->tls, n);
    return sends;
}

/* The farewell's turn, behind all that was replied. */
static void end(struct conn *conn)
{
    conn->ending = false;
    tls_end(conn->tls);
    if (send_output(conn))
        conn_shut(conn);
    else
        conn_drop(conn, "it could not be written");
}

void conn_tls_flush(struct conn *conn)
{
    bool sends = true;
    while (sends && conn->flight == NULL && conn->state != CONN_CLOSED) {
        sends = send_output(conn);
        if (!sends || conn->flight != NULL)
            break;
        retire(conn);
        if (conn->unencrypted == 0)
            break;
        sends = encrypt_chunk(conn);
    }
    if (!sends)
        conn->doomed = true;
    else if (conn->ending && conn->flight == NULL && conn->unencrypted == 0)
        end(conn);
}

void conn_tls_end(struct conn *conn)
{
    conn->ending = true;
    conn_tls_flush(conn);
}

void conn_tls_deinit(struct conn *conn)
{
    conn->tls = tls_destroy(conn->tls);
    while (conn->oldest != NULL) {
        struct conn_write *const write = conn->oldest;
        conn->oldest = write->next;
        write->next = conn->loop->written;
        conn->loop->written = write;
    }
}
