/* SPDX-License-Identifier: Apache-2.0
 *
 * A bare echo through libuv, which is what a round trip costs by itself: on the far side a process
 * that writes back what it reads, on the near side what libstepd has, too: a thread that sleeps in
 * its loop, is woken for each question, and wakes who waits for the answer.
 */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

struct echo;

/* The far side: a peer_serve_fn, which returns when the connection ends. */
void echo_serve(int fd, size_t bytes);

/* The near side, over a connection to the far one, whose descriptor stays the caller's, to be
 * closed after echo_close. *ret_echo: caller frees with echo_close. RESOURCE_EXHAUSTED: no thread
 * or no memory. */
enum stepd_status echo_open(int fd, struct echo **ret_echo,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Sends bytes and receives as many. One call at a time. UNAVAILABLE: the far side is gone. */
enum stepd_status echo_ask(struct echo *echo, const uint8_t *send, uint8_t *receive, size_t bytes,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Ends the thread. NULL is fine. Returns NULL. */
struct echo *echo_close(struct echo *echo);

#endif
