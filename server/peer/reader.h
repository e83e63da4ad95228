/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the bytes of a letter, none of which is trusted. writer.h has the alphabet.
 *
 * A failure sticks: the first one is written down with the field it is in, and whatever is taken
 * behind it is 0, empty or NULL; whoever reads asks at the end, and does not loop over a list that
 * was not there. No list is longer than the bytes that are left could fill.
 */
#ifndef PEER_READER_H
#define PEER_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "server/peer/letter.h"

struct peer_reader {
    const uint8_t *at; /* borrowed: the bytes that are left */
    size_t left;
    struct stepd_arena arena; /* what is taken lives here, unless it says otherwise */
    enum stepd_status status;
    struct stepd_error *reterr;
};

void peer_reader_init(struct peer_reader *reader, const uint8_t *bytes, size_t n,
                      struct stepd_error *reterr);
void peer_reader_deinit(struct peer_reader *reader);

/* INVALID_ARGUMENT, unless something has failed before. */
void peer_reader_fail(struct peer_reader *reader, const char *field, const char *fmt, ...)
    STEPD_PRINTF(3, 4);
/* RESOURCE_EXHAUSTED, likewise. */
void peer_reader_no_memory(struct peer_reader *reader);

/* In [0, most]. */
uint64_t peer_take_number(struct peer_reader *reader, const char *field, uint64_t most);
uint32_t peer_take_u32(struct peer_reader *reader, const char *field, uint32_t most);
bool peer_take_bool(struct peer_reader *reader, const char *field);
double peer_take_double(struct peer_reader *reader, const char *field);
float peer_take_float(struct peer_reader *reader, const char *field);

/* The length of a list, each of which takes so many bytes at least. */
size_t peer_take_count(struct peer_reader *reader, const char *field, size_t most,
                       size_t each_least);

/* So many bytes, borrowed from the letter. NULL: not as many are left, or n is 0. */
const uint8_t *peer_take(struct peer_reader *reader, const char *field, size_t n);

/* Printable, of at most so many bytes, or NULL where none was written; some: "" instead. */
const char *peer_take_text(struct peer_reader *reader, const char *field, size_t most);
const char *peer_take_some_text(struct peer_reader *reader, const char *field, size_t most);
/* The same as a copy that the caller frees. */
char *peer_take_own_text(struct peer_reader *reader, const char *field, size_t most);

/* Of at most so many; NULL: none. The caller frees it. */
uint32_t *peer_take_own_u32s(struct peer_reader *reader, const char *field, size_t most,
                             size_t *ret_count);

void peer_take_error(struct peer_reader *reader, const char *field, struct stepd_error *ret_error);
struct peer_opaque peer_take_opaque(struct peer_reader *reader, const char *field);

/* Memory of the arena, zeroed; and that the caller frees. NULL: none, or something has failed. */
void *peer_reader_array(struct peer_reader *reader, size_t count, size_t size);
void *peer_reader_own_array(struct peer_reader *reader, size_t count, size_t size);

#endif
