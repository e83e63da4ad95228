/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathering: how the parts of an operation find their parcels, and how an operation that fails
 * takes its parts out of the parcels that still wait for others. See exchange.h for the words.
 */
#ifndef CLIENT_LIB_CORE_GATHER_H
#define CLIENT_LIB_CORE_GATHER_H

#include "client/lib/core/exchange.h"

/* Parcels that are full and can be sent, in the order in which they filled. */
struct stepd_ready {
    struct stepd_parcel *first;
    struct stepd_parcel *last;
};

/*
 * Can this operation join the parcels that are gathering? INVALID_ARGUMENT: what travels in one
 * slice must have the same number of examples, loss and view; or an operation that nobody completes
 * lacks a tensor. The text names the tensors.
 */
enum stepd_status stepd_gather_check(const struct stepd_exchange *exchange,
                                     const struct stepd_operation *operation,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Puts all parts of the operation into parcels; those that are full then are appended to ready.
 * RESOURCE_EXHAUSTED: no memory; what has been added stays added. */
enum stepd_status stepd_gather_add(struct stepd_exchange *exchange,
                                   struct stepd_operation *operation, struct stepd_ready *ready,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The first failure of an operation is kept, and its parts leave all parcels that still gather. The
 * caller holds the operation: it is not done by this alone. */
void stepd_gather_fail(struct stepd_exchange *exchange, struct stepd_operation *operation,
                       const struct stepd_error *error);

/* Fails the operations whose parts gather in a slice of this shard. */
void stepd_gather_lose(struct stepd_exchange *exchange, uint32_t shard,
                       const struct stepd_error *error);

/* Fails the operations that have waited for other tensors until their time was up. */
void stepd_gather_expire(struct stepd_exchange *exchange, uint64_t now_ms);

/* Tells of parcels that have waited for long for other tensors, once of each. */
void stepd_gather_tell(const struct stepd_exchange *exchange, uint64_t now_ms);

#endif
