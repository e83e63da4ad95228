/* SPDX-License-Identifier: Apache-2.0
 *
 * The bare program that stepd is measured against: a process that reads n bytes from a socket and
 * writes n bytes back, and nothing else. It is what the machine's sockets cost by themselves.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <stepd/status.h>

struct peer {
    pid_t pid; /* 0: none */
    int fd;    /* connected to it */
};

/* What a peer does with its connection: until the other side has closed it. */
typedef void peer_serve_fn(int fd, size_t bytes);

/* The bare program. */
peer_serve_fn peer_serve;

/*
 * Forks the peer and connects to it: over TCP where socket_path is NULL, or else over a Unix socket
 * made there. TCP is under reno, as stepd sets it for loopback. bytes: n, for the peer's function.
 * To be called before libstepd opens
 * connections, which the peer would hold open. Ended with peer_stop. UNAVAILABLE: no socket,
 * process or connection.
 */
enum stepd_status peer_start(const char *socket_path, peer_serve_fn *serve, size_t bytes,
                             struct peer *ret_peer, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sends n bytes and receives n bytes. UNAVAILABLE: the peer is gone. */
enum stepd_status peer_exchange(const struct peer *peer, const uint8_t *send, uint8_t *receive,
                                size_t bytes, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Closes the connection, upon which the peer ends, and waits for that. {0} is fine. */
void peer_stop(struct peer *peer);

#endif
