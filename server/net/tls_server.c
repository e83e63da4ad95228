/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of TLS that is dialled: our certificate, and who signs our clients'. Connections that
 * stand when the files are read again keep what they have begun with.
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "server/net/tls_internal.h"

#define CHAIN_DEPTH_MOST 4

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

static enum stepd_status fill(SSL_CTX *context, const void *all, struct stepd_error *reterr)
{
    const struct tls_files *const files = all;
    const enum stepd_status status =
        tls_take_certificate(context, files->certificate, files->key, reterr);
    if (status != STEPD_OK)
        return status;
    return files->client_ca[0] == '\0' ? STEPD_OK : take_client_ca(context, files, reterr);
}

enum stepd_status tls_server_create(const struct tls_files *files, struct tls_server **ret_server,
                                    struct stepd_error *reterr)
{
    struct tls_server *const server = calloc(1, sizeof *server);
    if (server == NULL)
        return tls_fail_without_memory(reterr);
    const enum stepd_status status = tls_server_reload(server, files, reterr);
    if (status == STEPD_OK)
        *ret_server = server;
    else
        free(server);
    return status;
}

enum stepd_status tls_server_reload(struct tls_server *server, const struct tls_files *files,
                                    struct stepd_error *reterr)
{
    return tls_holder_read(&server->holder, TLS_server_method(), fill, files, reterr);
}

/* False: it is no time. */
static bool look_at(const ASN1_TIME *time, int64_t *ret_s, char *text, size_t size)
{
    int days = 0;
    int seconds = 0;
    BIO *const bio = BIO_new(BIO_s_mem());
    bool known = bio != NULL && ASN1_TIME_print(bio, time) == 1 &&
                 ASN1_TIME_diff(&days, &seconds, NULL, time) == 1;
    const int n = known ? BIO_read(bio, text, (int)size - 1) : 0;
    known = n > 0;
    text[known ? n : 0] = '\0';
    *ret_s = days * INT64_C(86400) + seconds;
    BIO_free(bio);
    return known;
}

bool tls_server_life(const struct tls_server *server, struct tls_life *ret_life)
{
    const X509 *const own = SSL_CTX_get0_certificate(server->holder.context);
    struct tls_life life;
    const bool known =
        own != NULL &&
        look_at(X509_get0_notBefore(own), &life.begins_s, life.begin, sizeof life.begin) &&
        look_at(X509_get0_notAfter(own), &life.ends_s, life.end, sizeof life.end);
    ERR_clear_error();
    if (known)
        *ret_life = life;
    return known;
}

struct tls_server *tls_server_destroy(struct tls_server *server)
{
    if (server == NULL)
        return NULL;
    tls_holder_deinit(&server->holder);
    free(server);
    return NULL;
}
