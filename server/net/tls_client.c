/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of TLS that dials: a daemon to another one. Whom it has reached is said by the
 * certificate, which must be of the CA that was named and for the host that was dialled.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "proto/error.h"
#include "server/net/tls_internal.h"

struct tls_client {
    SSL_CTX *context; /* owned; each connection has a reference of its own */
};

static enum stepd_status fill(SSL_CTX *context, const struct tls_client_files *files,
                              struct stepd_error *reterr)
{
    tls_restrict(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(context, files->ca) != 1)
        return tls_fail_file("peer_ca", files->ca, "no certificates to be read there", reterr);
    return files->certificate[0] == '\0'
               ? STEPD_OK
               : tls_take_certificate(context, files->certificate, files->key, reterr);
}

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for TLS");
}

/* *ret_context: caller frees with SSL_CTX_free. */
static enum stepd_status make(const struct tls_client_files *files, SSL_CTX **ret_context,
                              struct stepd_error *reterr)
{
    ERR_clear_error();
    SSL_CTX *const context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return no_memory(reterr);
    const enum stepd_status status = fill(context, files, reterr);
    if (status == STEPD_OK)
        *ret_context = context;
    else
        SSL_CTX_free(context);
    return status;
}

enum stepd_status tls_client_create(const struct tls_client_files *files,
                                    struct tls_client **ret_client, struct stepd_error *reterr)
{
    struct tls_client *const client = calloc(1, sizeof *client);
    if (client == NULL)
        return no_memory(reterr);
    const enum stepd_status status = make(files, &client->context, reterr);
    if (status == STEPD_OK)
        *ret_client = client;
    else
        free(client);
    return status;
}

struct tls_client *tls_client_copy(const struct tls_client *client)
{
    struct tls_client *const copy = calloc(1, sizeof *copy);
    if (copy == NULL || SSL_CTX_up_ref(client->context) != 1) {
        free(copy);
        return NULL;
    }
    copy->context = client->context;
    return copy;
}

enum stepd_status tls_client_reload(struct tls_client *client, const struct tls_client_files *files,
                                    struct stepd_error *reterr)
{
    SSL_CTX *context = NULL;
    const enum stepd_status status = make(files, &context, reterr);
    if (status != STEPD_OK)
        return status;
    SSL_CTX_free(client->context);
    client->context = context;
    return STEPD_OK;
}

struct tls_client *tls_client_destroy(struct tls_client *client)
{
    if (client == NULL)
        return NULL;
    SSL_CTX_free(client->context);
    free(client);
    return NULL;
}

/* Whom the certificate must name: an address of numbers, or a host, which it is told too. */
static bool set_name(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *const verified = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(verified, host) == 1)
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(verified, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* As SSL_set_tlsext_host_name, a macro that casts const away, which clang warns of. */
    return X509_VERIFY_PARAM_set1_host(verified, host, 0) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)host) == 1;
}

struct tls *tls_dial(const struct tls_client *client, const char *host)
{
    struct tls *const tls = tls_make(client->context);
    if (tls == NULL || !set_name(tls_ssl(tls), host))
        return tls_destroy(tls);
    SSL_set_connect_state(tls_ssl(tls));
    return tls;
}
