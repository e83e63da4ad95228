/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL over the socket by a BIO of our own: OpenSSL's writes with write(), which raises SIGPIPE,
 * the process's and not ours, where the peer has gone. The handshake is made by the first reads and
 * writes.
 *
 * OpenSSL leaves what went wrong in a queue of the thread's; it is emptied before each call, for
 * the thread may be the caller's, and what it has left there is none of ours.
 */
#include "client/lib/net/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/error.h"

struct stepd_trust {
    SSL_CTX *context;   /* owned */
    BIO_METHOD *method; /* owned */
    char *name;         /* owned; NULL: the host's */
};

struct stepd_tls {
    SSL *ssl; /* owned, and with it the BIO */
    int fd;
    bool must_read;
    struct stepd_error why; /* code OK: nothing is wrong */
};

/* ---- The socket ------------------------------------------------------------------------------ */

static int outcome(BIO *bio, ssize_t n)
{
    BIO_clear_retry_flags(bio);
    if (n >= 0)
        return (int)n;
    return -1;
}

static int fd_of(BIO *bio)
{
    return ((const struct stepd_tls *)BIO_get_data(bio))->fd;
}

static bool comes_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

static int socket_read(BIO *bio, char *bytes, int room)
{
    const ssize_t n = recv(fd_of(bio), bytes, (size_t)room, 0);
    const int result = outcome(bio, n);
    if (n < 0 && comes_later(errno))
        BIO_set_retry_read(bio);
    return result;
}

static int socket_write(BIO *bio, const char *bytes, int n)
{
    const ssize_t sent = send(fd_of(bio), bytes, (size_t)n, MSG_NOSIGNAL);
    const int result = outcome(bio, sent);
    if (sent < 0 && comes_later(errno))
        BIO_set_retry_write(bio);
    return result;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *create_method(void)
{
    BIO_METHOD *const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stepd");
    if (method == NULL)
        return NULL;
    (void)BIO_meth_set_read(method, socket_read);
    (void)BIO_meth_set_write(method, socket_write);
    (void)BIO_meth_set_ctrl(method, socket_control);
    return method;
}

/* ---- Trust ----------------------------------------------------------------------------------- */

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for TLS");
}

static enum stepd_status fail_file(const char *what, const char *path, struct stepd_error *reterr)
{
    const unsigned long code = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(code);
    (void)stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: there is none to be read in %s (%s)",
                     what, path,
                     ERR_SYSTEM_ERROR(code) ? strerror((int)ERR_GET_REASON(code))
                     : reason == NULL       ? "nothing more is known"
                                            : reason);
    ERR_clear_error();
    return STEPD_INVALID_ARGUMENT;
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

static enum stepd_status fill(SSL_CTX *context, const struct stepd_trust_options *options,
                              struct stepd_error *reterr)
{
    (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    if (options->ca == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
        return no_memory(reterr);
    if (options->ca != NULL && SSL_CTX_load_verify_file(context, options->ca) != 1)
        return fail_file("the CA's certificate", options->ca, reterr);
    if ((options->certificate == NULL) != (options->key == NULL))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a certificate and its key belong together: name both or neither");
    if (options->certificate == NULL)
        return STEPD_OK;
    if (SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1)
        return fail_file("the client's certificate", options->certificate, reterr);
    if (SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) != 1)
        return fail_file("the key of the client's certificate", options->key, reterr);
    return STEPD_OK;
}

enum stepd_status stepd_trust_create(const struct stepd_trust_options *options,
                                     struct stepd_trust **ret_trust, struct stepd_error *reterr)
{
    ERR_clear_error();
    struct stepd_trust *const trust = calloc(1, sizeof *trust);
    if (trust == NULL)
        return no_memory(reterr);
    trust->context = SSL_CTX_new(TLS_client_method());
    trust->method = create_method();
    trust->name = options->name == NULL ? NULL : strdup(options->name);
    enum stepd_status status = STEPD_OK;
    if (trust->context == NULL || trust->method == NULL ||
        (options->name != NULL && trust->name == NULL))
        status = no_memory(reterr);
    if (status == STEPD_OK)
        status = fill(trust->context, options, reterr);
    if (status == STEPD_OK)
        *ret_trust = trust;
    else
        (void)stepd_trust_destroy(trust);
    return status;
}

struct stepd_trust *stepd_trust_destroy(struct stepd_trust *trust)
{
    if (trust == NULL)
        return NULL;
    SSL_CTX_free(trust->context);
    BIO_meth_free(trust->method);
    free(trust->name);
    free(trust);
    return NULL;
}

/* ---- A connection ---------------------------------------------------------------------------- */

/* Whom the certificate must name: an address of numbers, or a host, which it is told too. */
static bool set_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *const verified = SSL_get0_param(ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(verified, name) == 1)
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(verified, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* As SSL_set_tlsext_host_name, a macro that casts const away, which clang warns of. */
    return X509_VERIFY_PARAM_set1_host(verified, name, 0) == 1 &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name) == 1;
}

