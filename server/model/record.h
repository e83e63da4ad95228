/* SPDX-License-Identifier: Apache-2.0
 *
 * What a slice remembers of one rank's pushes, so that a push counts once however often it is
 * sent: the highest clock counted, and what became of the last few. It is bounded, and it is part
 * of the slice's state: whoever copies the weights copies it too.
 */
#ifndef MODEL_RECORD_H
#define MODEL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/types.h>

/* Pushes of one rank and slice whose results are remembered. */
#define RECORD_DEPTH 8u

struct record_entry {
    uint64_t clock; /* 0: none */
    uint64_t version;
    enum stepd_outcome outcome;
};

struct record {
    uint64_t clock; /* highest clock counted; 0: none */
    struct record_entry entry[RECORD_DEPTH];
};

/* Notes what became of the next clock (record->clock + 1 = clock). */
static inline void record_note(struct record *record, uint64_t clock, enum stepd_outcome outcome,
                               uint64_t version)
{
    record->clock = clock;
    record->entry[clock % RECORD_DEPTH] =
        (struct record_entry){.clock = clock, .version = version, .outcome = outcome};
}

/* What became of a clock, if that is still remembered. */
static inline bool record_find(const struct record *record, uint64_t clock,
                               struct record_entry *ret_entry)
{
    const struct record_entry *entry = &record->entry[clock % RECORD_DEPTH];
    if (clock == 0 || entry->clock != clock)
        return false;
    *ret_entry = *entry;
    return true;
}

#endif
