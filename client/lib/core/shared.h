/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that a shard on this host shares with us: its weights, which we read where they stand, and
 * a place for our gradients, which it reads where we put them. Each slice of the shard has a place
 * of its own in the gradients, in the order of the slices, from a page on.
 */
#ifndef CLIENT_LIB_CORE_SHARED_H
#define CLIENT_LIB_CORE_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/message.h"

struct stepd_exchange;
struct stepd_parcel;
struct stepd_transfer;

/* What of shared memory is shown in a loan. */
enum stepd_show { STEPD_SHOW_WEIGHTS, STEPD_SHOW_GRADIENTS };

/* Borrowed from who has mapped it. */
struct stepd_shared {
    const uint8_t *weights; /* NULL: nothing is shared */
    uint64_t weights_bytes;
    uint8_t *gradients;
    uint64_t gradients_bytes;
    uint64_t serial; /* of the exchange's, from 1 on */
    void *owner;
    /* Lets pages of a loan be bytes of the shared memory, from `at` on: weights to be read,
     * gradients to be written. False: they are what they were. */
    bool (*show)(void *owner, enum stepd_show what, uint64_t at, uint64_t bytes, void *pages);
};

/* Arrays of a tensor that the library lends to its caller: all elements, row-major, from a page on
 * and up to the end of one. A slice of its own in it may lie in shared memory, and then nothing of
 * it is copied: gradients from the beginning, weights as soon as a reply has said where they are.
 */
struct stepd_loan {
    float *grad; /* NULL: nothing is lent of this tensor */
    float *weights;
    /* Pages of it are ordinary memory again, with what was in them last. */
    void (*hide)(void *pages, uint64_t bytes);
};

/* What of a slice's elements in a loan is shared memory. */
struct stepd_lent {
    uint64_t grad;    /* serial of the shared memory; 0: it is ordinary */
    uint64_t weights; /* the same */
    uint64_t place;   /* of the weights */
};

/* Pieces of loans that are shown at a time: each is a mapping of the process, of which Linux gives
 * 65,530 unless told otherwise, and the caller needs some too. What is beyond is copied. */
#define STEPD_SHOWN_MAX 16384u

/* Computes where the gradients of each slice go. */
void stepd_shared_lay_out(struct stepd_exchange *exchange);

/* Lends a tensor of which nothing was lent before. */
void stepd_shared_lend(struct stepd_exchange *exchange, size_t tensor,
                       const struct stepd_loan *loan);

/* All weights that were lent are ordinary memory again, with what was in them last. */
void stepd_shared_hide_all(struct stepd_exchange *exchange);

/* Where weights that come over the socket may be written. */
float *stepd_shared_writable(const struct stepd_transfer *transfer,
                             const struct stepd_parcel *parcel, uint32_t part);

/* Bytes that the gradients of a shard's slices take. */
uint64_t stepd_shared_gradients_bytes(const struct stepd_exchange *exchange, uint32_t shard);

/* Brings the gradients of a transfer to where its shard reads them. False: they go by the socket,
 * because nothing is shared, because they travel in 16 bits or with a Hessian, or because another
 * push of one of these slices is under way. */
bool stepd_shared_place_gradients(const struct stepd_transfer *transfer);

/* Do the weights of a reply with places lie in what is shared? Its slices are the transfer's. */
bool stepd_shared_has_weights(const struct stepd_transfer *transfer,
                              const struct stepd_result *reply);

/* Brings them to the callers' arrays. Nothing, where the reply has no places. */
void stepd_shared_take_weights(const struct stepd_transfer *transfer,
                               const struct stepd_result *reply);

#endif
