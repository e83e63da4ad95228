/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the keeper share: links (keeper.c) and the session (keeper_session.c).
 */
#ifndef CLIENT_LIB_CORE_KEEPER_INTERNAL_H
#define CLIENT_LIB_CORE_KEEPER_INTERNAL_H

#include "client/lib/core/keeper.h"

void keeper_tell(struct stepd_keeper *keeper, enum stepd_event_kind kind,
                 const struct stepd_error *why, uint64_t now_ms);

/* Tells that all is well, once it is. */
void keeper_end_trouble(struct stepd_keeper *keeper, uint64_t now_ms);

/* The next attempt comes after a random time. */
void keeper_try_later(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms);

/* Closes a link or ends an attempt, and has it made again at once. */
void keeper_break(struct stepd_keeper *keeper, uint32_t shard, const struct stepd_error *cause,
                  uint64_t now_ms);

/* Everything fails with this error from now on. */
void keeper_give_up(struct stepd_keeper *keeper, const struct stepd_error *error, uint64_t now_ms);

/* May the same be tried again with another outcome? */
bool keeper_may_repeat(const struct stepd_error *error);

/* A shard has said ROLLED_BACK: asks control, which knows the incarnation. */
void keeper_look_again(struct stepd_keeper *keeper, uint64_t now_ms);

#endif
