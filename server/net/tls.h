/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS 1.3 without a socket: bytes of the network go in and come out, and between them lies what is
 * meant. Nothing older is spoken, sessions are not resumed, and nothing is renegotiated.
 *
 *     tls_feed(what came from the network)      tls_read -> what the peer means
 *     tls_write(what is meant)                  tls_output -> what goes to the network
 *
 * A tls_server is used by one thread, a tls by one at a time: it may move from one to another.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

/* What of a certificate's name is kept. */
#define TLS_NAME_BYTES 65u
#define TLS_WHY_BYTES  160u

struct tls;
struct tls_server;

/* Paths of PEM files; borrowed until return. */
struct tls_files {
    const char *certificate; /* ours, and behind it those up to the CA */
    const char *key;
    const char *client_ca; /* who signs our clients' certificates; "": they need none */
    bool client_must;      /* a client without one is refused */
};

/* Reads them. FAILED_PRECONDITION: a file cannot be read or holds something else, or key and
 * certificate do not belong together; the text names the file. RESOURCE_EXHAUSTED: no memory.
 * *ret_server: caller frees with tls_server_destroy. */
enum stepd_status tls_server_create(const struct tls_files *files, struct tls_server **ret_server,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads them again: who comes from now on meets the new ones. A failure changes nothing. */
enum stepd_status tls_server_reload(struct tls_server *server, const struct tls_files *files,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* When a certificate is good, by the machine's clock: seconds from now on, and in words. */
struct tls_life {
    int64_t begins_s; /* above 0: it is not good yet */
    int64_t ends_s;   /* 0 or less: it is over */
    char begin[40];   /* "Nov 28 00:55:43 2026 GMT" */
    char end[40];
};

/* Of our own certificate. False: nobody knows. */
bool tls_server_life(const struct tls_server *server, struct tls_life *ret_life);

/* NULL is fine. Returns NULL. Connections may outlive it. */
struct tls_server *tls_server_destroy(struct tls_server *server);

/* As the one who dials. Paths of PEM files; borrowed until return. */
struct tls_client_files {
    const char *certificate; /* ours, likewise; "": we show none */
    const char *key;
    const char *ca; /* who signs the other side's certificate */
};

struct tls_client;

/* Reads them. Errors as tls_server_create. *ret_client: caller frees with tls_client_destroy. */
enum stepd_status tls_client_create(const struct tls_client_files *files,
                                    struct tls_client **ret_client,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Another one with the same files, for another thread: reading them again changes nothing of it.
 * NULL: no memory. Likewise. */
struct tls_client *tls_client_copy(const struct tls_client *client);

/* Reads them again: whom is dialled from now on meets the new ones. A failure changes nothing. */
enum stepd_status tls_client_reload(struct tls_client *client, const struct tls_client_files *files,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. Connections may outlive it. */
struct tls_client *tls_client_destroy(struct tls_client *client);

/* Our end of a connection that we have made to a host, a name or an address, which the other side's
 * certificate must name. NULL: no memory. The caller frees with tls_destroy. */
struct tls *tls_dial(const struct tls_client *client, const char *host);

/* Our end of a connection of which nothing has come yet. NULL: no memory. The caller frees with
 * tls_destroy. */
struct tls *tls_create(struct tls_server *server);
struct tls *tls_destroy(struct tls *tls);

/* Takes in what has come from the network; bytes are copied. False: no memory. */
bool tls_feed(struct tls *tls, const uint8_t *bytes, size_t n);

/* The same without a copy: bytes are borrowed until tls_keep, which copies what of them was not
 * read. False: no memory. */
void tls_lend(struct tls *tls, const uint8_t *bytes, size_t n);
bool tls_keep(struct tls *tls);

enum tls_result {
    TLS_READ,  /* *ret_n bytes, at least one */
    TLS_MORE,  /* more must come from the network first */
    TLS_ENDED, /* the peer has said that it sends nothing more */
    TLS_BAD,   /* the connection is of no use any more: tls_why */
};

/* Reads what the peer means, at most room bytes (at least one) and at most one record. It is here
 * that the handshake goes on: look for output behind it. */
enum tls_result tls_read(struct tls *tls, uint8_t *bytes, size_t room, size_t *ret_n);

/* Is the handshake over? Before that nothing can be written. */
bool tls_is_up(const struct tls *tls);

/* Says something to the peer; bytes are encrypted at once. False: it cannot be said. */
bool tls_write(struct tls *tls, const uint8_t *bytes, size_t n);

/* Says that nothing more will be said. */
void tls_end(struct tls *tls);

/* What is to go to the network, and that n bytes of it have gone. Borrowed until the next call. */
const uint8_t *tls_output(struct tls *tls, size_t *ret_n);
void tls_output_gone(struct tls *tls, size_t n);

/* Why the peer or its handshake was refused, for the log: "certificate has expired". Borrowed as
 * long as the tls. */
const char *tls_why(const struct tls *tls);

/* The common name of the peer's certificate, which a CA of ours has signed; "": it has shown none,
 * or one whose name is no word of TLS_NAME_BYTES - 1 printable bytes. Likewise. */
const char *tls_name(const struct tls *tls);

/* Has the peer shown a certificate, which a CA of ours has signed, for this host, a name or an
 * address? Its common name counts for none. */
bool tls_holds_for(const struct tls *tls, const char *host);

#endif
