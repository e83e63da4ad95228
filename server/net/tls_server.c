/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates become a context of OpenSSL's. When they are read again there is another context;
 * connections that stand keep the one that they have begun with.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/net/tls_internal.h"

#define CHAIN_DEPTH_MOST 4

/* All of TLS 1.3 that OpenSSL takes by itself, the one first that costs least: AES-256 takes 1.3
 * times as long for each byte, and 128 bits are not what anybody breaks. */
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

static enum stepd_status no_memory(struct stepd_error *reterr)
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

void tls_restrict(SSL_CTX *context)
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

static enum stepd_status take_client_ca(SSL_CTX *context, const struct tls_files *files,
                                        struct stepd_error *reterr)
{
    static const unsigned char session_id[] = "stepd";
    STACK_OF(X509_NAME) *const names = SSL_load_client_CA_file(files->client_ca);
    if (names == NULL || SSL_CTX_load_verify_file(context, files->client_ca) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_fail_file("tls_client_ca", files->client_ca, "no certificates to be read there",
                             reterr);
    }
    SSL_CTX_set_client_CA_list(context, names); /* which takes ownership */
    (void)SSL_CTX_set_session_id_context(context, session_id, sizeof session_id - 1);
    SSL_CTX_set_verify_depth(context, CHAIN_DEPTH_MOST);
    SSL_CTX_set_verify(context,
                       SSL_VERIFY_PEER | (files->client_must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                       NULL);
    return STEPD_OK;
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

static enum stepd_status fill(SSL_CTX *context, const struct tls_files *files,
                              struct stepd_error *reterr)
{
    tls_restrict(context);
    const enum stepd_status status =
        tls_take_certificate(context, files->certificate, files->key, reterr);
    if (status != STEPD_OK)
        return status;
    return files->client_ca[0] == '\0' ? STEPD_OK : take_client_ca(context, files, reterr);
}

/* *ret_context: caller frees with SSL_CTX_free. */
static enum stepd_status make(const struct tls_files *files, SSL_CTX **ret_context,
                              struct stepd_error *reterr)
{
    ERR_clear_error();
    SSL_CTX *const context = SSL_CTX_new(TLS_server_method());
    if (context == NULL)
        return no_memory(reterr);
    const enum stepd_status status = fill(context, files, reterr);
    if (status == STEPD_OK)
        *ret_context = context;
    else
        SSL_CTX_free(context);
    return status;
}

enum stepd_status tls_server_create(const struct tls_files *files, struct tls_server **ret_server,
                                    struct stepd_error *reterr)
{
    struct tls_server *const server = calloc(1, sizeof *server);
    if (server == NULL)
        return no_memory(reterr);
    const enum stepd_status status = make(files, &server->context, reterr);
    if (status == STEPD_OK)
        *ret_server = server;
    else
        free(server);
    return status;
}

enum stepd_status tls_server_reload(struct tls_server *server, const struct tls_files *files,
                                    struct stepd_error *reterr)
{
    SSL_CTX *context = NULL;
    const enum stepd_status status = make(files, &context, reterr);
    if (status != STEPD_OK)
        return status;
    SSL_CTX_free(server->context);
    server->context = context;
    return STEPD_OK;
}

struct tls_server *tls_server_destroy(struct tls_server *server)
{
    if (server == NULL)
        return NULL;
    SSL_CTX_free(server->context);
    free(server);
    return NULL;
}
