/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon knows of the others that it works with, before it runs: the list, its own place in
 * it, and what it shows to the first.
 */
#ifndef SERVER_PEERING_H
#define SERVER_PEERING_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/config/peers.h"

#define PEERING_TOKEN_BYTES 256u

struct peering {
    struct peers list;
    const char *address[CONFIG_PEERS_MAX]; /* the list's; they point into it */
    uint32_t place;
    char advertise[PEERS_ADDRESS_BYTES];
    char token[PEERING_TOKEN_BYTES]; /* "": none */
};

/*
 * Fills *peering in, which must not move from then on. Where the list has nobody but this daemon
 * its place is 0. May ask the resolver. INVALID_ARGUMENT, FAILED_PRECONDITION: the list, the place
 * or the token's file cannot be; the text names the remedy.
 */
enum stepd_status peering_find(const struct config *config, struct peering *peering,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads the token's file again, where one is named, and tells the log. *ret_changed: it has another
 * token now. False: it cannot be read, which changes nothing. */
bool peering_reload_token(struct peering *peering, const char *path, const struct log *log,
                          bool *ret_changed);

/* Are there others, and does one of them run control? */
bool peering_is_alone(const struct peering *peering);
bool peering_is_member(const struct peering *peering);

#endif
