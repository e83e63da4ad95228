/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of daemons that work together, as the config has it: entries of host, host:port or
 * [v6]:port with commas between. Who leaves the port out means the one that this daemon listens on.
 * Pure.
 */
#ifndef CONFIG_PEERS_H
#define CONFIG_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/config/config.h"

#define PEERS_ADDRESS_BYTES 320u /* host, brackets and port */

struct peers {
    size_t count;
    char address[CONFIG_PEERS_MAX][PEERS_ADDRESS_BYTES]; /* host:port or [v6]:port each */
};

/*
 * The entries of config->peers, each with a port. INVALID_ARGUMENT: an entry is none, stands twice,
 * or has no port where `listen` has 0; they are more than CONFIG_PEERS_MAX.
 */
enum stepd_status peers_read(const struct config *config, struct peers *ret_peers,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* An address with the port that `listen` has, where it has none. Likewise. */
enum stepd_status peers_complete(const char *address, const char *listen,
                                 char ret_address[PEERS_ADDRESS_BYTES],
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The place of an address in the list; count: it is not there. */
size_t peers_find(const struct peers *peers, const char *address);

/* Is this the host of an entry, whole or up to its first dot, whatever the case? */
bool peers_has_host(const char *address, const char *host);

#endif
