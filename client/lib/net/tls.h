/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS 1.3 on a connected socket, as a client: who is at the other end must show a certificate for
 * the name that was dialled, signed by a CA that the caller trusts.
 */
#ifndef CLIENT_LIB_NET_TLS_H
#define CLIENT_LIB_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <stepd/status.h>

struct stepd_tls;
struct stepd_trust;

/* Paths of PEM files, and a name; NULL: none. */
struct stepd_trust_options {
    const char *ca;          /* who signs servers' certificates; NULL: those of the system */
    const char *certificate; /* ours, and those up to the CA */
    const char *key;
    const char *name; /* in the server's certificate; NULL: the host that is dialled */
};

/* What all connections of a client have in common. options: borrowed until return.
 * INVALID_ARGUMENT: a file cannot be read, or holds something else; the text names it.
 * RESOURCE_EXHAUSTED: no memory. *ret_trust: caller frees with stepd_trust_destroy. */
enum stepd_status stepd_trust_create(const struct stepd_trust_options *options,
                                     struct stepd_trust **ret_trust,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. No connection may be left. */
struct stepd_trust *stepd_trust_destroy(struct stepd_trust *trust);

/* fd: borrowed as long as the tls, non-blocking. host: borrowed until return. NULL: no memory. */
struct stepd_tls *stepd_tls_create(const struct stepd_trust *trust, int fd, const char *host);
struct stepd_tls *stepd_tls_destroy(struct stepd_tls *tls);

/* As recv() and send(): how many bytes, 0 at the end of what comes, or -1 and errno: EAGAIN;
 * EPROTO, and stepd_tls_explain says what it is. What send() was given must be given again, or more
 * that begins with it. */
ssize_t stepd_tls_read(struct stepd_tls *tls, void *bytes, size_t room);
ssize_t stepd_tls_write(struct stepd_tls *tls, const void *bytes, size_t n);

/* Does it hold bytes that were read from the socket already? */
bool stepd_tls_holds(const struct stepd_tls *tls);

/* Must something come before the next byte can leave? */
bool stepd_tls_must_read(const struct stepd_tls *tls);

/* Why it is of no use any more, for people. UNAUTHENTICATED: one end does not trust the other's
 * certificate, or wants one. UNAVAILABLE: anything else. */
enum stepd_status stepd_tls_explain(const struct stepd_tls *tls, struct stepd_error *reterr);

#endif
