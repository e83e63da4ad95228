/* SPDX-License-Identifier: Apache-2.0
 *
 * Launchers give every daemon the same list; so a daemon must find itself. Each rule is asked in
 * turn and must name just one: where several daemons of one host are in the list, their ports tell
 * them apart, and where nothing does, whoever starts them must.
 */
#include "server/own_place.h"

#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/net/address.h"

#define HOST_BYTES 256u

/* What the rules have found: the place, and how many there are. */
struct found {
    size_t place;
    size_t count;
};

static void note(struct found *found, size_t place)
{
    found->place = found->count == 0 ? place : found->place;
    found->count++;
}

/* The port that `listen` names; "" for any. */
static const char *port_of(const char *address)
{
    const char *const colon = strrchr(address, ':');
    return colon == NULL || strcmp(colon, ":0") == 0 ? "" : colon + 1;
}

/* Does the entry have the port that this daemon listens on? */
static bool has_port(const char *entry, const char *listen)
{
    const char *const port = port_of(listen);
    return port[0] == '\0' || strcmp(port_of(entry), port) == 0;
}

static struct found find_by_host_name(const struct config *config, const struct peers *peers)
{
    struct found found = {.count = 0};
    char host[HOST_BYTES] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        return found;
    for (size_t i = 0; i < peers->count; i++) {
        if (has_port(peers->address[i], config->listen) && peers_has_host(peers->address[i], host))
            note(&found, i);
    }
    return found;
}

static bool same_host(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET) {
        struct sockaddr_in v4[2];
        memcpy(&v4[0], a, sizeof v4[0]);
        memcpy(&v4[1], b, sizeof v4[1]);
        return v4[0].sin_addr.s_addr == v4[1].sin_addr.s_addr;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 v6[2];
        memcpy(&v6[0], a, sizeof v6[0]);
        memcpy(&v6[1], b, sizeof v6[1]);
        return memcmp(&v6[0].sin6_addr, &v6[1].sin6_addr, sizeof v6[0].sin6_addr) == 0;
    }
    return false;
}

/* Is one of the addresses of the entry's host one of this machine's? */
static bool is_ours(const char *entry, const struct ifaddrs *ours)
{
    struct address address;
    struct stepd_error error;
    struct addrinfo *known = NULL;
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    bool is = false;
    if (address_parse(entry, &address, &error) != STEPD_OK ||
        getaddrinfo(address.host, NULL, &wanted, &known) != 0)
        return false;
    for (const struct addrinfo *at = known; at != NULL; at = at->ai_next) {
        for (const struct ifaddrs *own = ours; own != NULL; own = own->ifa_next)
            is = is || (own->ifa_addr != NULL && same_host(own->ifa_addr, at->ai_addr));
    }
    freeaddrinfo(known);
    return is;
}

static struct found find_by_address(const struct config *config, const struct peers *peers)
{
    struct found found = {.count = 0};
    struct ifaddrs *ours = NULL;
    if (getifaddrs(&ours) != 0)
        return found;
    for (size_t i = 0; i < peers->count; i++) {
        if (has_port(peers->address[i], config->listen) && is_ours(peers->address[i], ours))
            note(&found, i);
    }
    freeifaddrs(ours);
    return found;
}

static enum stepd_status refuse(const struct peers *peers, size_t count, struct stepd_error *reterr)
{
    if (count > 1)
        return stepd_fail(
            reterr, STEPD_FAILED_PRECONDITION,
            "peers: this daemon could be %zu of the %zu in the list; say which, by "
            "--peer N (0 is the first) or by --advertise HOST:PORT as it stands there",
            count, peers->count);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "peers: this daemon is none of the %zu in the list by its host's name, its "
                      "addresses and its port; say which it is, by --peer N (0 is the first) or by "
                      "--advertise HOST:PORT as it stands there",
                      peers->count);
}

enum stepd_status own_place_find(const struct config *config, const struct peers *peers,
                                 uint32_t *ret_place, struct stepd_error *reterr)
{
    char address[PEERS_ADDRESS_BYTES];
    size_t place = peers->count;
    if (config->peer != CONFIG_PEER_AUTO && config->peer >= peers->count)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "peer is %u, and peers has %zu: the first is 0", (unsigned)config->peer,
                          peers->count);
    if (config->peer != CONFIG_PEER_AUTO)
        place = config->peer;
    if (place == peers->count && config->advertise[0] != '\0' &&
        peers_complete(config->advertise, config->listen, address, reterr) == STEPD_OK)
        place = peers_find(peers, address);
    if (place == peers->count)
        place = peers_find(peers, config->listen);
    if (place < peers->count) {
        *ret_place = (uint32_t)place;
        return STEPD_OK;
    }
    struct found found = find_by_host_name(config, peers);
    if (found.count == 0)
        found = find_by_address(config, peers);
    if (found.count != 1)
        return refuse(peers, found.count, reterr);
    *ret_place = (uint32_t)found.place;
    return STEPD_OK;
}
