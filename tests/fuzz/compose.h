/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages made of an input's bytes field by field, so that one changed byte changes one field and
 * the message stays one: what gets a fuzzer past the decoder. A field of zeros is what an honest
 * peer would say there, as far as that is known.
 */
#ifndef TESTS_FUZZ_COMPOSE_H
#define TESTS_FUZZ_COMPOSE_H

#include "proto/message.h"
#include "tests/fuzz/taker.h"

#define COMPOSE_WORDS_MAX 8u
#define COMPOSE_LIST_MAX  64u

/* What a peer of this connection can know. All is borrowed. */
struct known {
    uint64_t request_id;            /* of the next request, or of the one that is answered */
    enum stepd_message_kind answer; /* a reply of this kind is waited for; 0: of none */
    bool pushes;                    /* gradients, or first weights */
    uint32_t shard;                 /* 0: control */
    uint8_t session[STEPD_SESSION_BYTES];
    bool has_session;
    uint64_t incarnation;
    uint64_t clock;   /* of the next push */
    uint64_t version; /* of the slices */
    struct stepd_u32s slices;
    const char *job[COMPOSE_WORDS_MAX]; /* at least one */
    size_t jobs;
    const char *token[COMPOSE_WORDS_MAX];
    size_t tokens;
};

/* What a client says. */
void compose_request(struct taker *taker, const struct known *known, struct stepd_arena *arena,
                     struct stepd_message *ret_message);

/* What a server says. */
void compose_reply(struct taker *taker, const struct known *known, struct stepd_arena *arena,
                   struct stepd_message *ret_message);

/* ---- Between the files of the composer ------------------------------------------------------- */

struct composer {
    struct taker *taker;
    const struct known *known;
    struct stepd_arena *arena;
};

const char *compose_job(const struct composer *c);
const char *compose_name(const struct composer *c); /* a tensor's, group's, barrier's */
struct stepd_u32s compose_u32s(const struct composer *c, size_t count);
struct stepd_u64s compose_u64s(const struct composer *c, size_t count);
void compose_tensors(const struct composer *c, size_t count, const struct stepd_tensor_def **ret);
void compose_group(const struct composer *c, const char *optimizer, struct stepd_group *ret_group);
struct stepd_settings compose_settings(const struct composer *c, bool of_job);
void compose_define_job(const struct composer *c, struct stepd_define_job *ret_def);
void compose_change(const struct composer *c, struct stepd_change_job *ret_change);

#endif
