/* SPDX-License-Identifier: Apache-2.0
 *
 * What tls.c (a connection), tls_server.c and tls_client.c (certificates, of either end) share.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "server/net/tls.h"

struct tls_server {
    SSL_CTX *context; /* owned; each connection has a reference of its own */
};

/* What both sides have in common: TLS 1.3 alone, no sessions, no renegotiation, and no question for
 * the password of a key. */
void tls_restrict(SSL_CTX *context);

/* Our certificate, with its key; an error names the file. */
enum stepd_status tls_take_certificate(SSL_CTX *context, const char *certificate, const char *key,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Says what is wrong with a file, by what OpenSSL has left in its queue. */
enum stepd_status tls_fail_file(const char *key, const char *path, const char *what,
                                struct stepd_error *reterr);

/* A connection without a socket that has not been told yet which end it is. */
struct tls *tls_make(SSL_CTX *context);
SSL *tls_ssl(const struct tls *tls);

#endif
