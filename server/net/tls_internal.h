/* SPDX-License-Identifier: Apache-2.0
 *
 * What tls.c (a connection), tls_server.c and tls_client.c (certificates, of either end) share:
 * tls_internal.c, and how a connection is made.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "server/net/tls.h"

/* What the files of an end have become. */
struct tls_holder {
    SSL_CTX *context; /* owned; each connection has a reference of its own */
};

struct tls_server {
    struct tls_holder holder;
};

/* Puts what the files of an end hold into its context. */
typedef enum stepd_status tls_fill(SSL_CTX *context, const void *files, struct stepd_error *reterr);

/* Reads the files, for the first time (a zeroed holder) or again: what they hold takes the place of
 * what they held. A failure, of fill's or RESOURCE_EXHAUSTED, changes nothing. files: borrowed
 * until return. The caller frees with tls_holder_deinit. */
enum stepd_status tls_holder_read(struct tls_holder *holder, const SSL_METHOD *method,
                                  tls_fill *fill, const void *files,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed one is fine. */
void tls_holder_deinit(struct tls_holder *holder);

enum stepd_status tls_fail_without_memory(struct stepd_error *reterr);

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
