/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages between daemons, from our structs to protobuf-c's and back: what message_encode.c
 * and message_decode.c do for all others.
 */
#include "proto/message_make.h"
#include "proto/message_take.h"

/* ---- Encoding -------------------------------------------------------------------------------- */

static Stepd__V1__Join *encode_join(struct stepd_arena *arena, const struct stepd_join *join)
{
    Stepd__V1__Join *wire = make(arena, &stepd__v1__join__descriptor);
    if (wire == NULL)
        return NULL;
    wire->protocol = join->protocol;
    wire->version = borrow_text(join->version);
    wire->place = join->place;
    wire->address = borrow_text(join->address);
    wire->shards = join->shards;
    wire->instance = borrow_bytes(join->instance);
    wire->reign = join->reign;
    wire->expects = join->expects;
    wire->clock_ms = join->clock_ms;
    wire->token = borrow_bytes(join->token);
    wire->daemons = join->daemons;
    wire->others = join->others;
    return wire;
}

static Stepd__V1__Joined *encode_joined(struct stepd_arena *arena,
                                        const struct stepd_joined *joined)
{
    Stepd__V1__Joined *wire = make(arena, &stepd__v1__joined__descriptor);
    if (wire == NULL)
        return NULL;
    wire->reign = joined->reign;
    wire->first_shard = joined->first_shard;
    wire->shards = joined->shards;
    wire->expects = joined->expects;
    wire->clock_ms = joined->clock_ms;
    wire->probe = borrow_text(joined->probe);
    return wire;
}

static Stepd__V1__Letter *encode_letter(struct stepd_arena *arena,
                                        const struct stepd_letter *letter)
{
    Stepd__V1__Letter *wire = make(arena, &stepd__v1__letter__descriptor);
    if (wire == NULL)
        return NULL;
    wire->sequence = letter->sequence;
    wire->seen = letter->seen;
    wire->more = letter->more;
    return wire;
}

bool stepd_make_peer_body(const struct stepd_message *message, struct stepd_arena *arena,
                          Stepd__V1__Header *wire)
{
    switch (message->kind) {
#define X(KIND, member, type, number)                                                              \
    case STEPD_MESSAGE_##KIND:                                                                     \
        wire->member = encode_##member(arena, &message->body.member);                              \
        return wire->member != NULL;
        STEPD_PEER_MESSAGE_MAP(X)
#undef X
    default: return false;
    }
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static void at_least_one(struct stepd_decoder *d, const struct stepd_place *at, const char *field,
                         uint64_t value)
{
    if (value == 0)
        stepd_take_refuse(d, at, field, "0, but must be at least 1");
}

static struct stepd_join decode_join(struct stepd_decoder *d, const struct stepd_place *at,
                                     const Stepd__V1__Join *wire)
{
    at_least_one(d, at, "place", wire->place);
    at_least_one(d, at, "shards", wire->shards);
    at_least_one(d, at, "expects", wire->expects);
    stepd_take_at_most(d, at, "place", wire->place, STEPD_DAEMONS_MAX - 1);
    stepd_take_at_most(d, at, "shards", wire->shards, STEPD_SHARDS_MAX);
    stepd_take_same_length(d, at, "instance", wire->instance.len, STEPD_INSTANCE_BYTES);
    return (struct stepd_join){
        .protocol = wire->protocol,
        .version = stepd_take_text(d, at, "version", &wire->version, STEPD_VERSION_MAX_BYTES),
        .place = wire->place,
        .address = stepd_take_text(d, at, "address", &wire->address, STEPD_ADDRESS_MAX_BYTES),
        .shards = wire->shards,
        .instance = {.count = wire->instance.len, .at = wire->instance.data},
        .reign = wire->reign,
        .expects = wire->expects,
        .clock_ms = wire->clock_ms,
        .token = {.count = wire->token.len, .at = wire->token.data},
        .daemons = wire->daemons,
        .others = wire->others,
    };
}

static struct stepd_joined decode_joined(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Joined *wire)
{
    at_least_one(d, at, "reign", wire->reign);
    at_least_one(d, at, "expects", wire->expects);
    stepd_take_at_most(d, at, "shards", wire->shards, STEPD_SHARDS_MAX);
    if (wire->first_shard >= wire->shards)
        stepd_take_refuse(d, at, "first_shard", "%u, but there are %u", wire->first_shard,
                          wire->shards);
    return (struct stepd_joined){
        .reign = wire->reign,
        .first_shard = wire->first_shard,
        .shards = wire->shards,
        .expects = wire->expects,
        .clock_ms = wire->clock_ms,
        .probe = stepd_take_name(d, at, "probe", &wire->probe),
    };
}

static struct stepd_letter decode_letter(struct stepd_decoder *d, const struct stepd_place *at,
                                         const Stepd__V1__Letter *wire)
{
    if (wire->more != 0)
        at_least_one(d, at, "sequence", wire->sequence);
    return (struct stepd_letter){
        .sequence = wire->sequence, .seen = wire->seen, .more = wire->more != 0};
}

bool stepd_take_peer_body(struct stepd_decoder *d, const struct stepd_place *at,
                          const Stepd__V1__Header *wire, struct stepd_message *message)
{
    switch (message->kind) {
#define X(KIND, member, type, number)                                                              \
    case STEPD_MESSAGE_##KIND:                                                                     \
        message->body.member = decode_##member(d, at, wire->member);                               \
        return true;
        STEPD_PEER_MESSAGE_MAP(X)
#undef X
    default: return false;
    }
}
