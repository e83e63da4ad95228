/* SPDX-License-Identifier: Apache-2.0
 *
 * A server's TLS for one process: its certificate is its own authority's, which it also believes
 * of clients.
 */
#ifndef TESTS_FUZZ_AUTHORITY_H
#define TESTS_FUZZ_AUTHORITY_H

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "server/net/tls.h"

struct authority {
    EVP_PKEY *key;             /* owned */
    X509 *certificate;         /* owned */
    struct tls_server *server; /* owned */
};

/* Lives as long as the process. */
const struct authority *authority_get(void);

/* A certificate of this key, whose subject is a name of n bytes, in the ASN.1 type of that number;
 * issued by `issuer`, or by itself where that is NULL. Caller frees with X509_free(). NULL: OpenSSL
 * does not take the name. */
X509 *authority_issue(EVP_PKEY *key, int type, const uint8_t *name, size_t n,
                      const struct authority *issuer);

#endif
