/* SPDX-License-Identifier: Apache-2.0
 *
 * How long the daemon's own certificate is still good for, told to the log: from two weeks before
 * its end, when it is over, and where it is not good yet, at the start, when the files are read
 * again, and once a day. A daemon whose certificate is over serves on, since workers on its host
 * need none, and whoever mends it needs no restart.
 */
#ifndef NET_TLS_EXPIRY_H
#define NET_TLS_EXPIRY_H

#include <stdint.h>

#include "server/base/log.h"
#include "server/net/tls.h"

struct tls_expiry {
    uint64_t next_ms; /* 0: to be looked at */
};

/* Looks, where it is time. now_ms: of a clock that only goes on. server may be NULL: no TLS. */
void tls_expiry_look(struct tls_expiry *expiry, const struct tls_server *server,
                     const struct log *log, uint64_t now_ms);

#endif