struct stepd_tls *stepd_tls_create(const struct stepd_trust *trust, int fd, const char *host)
{
    ERR_clear_error();
    struct stepd_tls *const tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    tls->fd = fd;
    tls->ssl = SSL_new(trust->context);
    BIO *const bio = BIO_new(trust->method);
    if (tls->ssl == NULL || bio == NULL ||
        !set_name(tls->ssl, trust->name == NULL ? host : trust->name)) {
        (void)BIO_free(bio);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_connect_state(tls->ssl);
    return tls;
}

struct stepd_tls *stepd_tls_destroy(struct stepd_tls *tls)
{
    if (tls == NULL)
        return NULL;
    ERR_clear_error();
    if (tls->why.code == STEPD_OK && SSL_is_init_finished(tls->ssl) == 1)
        (void)SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    ERR_clear_error();
    free(tls);
    return NULL;
}

/* ---- Reading and writing --------------------------------------------------------------------- */

/* The certificate's fault says more than the handshake that failed for it. What failed first is the
 * cause: of a connection that has failed OpenSSL says nothing more but that it has. */
static void note_why(struct stepd_tls *tls)
{
    if (tls->why.code != STEPD_OK) {
        ERR_clear_error();
        return;
    }
    const long verified = SSL_get_verify_result(tls->ssl);
    const unsigned long code = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(code);
    const bool alerted = ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
    if (verified != X509_V_OK)
        (void)stepd_fail(&tls->why, STEPD_UNAUTHENTICATED,
                         "the server's certificate is not to be trusted: %s",
                         X509_verify_cert_error_string(verified));
    else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        (void)stepd_fail(&tls->why, STEPD_UNAVAILABLE,
                         "what answers there speaks no TLS; dial it without tls: in front");
    else if (reason != NULL && alerted)
        (void)stepd_fail(&tls->why, STEPD_UNAUTHENTICATED,
                         "the server ends the TLS handshake: %s; is a certificate of its CA shown "
                         "that is good?",
                         reason);
    else
        (void)stepd_fail(&tls->why, STEPD_UNAVAILABLE, "TLS: %s",
                         reason == NULL ? "the connection was cut" : reason);
    ERR_clear_error();
}

/* What a call of OpenSSL's came to that has moved no byte. */
static ssize_t conclude(struct stepd_tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        tls->must_read = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default:
        note_why(tls);
        errno = EPROTO;
        return -1;
    }
}

ssize_t stepd_tls_read(struct stepd_tls *tls, void *bytes, size_t room)
{
    ERR_clear_error();
    const int n = SSL_read(tls->ssl, bytes, room < INT_MAX ? (int)room : INT_MAX);
    tls->must_read = false;
    if (n > 0)
        return n;
    const ssize_t result = conclude(tls, n);
    tls->must_read = tls->must_read && SSL_is_init_finished(tls->ssl) == 0;
    return result;
}

ssize_t stepd_tls_write(struct stepd_tls *tls, const void *bytes, size_t n)
{
    ERR_clear_error();
    const int sent = SSL_write(tls->ssl, bytes, n < INT_MAX ? (int)n : INT_MAX);
    tls->must_read = false;
    return sent > 0 ? sent : conclude(tls, sent);
}

bool stepd_tls_holds(const struct stepd_tls *tls)
{
    return SSL_has_pending(tls->ssl) == 1;
}

bool stepd_tls_must_read(const struct stepd_tls *tls)
{
    return tls->must_read;
}

enum stepd_status stepd_tls_explain(const struct stepd_tls *tls, struct stepd_error *reterr)
{
    return stepd_fail(reterr, tls->why.code, "%s", tls->why.text);
}
