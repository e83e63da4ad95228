/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of TLS that dials: a daemon to another one. Whom it has reached is said by the
 * certificate, which must be of the CA that was named and for the host that was dialled.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "server/net/tls_internal.h"

struct tls_client {
    struct tls_holder holder;
};

static enum stepd_status fill(SSL_CTX *context, const void *all, struct stepd_error *reterr)
{
    const struct tls_client_files *const files = all;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_file(context, files->ca) != 1)
        return tls_fail_file("peer_ca", files->ca, "no certificates to be read there", reterr);
    return files->certificate[0] == '\0'
               ? STEPD_OK
               : tls_take_certificate(context, files->certificate, files->key, reterr);
}

enum stepd_status tls_client_create(const struct tls_client_files *files,
                                    struct tls_client **ret_client, struct stepd_error *reterr)
{
    struct tls_client *const client = calloc(1, sizeof *client);
    if (client == NULL)
        return tls_fail_without_memory(reterr);
    const enum stepd_status status = tls_client_reload(client, files, reterr);
    if (status == STEPD_OK)
        *ret_client = client;
    else
        free(client);
    return status;
}

struct tls_client *tls_client_copy(const struct tls_client *client)
{
    struct tls_client *const copy = calloc(1, sizeof *copy);
    if (copy == NULL || SSL_CTX_up_ref(client->holder.context) != 1) {
        free(copy);
        return NULL;
    }
    copy->holder.context = client->holder.context;
    return copy;
}

enum stepd_status tls_client_reload(struct tls_client *client, const struct tls_client_files *files,
                                    struct stepd_error *reterr)
{
    return tls_holder_read(&client->holder, TLS_client_method(), fill, files, reterr);
}

struct tls_client *tls_client_destroy(struct tls_client *client)
{
    if (client == NULL)
        return NULL;
    tls_holder_deinit(&client->holder);
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
    struct tls *const tls = tls_make(client->holder.context);
    if (tls == NULL || !set_name(tls_ssl(tls), host))
        return tls_destroy(tls);
    SSL_set_connect_state(tls_ssl(tls));
    return tls;
}
