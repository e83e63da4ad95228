/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's list of the daemons that serve jobs together, in the order of `peers`: who has come,
 * with how many shards, and whom a reign still waits for. Its own daemon is the first.
 */
#ifndef PEER_ROSTER_H
#define PEER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/message.h"

#define ROSTER_TEXT_BYTES 240u

struct roster_line {
    bool present;
    bool leaving;     /* it has said that it is to end */
    uint32_t first;   /* of its shards, over all daemons, 0 first; known when all are present */
    uint32_t shards;  /* 0: it has never come */
    int64_t ahead_ms; /* of control's clock */
    char address[STEPD_ADDRESS_MAX_BYTES + 8]; /* that workers reach it by */
};

struct roster {
    const char *version; /* borrowed */
    size_t count;
    size_t present;
    uint64_t sum; /* roster_sum of its list */
    struct roster_line line[STEPD_DAEMONS_MAX];
    char missing[ROSTER_TEXT_BYTES]; /* for clients: "... daemons 1 and 3 of its 4 ..."; "": nobody
                                      */
};

/*
 * A sum by which lists that differ can be told: FNV-1a, of 64 bits, over each entry but the first,
 * in lower case, with a NUL behind it. The first is left out, for members may reach it by several
 * names. Pure.
 */
uint64_t roster_sum(size_t count, const char *const *address);

/* address: of each daemon, as the config lists them; count is 1 to STEPD_DAEMONS_MAX. The texts are
 * copied, but for the version. */
void roster_init(struct roster *roster, const char *version, uint32_t own_shards, size_t count,
                 const char *const *address);

/*
 * May a daemon that says this come? Whether another one has its place the caller knows.
 * FAILED_PRECONDITION: it speaks another protocol or is of another version, has another list or
 * names no place of it, or has another number of shards than before, or than there can be; the text
 * says the remedy.
 */
enum stepd_status roster_judge(const struct roster *roster, const struct stepd_join *join,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* It has come, or come again. now_ms: control's wall clock. prefix: before its address ("tls:"). */
void roster_come(struct roster *roster, const struct stepd_join *join, const char *prefix,
                 int64_t now_ms);

/* It is gone. */
void roster_go(struct roster *roster, size_t place);

/* Who has not come: "1", "1 and 3", "1, 3 and 4", "1, 2, 3 and 5 more". */
void roster_list_missing(const struct roster *roster, char *text, size_t size);

bool roster_is_whole(const struct roster *roster);

/* The shards of all, once the roster is whole. */
uint32_t roster_shards(const struct roster *roster);

/* Whose shard this is. */
size_t roster_place_of(const struct roster *roster, uint32_t shard);

#endif
