/* SPDX-License-Identifier: Apache-2.0
 *
 * A handshake with the server's TLS, and what comes behind it, in partial records and with bytes
 * among them that no client would send. The input is a list of acts, each of one byte and, where it
 * says so, a length and bytes:
 *
 *     0 n        n bytes of what the client has to say go to the server, and it reads
 *     1 n        n bytes of what the server has to say go to the client
 *     2 n bytes  these go to the server in the place of the client's
 *     3 n        the client says n bytes more, once the handshake is over
 *     4          the client says goodbye
 *
 * What must hold whatever happens: what the server reads is what the client has said, from its
 * first byte on and in its order, also where somebody has put bytes in between; when it is bad it
 * says why, and stays so.
 */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>

#include "tests/fuzz/authority.h"
#include "tests/fuzz/fuzz.h"

#define SAID_MOST 100000u

struct scene {
    struct tls *tls; /* owned */
    SSL *ssl;        /* owned; the client's */
    BIO *in, *out;   /* its network */
    size_t said;     /* bytes of the client's */
    size_t read;     /* of them that the server has read */
    bool bad;
};

/* What a client says is known by its place. */
static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 31 + place / 251);
}

/* ---- The two ends ---------------------------------------------------------------------------- */

static struct scene begin(struct tls_server *server, SSL_CTX *client)
{
    struct scene scene = {
        .tls = tls_create(server),
        .ssl = SSL_new(client),
        .in = BIO_new(BIO_s_mem()),
        .out = BIO_new(BIO_s_mem()),
    };
    FUZZ_CHECK(scene.tls != NULL && scene.ssl != NULL && scene.in != NULL && scene.out != NULL);
    (void)BIO_set_mem_eof_return(scene.in, -1);
    SSL_set_bio(scene.ssl, scene.in, scene.out);
    SSL_set_connect_state(scene.ssl);
    (void)SSL_do_handshake(scene.ssl);
    return scene;
}

static void server_reads(struct scene *scene)
{
    uint8_t bytes[1000];
    enum tls_result result = TLS_READ;
    while (result == TLS_READ) {
        size_t n = 0;
        result = tls_read(scene->tls, bytes, sizeof bytes, &n);
        FUZZ_CHECK(result != TLS_READ || (n > 0 && n <= sizeof bytes && !scene->bad));
        FUZZ_CHECK(scene->read + n <= scene->said);
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(bytes[i] == byte_at(scene->read + i));
        scene->read += n;
    }
    FUZZ_CHECK(result != TLS_BAD || tls_why(scene->tls)[0] != '\0');
    scene->bad = scene->bad || result == TLS_BAD;
}

static void to_server(struct scene *scene, const uint8_t *bytes, size_t n)
{
    FUZZ_CHECK(tls_feed(scene->tls, bytes, n));
    server_reads(scene);
}

static void client_to_server(struct scene *scene, size_t most)
{
    uint8_t bytes[4096];
    const int n = BIO_read(scene->out, bytes, most < sizeof bytes ? (int)most : (int)sizeof bytes);
    if (n > 0)
        to_server(scene, bytes, (size_t)n);
}

static void server_to_client(struct scene *scene, size_t most)
{
    uint8_t drop[1024];
    size_t n = 0;
    const uint8_t *const bytes = tls_output(scene->tls, &n);
    n = n < most ? n : most;
    if (n > 0)
        (void)BIO_write(scene->in, bytes, (int)n);
    tls_output_gone(scene->tls, n);
    (void)SSL_read(scene->ssl, drop, sizeof drop);
}

static void client_says(struct scene *scene, size_t n)
{
    uint8_t bytes[256];
    if (SSL_is_init_finished(scene->ssl) == 0 || n == 0 || scene->said > SAID_MOST)
        return;
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(scene->said + i);
    if (SSL_write(scene->ssl, bytes, (int)n) == (int)n)
        scene->said += n;
}

/* Does what a byte says. Returns how many bytes it takes. */
static size_t act(struct scene *scene, const uint8_t *bytes, size_t n)
{
    const size_t amount = n > 1 ? bytes[1] : 0;
    switch (bytes[0] % 5) {
    case 0: client_to_server(scene, amount * 16 + 1); return 2;
    case 1: server_to_client(scene, amount * 16 + 1); return 2;
    case 2: {
        const size_t most = n > 2 ? n - 2 : 0;
        const size_t count = amount < most ? amount : most;
        to_server(scene, bytes + 2, count);
        return 2 + count;
    }
    case 3: client_says(scene, amount); return 2;
    default: (void)SSL_shutdown(scene->ssl); return 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static SSL_CTX *client;
    if (client == NULL) {
        client = SSL_CTX_new(TLS_client_method());
        FUZZ_CHECK(client != NULL);
    }
    struct scene scene = begin(authority_get()->server, client);
    for (size_t at = 0; at < n;)
        at += act(&scene, bytes + at, n - at);
    tls_end(scene.tls);
    (void)tls_destroy(scene.tls);
    SSL_free(scene.ssl);
    return 0;
}
