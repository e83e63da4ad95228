/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages between the daemons of one server, as message.h has those of clients: a member daemon
 * says Join to control, which answers Joined or Error; from then on both send Letters, whose
 * payloads only daemons understand.
 */
#ifndef PROTO_MESSAGE_PEER_H
#define PROTO_MESSAGE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/lists.h"

/* As STEPD_MESSAGE_MAP, of which it is a part. */
#define STEPD_PEER_MESSAGE_MAP(X)                                                                  \
    X(JOIN, join, stepd_join, 34)                                                                  \
    X(JOINED, joined, stepd_joined, 35)                                                            \
    X(LETTER, letter, stepd_letter, 36)

/* Limits of one server. */
#define STEPD_DAEMONS_MAX 256u
#define STEPD_SHARDS_MAX  4096u

#define STEPD_INSTANCE_BYTES    16u
#define STEPD_VERSION_MAX_BYTES 64u
#define STEPD_ADDRESS_MAX_BYTES 300u /* a DNS name of 253 bytes with a port, and a little more */

struct stepd_join {
    uint32_t
        protocol; /* not checked by decode: whoever answers must be able to say what it wants */
    const char *version;
    uint32_t place; /* in the list of daemons; at least 1: 0 is control's */
    const char *address;
    uint32_t shards;             /* at least 1 */
    struct stepd_bytes instance; /* STEPD_INSTANCE_BYTES long */
    uint64_t reign;
    uint64_t expects; /* at least 1 */
    uint64_t clock_ms;
    struct stepd_bytes token;
    uint32_t daemons; /* in its list; this and the next are not checked by decode either */
    uint64_t others;  /* sum over the rest of it: server/peer/roster.h */
};

struct stepd_joined {
    uint64_t reign; /* not 0 */
    uint32_t first_shard;
    uint32_t shards;  /* at least first_shard + 1 */
    uint64_t expects; /* at least 1 */
    uint64_t clock_ms;
    const char *probe; /* the name of a file; "": there is none */
};

struct stepd_letter {
    uint64_t sequence;
    uint64_t seen;
    bool more;
};

/* ---- What clients are told of daemons (Status) ------------------------------------------------
 */

enum stepd_daemon_state {
    STEPD_DAEMON_MISSING = 0,
    STEPD_DAEMON_JOINED = 1,
    STEPD_DAEMON_AWAY = 2,
    STEPD_DAEMON_LEAVING = 3,
};

/* In the order of the message. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct stepd_daemon_status {
    uint32_t place;
    const char *address;
    enum stepd_daemon_state state;
    uint32_t first_shard;
    uint32_t shards;
    uint64_t silent_ms;
    double clock_ms;
};

#endif
