/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes, frame by frame: records of a job's trail, or of one change.
 */
#include "proto/error.h"
#include "server/control/handle_change.h"
#include "server/control/jobs.h"
#include "server/control/page.h"
#include "server/control/waits.h"

/* Number, age, two versions, and the message around them. */
#define RECORD_NUMBERS 4u

static size_t record_bytes(const struct control_job *job, const struct control_record *record)
{
    size_t bytes = PAGE_TAG_BYTES + RECORD_NUMBERS * PAGE_NUMBER_BYTES +
                   page_text_bytes(job->job->group[record->group].name) +
                   page_text_bytes(record->by);
    for (size_t i = 0; i < record->differences; i++)
        bytes += PAGE_TAG_BYTES + page_text_bytes(record->difference[i].name) +
                 page_text_bytes(record->difference[i].from) +
                 page_text_bytes(record->difference[i].to);
    return bytes;
}

/* False: no memory. */
static bool write_record(struct stepd_arena *arena, const struct control_wait *wait,
                         const struct control_record *record, struct stepd_change_record *ret_wire)
{
    struct stepd_difference *difference =
        stepd_arena_calloc(arena, record->differences, sizeof *difference);
    if (difference == NULL)
        return false;
    for (size_t i = 0; i < record->differences; i++)
        difference[i] = (struct stepd_difference){.name = record->difference[i].name,
                                                  .from = record->difference[i].from,
                                                  .to = record->difference[i].to};
    *ret_wire = (struct stepd_change_record){
        .number = record->number,
        .group = wait->job->job->group[record->group].name,
        .by = record->by,
        .age_ms = wait->conn->control->now_ms - record->at_ms,
        .version = record->version != UINT64_MAX ? record->version : 0,
        .version_last = record->version_last != UINT64_MAX ? record->version_last : 0,
        .differences = record->differences,
        .difference = difference,
    };
    return true;
}

/* Is it one of those that were asked for? */
static bool is_wanted(const struct control_wait *wait, const struct control_record *record)
{
    return wait->edited->number == 0 || record->number == wait->edited->number;
}

static const struct control_record *next_wanted(const struct control_wait *wait,
                                                const struct control_record *record)
{
    while (record != NULL && !is_wanted(wait, record))
        record = record->next;
    return record;
}

/* One frame from *record on, and what comes behind it. */
static enum stepd_status write_frame(const struct control_wait *wait, struct control_pages *pages,
                                     const struct control_record **record,
                                     struct stepd_error *reterr)
{
    const struct control_record *end = *record;
    size_t left = CONTROL_PAGE_BYTES;
    size_t count = 0;
    while (end != NULL && record_bytes(wait->job, end) <= left) {
        left -= record_bytes(wait->job, end);
        count++;
        end = next_wanted(wait, end->next);
    }
    struct stepd_change_record *wire = stepd_arena_calloc(&pages->arena, count, sizeof *wire);
    bool written = wire != NULL;
    for (size_t i = 0; i < count && written; i++) {
        written = write_record(&pages->arena, wait, *record, &wire[i]);
        *record = next_wanted(wait, (*record)->next);
    }
    if (!written)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to list the changes");
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_CHANGES,
        .body.changes = {.records = count,
                         .record = wire,
                         .forgotten =
                             wait->edited->number == 0 ? wait->job->history.trail.forgotten : 0,
                         .last = end == NULL},
    };
    control_pages_put(pages, &message);
    return STEPD_OK;
}

enum stepd_status control_changes_pages(const struct control_wait *wait,
                                        struct control_pages *pages, struct stepd_error *reterr)
{
    const struct control_trail *tried = &wait->edited->records;
    const struct control_trail *trail = tried->count > 0 ? tried : &wait->job->history.trail;
    const struct control_record *record = next_wanted(wait, trail->first);
    enum stepd_status status = STEPD_OK;
    do
        status = write_frame(wait, pages, &record, reterr);
    while (record != NULL && status == STEPD_OK);
    return status;
}
