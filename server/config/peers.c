/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config/peers.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/error.h"

/* Where an address has its port, at the colon; NULL: nowhere. */
static const char *port_of(const char *address)
{
    if (address[0] == '[') {
        const char *const bracket = strchr(address, ']');
        return bracket != NULL && bracket[1] == ':' ? bracket + 1 : NULL;
    }
    const char *const colon = strrchr(address, ':');
    return colon != NULL && strchr(address, ':') == colon ? colon : NULL;
}

enum stepd_status peers_complete(const char *address, const char *listen,
                                 char ret_address[PEERS_ADDRESS_BYTES], struct stepd_error *reterr)
{
    const char *const port = port_of(listen);
    if (port_of(address) != NULL) {
        (void)snprintf(ret_address, PEERS_ADDRESS_BYTES, "%s", address);
        return STEPD_OK;
    }
    if (port == NULL || strcmp(port, ":0") == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%.80s has no port, and listen has none to take: write %.80s:PORT",
                          address, address);
    (void)snprintf(ret_address, PEERS_ADDRESS_BYTES, "%.300s%s", address, port);
    return STEPD_OK;
}

size_t peers_find(const struct peers *peers, const char *address)
{
    size_t place = 0;
    while (place < peers->count && strcasecmp(peers->address[place], address) != 0)
        place++;
    return place;
}

bool peers_has_host(const char *address, const char *host)
{
    const char *const port = port_of(address);
    const size_t n = port == NULL ? strlen(address) : (size_t)(port - address);
    const size_t host_bytes = strlen(host);
    if (n == host_bytes && strncasecmp(address, host, n) == 0)
        return true;
    const size_t label = strcspn(host, ".");
    const char *const dot = memchr(address, '.', n);
    const size_t entry_label = dot == NULL ? n : (size_t)(dot - address);
    const bool whole_on_one_side = label == host_bytes || entry_label == n;
    return label > 0 && whole_on_one_side && label == entry_label &&
           strspn(host, "0123456789") != label && strncasecmp(address, host, label) == 0;
}

static enum stepd_status add(const char *entry, size_t n, const char *listen, struct peers *peers,
                             struct stepd_error *reterr)
{
    char written[PEERS_ADDRESS_BYTES];
    if (n == 0 || n >= sizeof written)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "peers: an entry of %zu bytes is no host:port", n);
    if (peers->count == CONFIG_PEERS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "peers: more than %u daemons",
                          CONFIG_PEERS_MAX);
    memcpy(written, entry, n);
    written[n] = '\0';
    char *const whole = peers->address[peers->count];
    const enum stepd_status status = peers_complete(written, listen, whole, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "peers");
    if (peers_find(peers, whole) < peers->count)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "peers: %.100s stands there twice",
                          whole);
    peers->count++;
    return STEPD_OK;
}

enum stepd_status peers_read(const struct config *config, struct peers *ret_peers,
                             struct stepd_error *reterr)
{
    ret_peers->count = 0;
    for (const char *at = config->peers; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        const enum stepd_status status = add(at, n, config->listen, ret_peers, reterr);
        if (status != STEPD_OK)
            return status;
        at += n + (at[n] == ',');
    }
    return STEPD_OK;
}
