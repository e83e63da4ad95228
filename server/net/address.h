/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as people write them, and as sockets want them.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <stepd/status.h>

#define ADDRESS_HOST_BYTES 254u /* the longest name that DNS knows, and a NUL */
#define ADDRESS_TEXT_BYTES 320u /* "[host]:port" of the longest host */

struct address {
    char host[ADDRESS_HOST_BYTES]; /* without brackets; never empty */
    uint16_t port;                 /* 0: any free one */
};

/*
 * Reads "host:port" or "[v6]:port". INVALID_ARGUMENT: it is neither; the text shows what is
 * wanted. Any thread.
 */
enum stepd_status address_parse(const char *text, struct address *ret_address,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Finds the socket address of a host, asking the system's resolver for a name: this may take a
 * while. INVALID_ARGUMENT: the host is not known. Any thread.
 */
enum stepd_status address_resolve(const struct address *address,
                                  struct sockaddr_storage *ret_socket_address,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Can it be reached from this machine only? A Unix socket's can. Any thread. */
bool address_is_loopback(const struct sockaddr *socket_address);

/* The port of an IP address; 0 for any other. Any thread. */
uint16_t address_port(const struct sockaddr *socket_address);

/* Writes "127.0.0.1:7070", "[::1]:7070" or "unix", cut to size bytes with the NUL. Any thread. */
void address_write(const struct sockaddr *socket_address, char *text, size_t size);

#endif
