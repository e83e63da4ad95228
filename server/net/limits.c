/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that runs out of descriptors fails in accept(), again and again. So the number is known
 * before the daemon listens: one for each connection, a few for each loop, and a reserve for
 * listening sockets, logs, files, and the moment in which a socket is handed over and has two.
 */
#include "server/net/limits.h"

#include <sys/resource.h>

#include "proto/error.h"

#define DESCRIPTORS_PER_SHARD 8u
#define DESCRIPTORS_RESERVED  64u

enum stepd_status limits_raise_descriptors(uint32_t connections_max, uint32_t shards,
                                           uint64_t *ret_spare, struct stepd_error *reterr)
{
    const uint64_t needed =
        (uint64_t)connections_max + (uint64_t)shards * DESCRIPTORS_PER_SHARD + DESCRIPTORS_RESERVED;
    struct rlimit limit;
    *ret_spare = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return STEPD_OK; /* then there is nothing to check against */
    if (limit.rlim_cur < limit.rlim_max) {
        const struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    if (limit.rlim_cur >= needed) {
        *ret_spare = limit.rlim_cur - needed;
        return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "connections_max %u needs %llu descriptors, but the limit is %llu: lower "
                      "connections_max, or raise the limit (ulimit -n, LimitNOFILE=)",
                      (unsigned)connections_max, (unsigned long long)needed,
                      (unsigned long long)limit.rlim_cur);
}
