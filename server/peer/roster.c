/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peer/roster.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"

#define FNV_BASIS UINT64_C(14695981039346656037)
#define FNV_PRIME UINT64_C(1099511628211)

/* ---- Whom a reign waits for ------------------------------------------------------------------ */

void roster_list_missing(const struct roster *roster, char *text, size_t size)
{
    const size_t missing = roster->count - roster->present;
    text[0] = '\0';
    const size_t named = missing <= 4 ? missing : 3;
    size_t at = 0;
    size_t done = 0;
    for (size_t i = 0; i < roster->count && done < named; i++) {
        if (roster->line[i].present)
            continue;
        const bool last = done + 1 == missing;
        const char *const before = done == 0 ? "" : last ? " and " : ", ";
        at += stepd_format(text + at, size - at, "%s%zu", before, i);
        done++;
    }
    if (named < missing)
        (void)stepd_format(text + at, size - at, " and %zu more", missing - named);
}

static void note_missing(struct roster *roster)
{
    const size_t missing = roster->count - roster->present;
    char list[64];
    roster->missing[0] = '\0';
    if (missing == 0)
        return;
    roster_list_missing(roster, list, sizeof list);
    (void)stepd_format(roster->missing, sizeof roster->missing,
                       "the server waits for daemon%s %s of its %zu (0 is the first in its list); "
                       "start %s, and try again: `stepctl status` shows where each is",
                       missing == 1 ? "" : "s", list, roster->count, missing == 1 ? "it" : "them");
}

/* ---- Coming and going ------------------------------------------------------------------------ */

/* All shards in the order of the list. */
static void number_shards(struct roster *roster)
{
    uint32_t first = 0;
    for (size_t i = 0; i < roster->count; i++) {
        roster->line[i].first = first;
        first += roster->line[i].shards;
    }
}

uint64_t roster_sum(size_t count, const char *const *address)
{
    uint64_t sum = FNV_BASIS;
    for (size_t i = 1; i < count; i++) {
        const char *at = address[i];
        do
            sum = (sum ^ (unsigned char)tolower((unsigned char)*at)) * FNV_PRIME;
        while (*at++ != '\0');
    }
    return sum;
}

void roster_init(struct roster *roster, const char *version, uint32_t own_shards, size_t count,
                 const char *const *address)
{
    *roster = (struct roster){
        .version = version, .count = count, .present = 1, .sum = roster_sum(count, address)};
    for (size_t i = 0; i < count; i++)
        (void)snprintf(roster->line[i].address, sizeof roster->line[i].address, "%s", address[i]);
    roster->line[0].present = true;
    roster->line[0].shards = own_shards;
    note_missing(roster);
}

static enum stepd_status judge_shards(const struct roster *roster, const struct stepd_join *join,
                                      struct stepd_error *reterr)
{
    const uint32_t before = roster->line[join->place].shards;
    uint64_t others = 0;
    for (size_t i = 0; i < roster->count; i++)
        others += i == join->place ? 0 : roster->line[i].shards;
    if (before != 0 && before != join->shards)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "daemon %u has come with %u shards, and had %u before: start it with "
                          "those, or start the first of peers again, which forgets them",
                          join->place, join->shards, before);
    if (others + join->shards > STEPD_SHARDS_MAX)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "daemon %u has %u shards, and the others have %llu: at most %u can be in "
                          "all",
                          join->place, join->shards, (unsigned long long)others, STEPD_SHARDS_MAX);
    return STEPD_OK;
}

static enum stepd_status judge_list(const struct roster *roster, const struct stepd_join *join,
                                    struct stepd_error *reterr)
{
    if (join->daemons != roster->count)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the list of the first of peers has %zu daemons, and that of daemon %u "
                          "has %u: all must be started with the same list",
                          roster->count, join->place, join->daemons);
    if (join->place == 0 || join->place >= roster->count)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the list of the first of peers has %zu daemons, and no place %u for "
                          "another one: all must be started with the same list",
                          roster->count, join->place);
    if (join->others == roster->sum)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "the lists of the first of peers and of daemon %u differ behind their first "
                      "entries: start all daemons with the same list, each written alike",
                      join->place);
}

enum stepd_status roster_judge(const struct roster *roster, const struct stepd_join *join,
                               struct stepd_error *reterr)
{
    if (join->protocol != STEPD_PROTOCOL_VERSION)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the first of peers speaks protocol %u, and daemon %u speaks %u; install "
                          "one version of stepd on all",
                          STEPD_PROTOCOL_VERSION, join->place, join->protocol);
    if (strcmp(join->version, roster->version) != 0)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "the first of peers is stepd %s, and daemon %u is stepd %s; install one "
                          "version on all",
                          roster->version, join->place, join->version);
    const enum stepd_status status = judge_list(roster, join, reterr);
    return status == STEPD_OK ? judge_shards(roster, join, reterr) : status;
}

/* Remote clocks may say anything. */
static int64_t difference(uint64_t clock_ms, int64_t now_ms)
{
    const int64_t clock = clock_ms > INT64_MAX ? INT64_MAX : (int64_t)clock_ms;
    return now_ms < 0 ? clock : clock - now_ms;
}

void roster_come(struct roster *roster, const struct stepd_join *join, const char *prefix,
                 int64_t now_ms)
{
    struct roster_line *const line = &roster->line[join->place];
    roster->present += !line->present;
    line->present = true;
    line->leaving = false;
    line->shards = join->shards;
    line->ahead_ms = difference(join->clock_ms, now_ms);
    (void)snprintf(line->address, sizeof line->address, "%s%s", prefix, join->address);
    number_shards(roster);
    note_missing(roster);
}

void roster_go(struct roster *roster, size_t place)
{
    roster->present -= roster->line[place].present;
    roster->line[place].present = false;
    note_missing(roster);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

bool roster_is_whole(const struct roster *roster)
{
    return roster->present == roster->count;
}

uint32_t roster_shards(const struct roster *roster)
{
    const struct roster_line *const last = &roster->line[roster->count - 1];
    return last->first + last->shards;
}

size_t roster_place_of(const struct roster *roster, uint32_t shard)
{
    size_t place = 0;
    while (place + 1 < roster->count && shard >= roster->line[place + 1].first)
        place++;
    return place;
}
