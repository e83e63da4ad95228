/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of an end become a context of OpenSSL's. When they are read again there is another
 * context; connections that stand keep the one that they have begun with.
 *
 * What is wrong with a file OpenSSL says in the thread's queue, which is emptied before.
 */
#include "server/net/tls_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "proto/error.h"

/* All of TLS 1.3 that OpenSSL takes by itself, the one first that costs least: AES-256 takes 1.3
 * times as long for each byte, and 128 bits are not what anybody breaks. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

enum stepd_status tls_fail_without_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for TLS");
}

enum stepd_status tls_fail_file(const char *key, const char *path, const char *what,
                                struct stepd_error *reterr)
{
    const unsigned long code = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(code);
    const bool system = ERR_SYSTEM_ERROR(code) != 0;
    (void)stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s: %.160s: %s (%s)", key, path, what,
                     system           ? strerror((int)ERR_GET_REASON(code))
                     : reason == NULL ? "nothing more is known"
                                      : reason);
    ERR_clear_error();
    return STEPD_FAILED_PRECONDITION;
}

/* Never asks at the terminal for the password of a key. */
static int no_password(char *password, int size, int writing, void *nothing)
{
    (void)password;
    (void)size;
    (void)writing;
    (void)nothing;
    return -1;
}

/* What both ends have in common: TLS 1.3 alone, no sessions, no renegotiation, and no question for
 * the password of a key. */
static void restrict_it(SSL_CTX *context)
{
    (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    (void)SSL_CTX_set_num_tickets(context, 0);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_ciphersuites(context, SUITES);
    /* Who signs clients' certificates is none of our own chain. */
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_default_passwd_cb(context, no_password);
}

enum stepd_status tls_take_certificate(SSL_CTX *context, const char *certificate, const char *key,
                                       struct stepd_error *reterr)
{
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return tls_fail_file("tls_cert", certificate, "no certificate to be read there", reterr);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return tls_fail_file("tls_key", key,
                             "no key to be read there that belongs to the certificate", reterr);
    return STEPD_OK;
}

enum stepd_status tls_holder_read(struct tls_holder *holder, const SSL_METHOD *method,
                                  tls_fill *fill, const void *files, struct stepd_error *reterr)
{
    ERR_clear_error();
    SSL_CTX *const context = SSL_CTX_new(method);
    if (context == NULL)
        return tls_fail_without_memory(reterr);
    restrict_it(context);
    const enum stepd_status status = fill(context, files, reterr);
    if (status != STEPD_OK) {
        SSL_CTX_free(context);
        return status;
    }
    SSL_CTX_free(holder->context);
    holder->context = context;
    return STEPD_OK;
}

void tls_holder_deinit(struct tls_holder *holder)
{
    SSL_CTX_free(holder->context);
    holder->context = NULL;
}
