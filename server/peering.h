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

/* Reads the token's file again, where one is named. *ret_changed: it has another token now. A
 * failure changes nothing. FAILED_PRECONDITION: as above. */
enum stepd_status peering_read_token(const char *path, struct peering *peering, bool *ret_changed,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Are there others, and does one of them run control? */
bool peering_is_alone(const struct peering *peering);
bool peering_is_member(const struct peering *peering);

#endif
