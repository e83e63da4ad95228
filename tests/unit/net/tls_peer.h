/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's end of TLS in memory, and a certificate that it trusts, made for the test.
 */
#ifndef TESTS_UNIT_NET_TLS_PEER_H
#define TESTS_UNIT_NET_TLS_PEER_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "server/net/tls.h"

struct tls_peer {
    struct tls_server *server; /* owned */
    struct tls *tls;           /* the server's end; owned until somebody takes it */
    struct tls_client *client; /* owned; a daemon that dials, and trusts the server */
    SSL_CTX *context;          /* owned */
    SSL *ssl;                  /* owned; the client's end */
    BIO *in;                   /* what comes from the server */
    BIO *out;                  /* what goes to it */
    char folder[64];           /* of the files; owned */
};

/* Both ends, between which nothing has gone yet. The caller frees with tls_peer_destroy. */
struct tls_peer *tls_peer_create(void);
void tls_peer_destroy(struct tls_peer *peer);

/* Lets the handshake go on between the two ends until both are through, at most so many bytes at a
 * time. */
void tls_peer_shake_hands(struct tls_peer *peer, size_t most);

/* Encrypts: returns how many bytes stand in ret_bytes. */
size_t tls_peer_encrypt(struct tls_peer *peer, const uint8_t *bytes, size_t n, uint8_t *ret_bytes,
                        size_t room);

/* Decrypts what has come: how many bytes stand in ret_bytes, 0 if none are whole. */
size_t tls_peer_decrypt(struct tls_peer *peer, const uint8_t *bytes, size_t n, uint8_t *ret_bytes,
                        size_t room);

#endif
