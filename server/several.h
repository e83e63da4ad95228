/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands between a server that is not alone (net/server.h) and the keeping of its checkpoints
 * (keeping_portions.h): each calls the other through here.
 */
#ifndef SERVER_SEVERAL_H
#define SERVER_SEVERAL_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/keeping.h"
#include "server/net/server.h"
#include "server/peering.h"

struct several {
    struct keeping *keeping; /* borrowed, like the next four */
    struct server *server;   /* set by several_open */
    const struct peering *peering;
    const struct log *log;
    void *owner;
    uint32_t shards; /* of this daemon */
    uint64_t memory_bytes;
    bool defined; /* the jobs of the config file are, in this reign */

    /* Defines the jobs of the config file, behind those that have come back. */
    enum stepd_status (*define)(void *owner, struct stepd_error *reterr);
};

/* Fills in what the server asks of a daemon that is one of several. several: borrowed until
 * server_destroy. */
void several_options(struct several *several, struct server_options *options);

/* Takes the store, where this daemon runs control, and starts what writes to it. Before the server
 * is created, which must know the probe: *ret_probe, borrowed until keeping_end. Errors as
 * keeping_open, keeping_probe and keeping_start. */
enum stepd_status several_open(struct several *several, const struct config *config,
                               const char **ret_probe, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Between several_open and server_run. */
enum stepd_status several_start(struct several *several, struct server *server,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes a snapshot down; as the server's `checkpoint`. */
void several_write(struct several *several, struct server_written *written, uint64_t step);

#endif
