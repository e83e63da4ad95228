/* SPDX-License-Identifier: Apache-2.0
 *
 * A limit of the server as Status tells it (message.h), and what has come to it.
 */
#ifndef PROTO_LIMIT_STATUS_H
#define PROTO_LIMIT_STATUS_H

#include <stdint.h>

struct stepd_limit_status {
    const char *name;
    uint64_t used;
    uint64_t max;
    uint64_t refused;
};

#endif
