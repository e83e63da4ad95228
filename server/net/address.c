/* SPDX-License-Identifier: Apache-2.0
 *
 * "host:port" is cut at its only colon; a host that has colons itself (IPv6) stands in brackets,
 * as in a URL. The port is decimal digits and nothing else: no sign, no space, no service name.
 *
 * What counts as loopback decides whether the daemon may listen without TLS and login, so it is
 * asked of the resolved address, never of the name: 127.0.0.0/8, ::1, and 127.0.0.0/8 mapped into
 * IPv6. "localhost" is whatever the resolver says.
 */
#include "server/net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

#define LOOPBACK_NET 127u /* first byte of an IPv4 loopback address */

static enum stepd_status refuse(const char *text, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "'%.80s' is no address: write host:port, or [address]:port for IPv6", text);
}

static bool parse_port(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (uint32_t)(*text - '0');
        if (port > UINT16_MAX)
            return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

enum stepd_status address_parse(const char *text, struct address *ret_address,
                                struct stepd_error *reterr)
{
    struct address address = {.port = 0};
    const bool bracketed = text[0] == '[';
    const char *const host = bracketed ? text + 1 : text;
    const size_t host_bytes = strcspn(host, bracketed ? "]" : ":");
    const char *port = host + host_bytes;
    if (bracketed && *port == ']')
        port++;
    if (host_bytes == 0 || host_bytes >= sizeof address.host || *port != ':')
        return refuse(text, reterr);
    if (!parse_port(port + 1, &address.port))
        return refuse(text, reterr);
    memcpy(address.host, host, host_bytes);
    *ret_address = address;
    return STEPD_OK;
}

enum stepd_status address_resolve(const struct address *address,
                                  struct sockaddr_storage *ret_socket_address,
                                  struct stepd_error *reterr)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", (unsigned)address->port);
    const struct addrinfo wanted = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found = NULL;
    const int failure = getaddrinfo(address->host, port, &wanted, &found);
    if (failure != 0) {
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "host '%.80s' is not known: %s",
                          address->host, gai_strerror(failure));
    }
    struct sockaddr_storage socket_address = {.ss_family = AF_UNSPEC};
    memcpy(&socket_address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    *ret_socket_address = socket_address;
    return STEPD_OK;
}

/* The address as its family's own struct, without a cast that could misalign. */
static struct sockaddr_in as_v4(const struct sockaddr *socket_address)
{
    struct sockaddr_in v4;
    memcpy(&v4, socket_address, sizeof v4);
    return v4;
}

static struct sockaddr_in6 as_v6(const struct sockaddr *socket_address)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, socket_address, sizeof v6);
    return v6;
}

bool address_is_loopback(const struct sockaddr *socket_address)
{
    switch (socket_address->sa_family) {
    case AF_UNIX: return true;
    case AF_INET: {
        const struct sockaddr_in v4 = as_v4(socket_address);
        return ntohl(v4.sin_addr.s_addr) >> 24 == LOOPBACK_NET;
    }
    case AF_INET6: {
        const struct sockaddr_in6 v6 = as_v6(socket_address);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            return v6.sin6_addr.s6_addr[12] == LOOPBACK_NET;
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    default: return false;
    }
}

uint16_t address_port(const struct sockaddr *socket_address)
{
    switch (socket_address->sa_family) {
    case AF_INET: return ntohs(as_v4(socket_address).sin_port);
    case AF_INET6: return ntohs(as_v6(socket_address).sin6_port);
    default: return 0;
    }
}

void address_write(const struct sockaddr *socket_address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    const unsigned port = address_port(socket_address);
    switch (socket_address->sa_family) {
    case AF_INET: {
        const struct sockaddr_in v4 = as_v4(socket_address);
        (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, port);
        return;
    }
    case AF_INET6: {
        const struct sockaddr_in6 v6 = as_v6(socket_address);
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, port);
        return;
    }
    default: (void)snprintf(text, size, "unix");
    }
}
