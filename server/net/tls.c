/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL between two BIOs in memory. Both keep their memory while there is something in them, so
 * whoever feeds must read, and whoever writes must take the output.
 *
 * OpenSSL leaves what went wrong in a queue of the thread's; it is emptied before each call, for
 * what another connection has left there is none of this one's.
 */
#include "server/net/tls.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/net/tls_internal.h"

struct tls {
    SSL *ssl;    /* owned, and with it the BIOs */
    BIO *input;  /* from the network */
    BIO *output; /* to it */
    bool named;  /* the peer's name has been looked for */
    char name[TLS_NAME_BYTES];
    char why[TLS_WHY_BYTES];
};

struct tls *tls_create(struct tls_server *server)
{
    struct tls *const tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    ERR_clear_error();
    tls->ssl = SSL_new(server->context);
    tls->input = BIO_new(BIO_s_mem());
    tls->output = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->input == NULL || tls->output == NULL) {
        (void)BIO_free(tls->input);
        (void)BIO_free(tls->output);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    (void)BIO_set_mem_eof_return(tls->input, -1); /* empty is not the end */
    SSL_set_bio(tls->ssl, tls->input, tls->output);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

struct tls *tls_destroy(struct tls *tls)
{
    if (tls == NULL)
        return NULL;
    SSL_free(tls->ssl);
    free(tls);
    return NULL;
}

/* ---- What went wrong ------------------------------------------------------------------------- */

/* The certificate's fault says more than the handshake that failed for it. */
static void note_why(struct tls *tls)
{
    const long verified = SSL_get_verify_result(tls->ssl);
    const unsigned long code = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(code);
    if (verified != X509_V_OK)
        (void)stepd_format(tls->why, sizeof tls->why, "its certificate: %s",
                           X509_verify_cert_error_string(verified));
    else
        (void)stepd_format(tls->why, sizeof tls->why, "TLS: %s",
                           reason == NULL ? "it has broken the protocol" : reason);
    ERR_clear_error();
}

const char *tls_why(const struct tls *tls)
{
    return tls->why;
}

/* ---- Who it is ------------------------------------------------------------------------------- */

static void find_name(struct tls *tls)
{
    X509 *const certificate = SSL_get1_peer_certificate(tls->ssl);
    if (certificate == NULL)
        return;
    X509_NAME *const subject = X509_get_subject_name(certificate);
    const int place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    uint8_t *text = NULL;
    int n = -1;
    if (place >= 0 && SSL_get_verify_result(tls->ssl) == X509_V_OK)
        n = ASN1_STRING_to_UTF8(&text,
                                X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place)));
    if (n > 0 && n < (int)sizeof tls->name && stepd_utf8_printable(text, (size_t)n) &&
        memchr(text, ' ', (size_t)n) == NULL)
        memcpy(tls->name, text, (size_t)n);
    OPENSSL_free(text);
    X509_free(certificate);
}

const char *tls_name(const struct tls *tls)
{
    return tls->name;
}

/* ---- Reading --------------------------------------------------------------------------------- */

bool tls_feed(struct tls *tls, const uint8_t *bytes, size_t n)
{
    return n <= INT_MAX && BIO_write(tls->input, bytes, (int)n) == (int)n;
}

enum tls_result tls_read(struct tls *tls, uint8_t *bytes, size_t room, size_t *ret_n)
{
    ERR_clear_error();
    const int most = room < INT_MAX ? (int)room : INT_MAX;
    const int n = SSL_read(tls->ssl, bytes, most);
    if (!tls->named && tls_is_up(tls)) {
        tls->named = true;
        find_name(tls);
    }
    if (n > 0) {
        *ret_n = (size_t)n;
        return TLS_READ;
    }
    switch (SSL_get_error(tls->ssl, n)) {
    case SSL_ERROR_WANT_READ: return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN: return TLS_ENDED;
    default: note_why(tls); return TLS_BAD;
    }
}

bool tls_is_up(const struct tls *tls)
{
    return SSL_is_init_finished(tls->ssl) == 1;
}

/* ---- Writing --------------------------------------------------------------------------------- */

bool tls_write(struct tls *tls, const uint8_t *bytes, size_t n)
{
    ERR_clear_error();
    for (size_t at = 0; at < n;) {
        const size_t left = n - at;
        const int most = left < INT_MAX ? (int)left : INT_MAX;
        const int written = SSL_write(tls->ssl, bytes + at, most);
        if (written <= 0) {
            note_why(tls);
            return false;
        }
        at += (size_t)written;
    }
    return true;
}

void tls_end(struct tls *tls)
{
    ERR_clear_error();
    if (tls_is_up(tls))
        (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

const uint8_t *tls_output(struct tls *tls, size_t *ret_n)
{
    char *bytes = NULL;
    const long n = BIO_get_mem_data(tls->output, &bytes);
    *ret_n = n > 0 ? (size_t)n : 0;
    return (const uint8_t *)bytes;
}

void tls_output_gone(struct tls *tls, size_t n)
{
    uint8_t gone[4096];
    size_t all = 0;
    (void)tls_output(tls, &all);
    if (n == all) {
        (void)BIO_reset(tls->output);
        return;
    }
    while (n > 0) {
        const int taken = BIO_read(tls->output, gone, n < sizeof gone ? (int)n : (int)sizeof gone);
        if (taken <= 0)
            return;
        n -= (size_t)taken;
    }
}
