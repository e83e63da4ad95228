/* SPDX-License-Identifier: Apache-2.0
 *
 * What tls.c (a connection) and tls_server.c (certificates) share.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "server/net/tls.h"

struct tls_server {
    SSL_CTX *context; /* owned; each connection has a reference of its own */
};

#endif
