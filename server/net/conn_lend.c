/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that a connection's peer shares with us. The descriptors go with the bytes of the first
 * reply, which is a Welcome: libuv passes none but those of its own kinds of handles, so that reply
 * is sent by hand, and libuv has nothing in hand that it could overtake.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/net/conn_internal.h"

struct conn_loan {
    struct shared_memory *gradients; /* owned */
    int weights_fd;                  /* borrowed until it is sent; -1: it was */
};

const uint8_t *conn_lend(struct conn *conn, const struct shared_memory *weights,
                         size_t gradients_bytes, struct shared_budget *budget)
{
    if (conn->uv.handle.type != UV_NAMED_PIPE || conn->loan != NULL)
        return NULL;
    struct conn_loan *const loan = malloc(sizeof *loan);
    if (loan == NULL)
        return NULL;
    *loan = (struct conn_loan){
        .gradients = shared_memory_create(gradients_bytes, SHARED_MEMORY_THEIRS, budget),
        .weights_fd = weights->fd,
    };
    if (loan->gradients == NULL) {
        log_event(conn->loop->log, LOG_INFO, "sharing_refused",
                  "peer=%s gradients_bytes=%zu shared_max_bytes=%" PRIu64 " used_bytes=%" PRIu64
                  " instead=socket",
                  conn->peer, gradients_bytes, budget->bytes, atomic_load(&budget->bytes_used));
        (void)conn_loan_destroy(loan);
        return NULL;
    }
    conn->loan = loan;
    return loan->gradients->memory.at;
}

bool conn_has_loan_to_send(const struct conn *conn)
{
    return conn->loan != NULL && conn->loan->weights_fd >= 0 && !conn->doomed;
}

bool conn_send_loan(struct conn *conn, const uint8_t *head, size_t bytes)
{
    struct conn_loan *const loan = conn->loan;
    const int fd[2] = {loan->weights_fd, loan->gradients->fd};

    union {
        struct cmsghdr header; /* for its alignment */
        uint8_t bytes[CMSG_SPACE(sizeof fd)];
    } control = {.bytes = {0}};
    /* What is sent is only read. */
    struct iovec part = {.iov_base = (void *)(uintptr_t)head, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(rights), fd, sizeof fd);
    loan->weights_fd = -1;
    uv_os_fd_t socket;
    if (conn->oldest != NULL || uv_fileno(&conn->uv.handle, &socket) != 0)
        return false;
    ssize_t sent;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    shared_memory_close_descriptor(loan->gradients);
    return sent >= 0 && (size_t)sent == bytes; /* the socket is empty, and the head small */
}

struct conn_loan *conn_loan_destroy(struct conn_loan *loan)
{
    if (loan == NULL)
        return NULL;
    (void)shared_memory_destroy(loan->gradients);
    free(loan);
    return NULL;
}
