/* SPDX-License-Identifier: Apache-2.0
 *
 * See self.h. A Welcome that is refused leaves everything as it was.
 */
#include "client/lib/core/self.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/core/address.h"
#include "proto/error.h"
#include "proto/frame.h"

/* A worker says that it lives three times in each lease. */
#define BEATS_PER_LEASE 3u

/* Caps what a server can make us remember. */
#define SHARDS_MAX 4096u

static void free_addresses(char **address, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(address[i]);
    free((void *)address);
}

void stepd_self_deinit(struct stepd_self *self)
{
    free_addresses(self->shard_address, self->shards);
    self->shard_address = NULL;
    self->shards = 0;
}

const char *stepd_self_address(const struct stepd_self *self, uint32_t shard)
{
    if (shard == 0 || shard > self->shards || self->shard_address[shard - 1][0] == '\0')
        return self->address;
    return self->shard_address[shard - 1];
}

bool stepd_self_shares(const struct stepd_self *self, uint32_t shard)
{
    return shard > 0 && self->shares_memory && !self->observer &&
           stepd_address_is_local(stepd_self_address(self, shard));
}

struct stepd_message stepd_self_hello(const struct stepd_self *self, uint32_t shard,
                                      enum stepd_greeting how)
{
    const bool resumes = how == STEPD_GREET_RESUME;
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .role = self->observer ? STEPD_OBSERVER : STEPD_WORKER,
                .job = self->job,
                .worker = self->worker,
                .rank = self->observer ? -1 : self->rank,
                .token = {.count = strlen(self->token), .at = (const uint8_t *)self->token},
                .session = {.count = resumes ? STEPD_SESSION_BYTES : 0, .at = self->session},
                .shard = shard,
                .lease_ms = self->lease_ms,
                .max_frame_bytes = STEPD_FRAME_MAX_BYTES,
                .client = {.count = sizeof self->id, .at = self->id},
                .rejoins = how == STEPD_GREET_REJOIN && !self->observer,
                .shares_memory = stepd_self_shares(self, shard),
            },
    };
}

size_t stepd_self_frame_max(const struct stepd_welcome *welcome)
{
    return welcome->max_frame_bytes == 0 ? STEPD_FRAME_MAX_BYTES : welcome->max_frame_bytes;
}

static enum stepd_status keep_addresses(struct stepd_self *self,
                                        const struct stepd_welcome *welcome,
                                        struct stepd_error *reterr)
{
    if (welcome->shards > SHARDS_MAX)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server names %zu shards; at most %u can be",
                          welcome->shards, SHARDS_MAX);
    char **const address = calloc(welcome->shards + 1, sizeof *address);
    size_t count = 0;
    while (address != NULL && count < welcome->shards) {
        address[count] = strdup(welcome->shard_address[count]);
        if (address[count] == NULL)
            break;
        count++;
    }
    if (address == NULL || count < welcome->shards) {
        free_addresses(address, count);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a client");
    }
    stepd_self_deinit(self);
    self->shard_address = address;
    self->shards = count;
    return STEPD_OK;
}

/* The rank is the caller's to read from any thread, so it is written once. */
static enum stepd_status check_rank(const struct stepd_self *self,
                                    const struct stepd_welcome *welcome, struct stepd_error *reterr)
{
    if (self->observer || self->rank == -1 || self->rank == (int32_t)welcome->rank)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INTERNAL, "the server gave rank %u, not %d", welcome->rank,
                      self->rank);
}

enum stepd_status stepd_self_welcome(struct stepd_self *self, const struct stepd_welcome *welcome,
                                     struct stepd_error *reterr)
{
    if (welcome->session.count != STEPD_SESSION_BYTES)
        return stepd_fail(reterr, STEPD_INTERNAL, "the server's welcome names no session");
    enum stepd_status status = check_rank(self, welcome, reterr);
    if (status == STEPD_OK)
        status = keep_addresses(self, welcome, reterr);
    if (status != STEPD_OK)
        return status;
    if (!self->observer && self->rank == -1)
        self->rank = (int32_t)welcome->rank;
    memcpy(self->session, welcome->session.at, STEPD_SESSION_BYTES);
    self->clock = welcome->clock;
    self->beat_ms = welcome->lease_ms / BEATS_PER_LEASE;
    self->wait_max_ms = welcome->wait_max_ms;
    self->frame_max_bytes = stepd_self_frame_max(welcome);
    self->world = welcome->world;
    return STEPD_OK;
}
