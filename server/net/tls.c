/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL on a BIO of our own, which reads from what was lent to it, or kept of that, and writes
 * into memory. OpenSSL's own BIO in memory clears all of it each time that it grows or is emptied,
 * and copies what comes in: a third of what a step through TLS took beside AES. What is kept, and
 * what is to go out, has memory only while there is something in it.
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
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/net/tls_internal.h"

/* Bytes of which `at` are used up. */
struct bytes {
    uint8_t *bytes; /* owned; NULL: there are none */
    size_t at;
    size_t count;
    size_t room;
};

struct tls {
    SSL *ssl;            /* owned, and with it the BIO */
    BIO_METHOD *method;  /* owned; of the BIO */
    struct bytes kept;   /* from the network, before what is lent */
    const uint8_t *lent; /* borrowed until tls_keep; NULL: nothing */
    size_t lent_count;
    struct bytes output; /* to it */
    bool named;          /* the peer's name has been looked for */
    char name[TLS_NAME_BYTES];
    char why[TLS_WHY_BYTES];
};

/* ---- The BIO --------------------------------------------------------------------------------- */

#define ROOM_LEAST ((size_t)4 << 10)

/* What is meant in the longest record, and what a record takes beside that, at most. */
#define RECORD_BYTES      ((size_t)16 << 10)
#define RECORD_MORE_BYTES ((size_t)32)

static void bytes_free(struct bytes *own)
{
    free(own->bytes);
    *own = (struct bytes){.bytes = NULL};
}

/* Uses up n of them. */
static void bytes_use(struct bytes *own, size_t n)
{
    own->at += n;
    if (own->at == own->count)
        bytes_free(own);
}

/* Makes room for n more. */
static bool bytes_reserve(struct bytes *own, size_t n)
{
    if (n <= own->room - own->count)
        return true;
    const size_t left = own->count - own->at;
    const size_t twice = 2 * own->room;
    const size_t needed = left + n > ROOM_LEAST ? left + n : ROOM_LEAST;
    const size_t room = needed > twice ? needed : twice;
    uint8_t *const grown = malloc(room);
    if (grown == NULL)
        return false;
    if (left > 0)
        memcpy(grown, own->bytes + own->at, left);
    free(own->bytes);
    *own = (struct bytes){.bytes = grown, .count = left, .room = room};
    return true;
}

static bool bytes_append(struct bytes *own, const uint8_t *bytes, size_t n)
{
    if (!bytes_reserve(own, n))
        return false;
    memcpy(own->bytes + own->count, bytes, n);
    own->count += n;
    return true;
}

static int bio_read(BIO *bio, char *out, int room)
{
    struct tls *const tls = BIO_get_data(bio);
    struct bytes *const kept = &tls->kept;
    const size_t there = kept->bytes != NULL ? kept->count - kept->at : tls->lent_count;
    const size_t n = there < (size_t)room ? there : (size_t)room;
    BIO_clear_retry_flags(bio);
    if (n == 0) { /* empty is not the end */
        BIO_set_retry_read(bio);
        return -1;
    }
    if (kept->bytes != NULL) {
        memcpy(out, kept->bytes + kept->at, n);
        bytes_use(kept, n);
    } else {
        memcpy(out, tls->lent, n);
        tls->lent += n;
        tls->lent_count -= n;
    }
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int n)
{
    struct tls *const tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return n > 0 && bytes_append(&tls->output, (const uint8_t *)bytes, (size_t)n) ? n : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

/* NULL: no memory. */
static BIO *bio_create(struct tls *tls)
{
    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stepd");
    if (tls->method == NULL || BIO_meth_set_read(tls->method, bio_read) != 1 ||
        BIO_meth_set_write(tls->method, bio_write) != 1 ||
        BIO_meth_set_ctrl(tls->method, bio_ctrl) != 1)
        return NULL;
    BIO *const bio = BIO_new(tls->method);
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- An end of a connection ------------------------------------------------------------------ */

struct tls *tls_make(SSL_CTX *context)
{
    struct tls *const tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    ERR_clear_error();
    tls->ssl = SSL_new(context);
    BIO *const bio = tls->ssl == NULL ? NULL : bio_create(tls);
    if (bio == NULL)
        return tls_destroy(tls);
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

SSL *tls_ssl(const struct tls *tls)
{
    return tls->ssl;
}

struct tls *tls_create(struct tls_server *server)
{
    struct tls *const tls = tls_make(server->holder.context);
    if (tls != NULL)
        SSL_set_accept_state(tls->ssl);
    return tls;
}

struct tls *tls_destroy(struct tls *tls)
{
    if (tls == NULL)
        return NULL;
    SSL_free(tls->ssl);
    BIO_meth_free(tls->method);
    bytes_free(&tls->kept);
    bytes_free(&tls->output);
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
    else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        (void)stepd_format(tls->why, sizeof tls->why, "it does not speak TLS (%s)", reason);
    else if (ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET)
        (void)stepd_format(tls->why, sizeof tls->why, "it refuses what it is shown by TLS: %s",
                           reason == NULL ? "no reason" : reason);
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

bool tls_holds_for(const struct tls *tls, const char *host)
{
    const unsigned flags =
        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    X509 *const certificate = SSL_get1_peer_certificate(tls->ssl);
    const bool holds = certificate != NULL && SSL_get_verify_result(tls->ssl) == X509_V_OK &&
                       (X509_check_ip_asc(certificate, host, 0) == 1 ||
                        X509_check_host(certificate, host, 0, flags, NULL) == 1);
    X509_free(certificate);
    ERR_clear_error();
    return holds;
}

/* ---- Reading --------------------------------------------------------------------------------- */

bool tls_feed(struct tls *tls, const uint8_t *bytes, size_t n)
{
    return n == 0 || bytes_append(&tls->kept, bytes, n);
}

void tls_lend(struct tls *tls, const uint8_t *bytes, size_t n)
{
    tls->lent = bytes;
    tls->lent_count = n;
}

bool tls_keep(struct tls *tls)
{
    const bool kept = tls_feed(tls, tls->lent, tls->lent_count);
    tls->lent = NULL;
    tls->lent_count = 0;
    return kept;
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
    if (!bytes_reserve(&tls->output, n + (n / RECORD_BYTES + 1) * RECORD_MORE_BYTES))
        return false;
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
    *ret_n = tls->output.count - tls->output.at;
    return tls->output.bytes == NULL ? NULL : tls->output.bytes + tls->output.at;
}

void tls_output_gone(struct tls *tls, size_t n)
{
    bytes_use(&tls->output, n);
}
