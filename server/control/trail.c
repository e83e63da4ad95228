/* SPDX-License-Identifier: Apache-2.0
 *
 * A list, because records come at one end and are forgotten at the other.
 */
#include "server/control/trail.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

struct control_record *control_record_create(uint32_t group, const char *by,
                                             const struct difference *difference,
                                             size_t differences)
{
    const size_t bytes = differences * sizeof *difference;
    struct control_record *record = calloc(1, sizeof *record + bytes);
    if (record == NULL)
        return NULL;
    record->group = group;
    record->differences = differences;
    (void)stepd_format(record->by, sizeof record->by, "%s", by);
    memcpy(record->difference, difference, bytes);
    return record;
}

static void forget_first(struct control_trail *trail)
{
    struct control_record *record = trail->first;
    trail->first = record->next;
    if (trail->first == NULL)
        trail->last = NULL;
    trail->count--;
    free(record);
}

void control_trail_add(struct control_trail *trail, struct control_record *record)
{
    record->next = NULL;
    if (trail->last == NULL)
        trail->first = record;
    else
        trail->last->next = record;
    trail->last = record;
    trail->count++;
    if (trail->count > CONTROL_TRAIL_MAX) {
        forget_first(trail);
        trail->forgotten++;
    }
}

void control_trail_move(struct control_trail *trail, struct control_trail *from)
{
    struct control_record *next = NULL;
    for (struct control_record *record = from->first; record != NULL; record = next) {
        next = record->next;
        control_trail_add(trail, record);
    }
    *from = (struct control_trail){.first = NULL};
}

/* The first shard that tells sets them, the others widen them. */
void control_trail_note(struct control_trail *trail, uint64_t number, uint64_t version_min,
                        uint64_t version_max)
{
    for (struct control_record *record = trail->first; record != NULL; record = record->next) {
        if (record->number != number)
            continue;
        const bool first = record->version == UINT64_MAX;
        if (first || version_min < record->version)
            record->version = version_min;
        if (first || version_max > record->version_last)
            record->version_last = version_max;
    }
}

void control_trail_undate(struct control_trail *trail, uint64_t number)
{
    for (struct control_record *record = trail->first; record != NULL; record = record->next) {
        if (record->number == number) {
            record->version = UINT64_MAX;
            record->version_last = UINT64_MAX;
        }
    }
}

enum stepd_status control_trail_copy(const struct control_trail *trail,
                                     struct control_trail *ret_copy)
{
    struct control_trail copy = {.first = NULL};
    for (const struct control_record *record = trail->first; record != NULL;
         record = record->next) {
        struct control_record *made = control_record_create(
            record->group, record->by, record->difference, record->differences);
        if (made == NULL) {
            control_trail_clear(&copy);
            return STEPD_RESOURCE_EXHAUSTED;
        }
        made->number = record->number;
        made->at_ms = record->at_ms;
        made->version = record->version;
        made->version_last = record->version_last;
        control_trail_add(&copy, made);
    }
    copy.forgotten = trail->forgotten;
    *ret_copy = copy;
    return STEPD_OK;
}

void control_trail_clear(struct control_trail *trail)
{
    while (trail->first != NULL)
        forget_first(trail);
    trail->forgotten = 0;
}
