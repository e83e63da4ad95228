/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's certificate with any name: the first byte says of which ASN.1 type that is and who has
 * issued it, the rest is the name. What must hold once the handshake is over:
 *
 *   - only the name of a certificate that our authority has issued is believed;
 *   - a name that is believed is one word that can be printed, and where it is UTF-8 the very one
 *     of the certificate; with a NUL in it there is none.
 */
#include <openssl/evp.h>
#include <string.h>

#include "proto/utf8.h"
#include "tests/fuzz/authority.h"
#include "tests/fuzz/fuzz.h"

#define STRANGER    0x80u /* it has issued itself */
#define NAME_MOST   200u
#define TURNS       8
#define FLIGHT_MOST 65536

static const int types[] = {V_ASN1_UTF8STRING, V_ASN1_PRINTABLESTRING, V_ASN1_T61STRING,
                            V_ASN1_IA5STRING,  V_ASN1_BMPSTRING,       V_ASN1_UNIVERSALSTRING};

/* Lets the two ends shake hands, or not. */
static void shake_hands(SSL *client, BIO *in, BIO *out, struct tls *tls)
{
    static uint8_t flight[FLIGHT_MOST];
    for (int turn = 0; turn < TURNS; turn++) {
        uint8_t byte[1];
        size_t n = 0;
        (void)SSL_do_handshake(client);
        const int sent = BIO_read(out, flight, sizeof flight);
        if (sent > 0)
            FUZZ_CHECK(tls_feed(tls, flight, (size_t)sent));
        (void)tls_read(tls, byte, sizeof byte, &n);
        const uint8_t *const answer = tls_output(tls, &n);
        if (n > 0)
            FUZZ_CHECK(BIO_write(in, answer, (int)n) == (int)n);
        tls_output_gone(tls, n);
    }
}

static void check_name(const char *name, bool stranger, int type, const uint8_t *bytes, size_t n)
{
    const size_t length = strlen(name);
    if (length == 0)
        return;
    FUZZ_CHECK(!stranger && length < TLS_NAME_BYTES && strchr(name, ' ') == NULL);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)name, length));
    if (type == V_ASN1_UTF8STRING)
        FUZZ_CHECK(length == n && memcmp(name, bytes, n) == 0);
}

static void meet(SSL_CTX *ctx, X509 *certificate, EVP_PKEY *key, struct tls *tls)
{
    SSL *const client = SSL_new(ctx);
    BIO *const in = BIO_new(BIO_s_mem());
    BIO *const out = BIO_new(BIO_s_mem());
    FUZZ_CHECK(client != NULL && in != NULL && out != NULL);
    (void)BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(client, in, out);
    SSL_set_connect_state(client);
    FUZZ_CHECK(SSL_use_certificate(client, certificate) == 1);
    FUZZ_CHECK(SSL_use_PrivateKey(client, key) == 1);
    shake_hands(client, in, out, tls);
    SSL_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static SSL_CTX *ctx;
    static EVP_PKEY *key;
    const struct authority *const authority = authority_get();
    if (ctx == NULL) {
        ctx = SSL_CTX_new(TLS_client_method());
        key = EVP_EC_gen("P-256");
        FUZZ_CHECK(ctx != NULL && key != NULL);
    }
    if (n < 2 || n > NAME_MOST)
        return 0;
    const bool stranger = (bytes[0] & STRANGER) != 0;
    const int type = types[(bytes[0] & 0x7f) % (sizeof types / sizeof types[0])];
    X509 *const certificate =
        authority_issue(key, type, bytes + 1, n - 1, stranger ? NULL : authority);
    struct tls *const tls = tls_create(authority->server);
    FUZZ_CHECK(tls != NULL);
    if (certificate != NULL) {
        meet(ctx, certificate, key, tls);
        check_name(tls_name(tls), stranger, type, bytes + 1, n - 1);
    }
    tls_end(tls);
    (void)tls_destroy(tls);
    X509_free(certificate);
    return 0;
}
