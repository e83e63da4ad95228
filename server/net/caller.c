/* SPDX-License-Identifier: Apache-2.0
 *
 * A caller travels in a letter from the door to a shard; if the shard has stopped meanwhile, the
 * letter is thrown away, and the socket with it.
 */
#include "server/net/caller.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/net/tls.h"

struct caller *caller_create(int fd, bool tcp, const char *peer, const uint8_t *bytes, size_t count)
{
    struct caller *caller = malloc(sizeof *caller + count);
    if (caller == NULL)
        return NULL;
    *caller = (struct caller){.fd = fd, .tcp = tcp, .count = count};
    (void)snprintf(caller->peer, sizeof caller->peer, "%s", peer);
    if (count > 0)
        memcpy(caller->bytes, bytes, count);
    return caller;
}

struct caller *caller_destroy(struct caller *caller)
{
    if (caller != NULL && caller->fd >= 0)
        (void)close(caller->fd);
    if (caller != NULL)
        (void)tls_destroy(caller->tls);
    free(caller);
    return NULL;
}
