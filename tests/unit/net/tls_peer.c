/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define LIFE_S 3600L

static void write_files(const char *key_path, const char *certificate_path)
{
    EVP_PKEY *const key = EVP_EC_gen("P-256");
    X509 *const certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_NAME *const name = X509_get_subject_name(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)"server", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -LIFE_S));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), LIFE_S));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    FILE *file = fopen(key_path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    file = fopen(certificate_path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

struct tls_peer *tls_peer_create(void)
{
    struct tls_peer *const peer = calloc(1, sizeof *peer);
    char key[128];
    char certificate[128];
    assert_non_null(peer);
    (void)snprintf(peer->folder, sizeof peer->folder, "/tmp/stepd-tls-XXXXXX");
    assert_non_null(mkdtemp(peer->folder));
    (void)snprintf(key, sizeof key, "%s/key", peer->folder);
    (void)snprintf(certificate, sizeof certificate, "%s/certificate", peer->folder);
    write_files(key, certificate);
    const struct tls_files files = {.certificate = certificate, .key = key, .client_ca = ""};
    struct stepd_error error = {.text = ""};
    if (tls_server_create(&files, &peer->server, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    const struct tls_client_files own = {.certificate = "", .key = "", .ca = certificate};
    if (tls_client_create(&own, &peer->client, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    peer->tls = tls_create(peer->server);
    peer->context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_file(peer->context, certificate), 1);
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(unlink(certificate), 0);
    assert_int_equal(rmdir(peer->folder), 0);
    peer->ssl = SSL_new(peer->context);
    peer->in = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    assert_non_null(peer->tls);
    assert_non_null(peer->ssl);
    (void)BIO_set_mem_eof_return(peer->in, -1);
    SSL_set_bio(peer->ssl, peer->in, peer->out);
    SSL_set_connect_state(peer->ssl);
    return peer;
}

void tls_peer_destroy(struct tls_peer *peer)
{
    (void)tls_destroy(peer->tls);
    (void)tls_server_destroy(peer->server);
    (void)tls_client_destroy(peer->client);
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    free(peer);
}

void tls_peer_shake_hands(struct tls_peer *peer, size_t most)
{
    uint8_t bytes[4096];
    for (size_t turn = 0; turn < 100000; turn++) {
        size_t n = 0;
        (void)SSL_do_handshake(peer->ssl);
        const int sent = BIO_read(peer->out, bytes, most < sizeof bytes ? (int)most : 4096);
        if (sent > 0)
            assert_true(tls_feed(peer->tls, bytes, (size_t)sent));
        assert_int_equal(tls_read(peer->tls, bytes, sizeof bytes, &n), TLS_MORE);
        const uint8_t *const output = tls_output(peer->tls, &n);
        n = n < most ? n : most;
        if (n > 0)
            assert_int_equal(BIO_write(peer->in, output, (int)n), n);
        tls_output_gone(peer->tls, n);
        if (SSL_is_init_finished(peer->ssl) == 1 && tls_is_up(peer->tls))
            return;
    }
    fail_msg("the handshake does not end");
}

size_t tls_peer_encrypt(struct tls_peer *peer, const uint8_t *bytes, size_t n, uint8_t *ret_bytes,
                        size_t room)
{
    if (n > 0)
        assert_int_equal(SSL_write(peer->ssl, bytes, (int)n), n);
    const size_t waits = (size_t)BIO_pending(peer->out);
    assert_true(waits <= room);
    if (waits > 0)
        assert_int_equal(BIO_read(peer->out, ret_bytes, (int)waits), waits);
    return waits;
}

size_t tls_peer_decrypt(struct tls_peer *peer, const uint8_t *bytes, size_t n, uint8_t *ret_bytes,
                        size_t room)
{
    size_t all = 0;
    if (n > 0)
        assert_int_equal(BIO_write(peer->in, bytes, (int)n), n);
    for (;;) {
        assert_true(all < room);
        const int some = SSL_read(peer->ssl, ret_bytes + all, (int)(room - all));
        if (some <= 0)
            return all;
        all += (size_t)some;
    }
}
