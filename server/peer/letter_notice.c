/* SPDX-License-Identifier: Apache-2.0
 *
 * Notices, likewise whole; and notes.
 */
#include "proto/error.h"
#include "server/peer/letter_internal.h"

/* More blocks than all slices of a job could have (sync/gate.h). */
#define SUMS_MAX (PEER_LETTER_MAX_BYTES / sizeof(double))

/* ---- Writing --------------------------------------------------------------------------------- */

static void put_notice(struct peer_writer *writer, const struct notice *notice, size_t sums)
{
    peer_put_number(writer, notice->kind);
    peer_put_text(writer, notice->job_name);
    peer_put_number(writer, notice->shard);
    peer_put_error(writer, &notice->error);
    peer_put_u32s(writer, notice->rank, notice->ranks);
    peer_put_number(writer, notice->clock != NULL);
    for (size_t i = 0; notice->clock != NULL && i < notice->ranks; i++)
        peer_put_number(writer, notice->clock[i]);
    peer_put_number(writer, notice->query);
    peer_put_number(writer, notice->agreed);
    peer_put_number(writer, notice->slices);
    peer_put_u32s(writer, notice->later_slice, notice->later);
    peer_put_number(writer, notice->version_min);
    peer_put_number(writer, notice->version_max);
    peer_put_number(writer, notice->parked);
    peer_put_number(writer, notice->sum == NULL ? 0 : sums);
    for (size_t i = 0; notice->sum != NULL && i < sums; i++)
        peer_put_double(writer, notice->sum[i]);
}

enum stepd_status peer_notice_pack(const struct notice *notice, size_t sums,
                                   const struct peer_opaque *share, struct peer_bytes **ret_bytes,
                                   struct stepd_error *reterr)
{
    static const struct peer_opaque none = {.n = 0};

    char what[STEPD_NAME_MAX_BYTES + 40];
    struct peer_writer writer = {.n = 0};
    if (notice->state != NULL && share == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a snapshot of job '%s' on shard %u was not packed", notice->job_name,
                          notice->shard + 1);
    peer_put_number(&writer, PEER_NOTICE);
    put_notice(&writer, notice, sums);
    peer_put_opaque(&writer, share == NULL ? &none : share);
    (void)stepd_format(what, sizeof what, "a notice about job '%s'", notice->job_name);
    return peer_writer_end(&writer, what, ret_bytes, reterr);
}

enum stepd_status peer_note_pack(const struct peer_note *note, struct peer_bytes **ret_bytes,
                                 struct stepd_error *reterr)
{
    struct peer_writer writer = {.n = 0};
    peer_put_number(&writer, PEER_NOTE);
    peer_put_number(&writer, note->kind);
    peer_put_number(&writer, note->number);
    peer_put_text(&writer, note->text == NULL ? "" : note->text);
    peer_put_error(&writer, &note->error);
    peer_put_opaque(&writer, &note->bytes);
    return peer_writer_end(&writer, "a note", ret_bytes, reterr);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void take_ranks(struct peer_reader *reader, struct notice *notice)
{
    notice->rank = peer_take_own_u32s(reader, "ranks", STEPD_WORKERS_MAX, &notice->ranks);
    if (!peer_take_bool(reader, "clocks"))
        return;
    notice->clock = peer_reader_own_array(reader, notice->ranks, sizeof *notice->clock);
    for (size_t i = 0; notice->clock != NULL && i < notice->ranks; i++)
        notice->clock[i] = peer_take_number(reader, "clocks", UINT64_MAX);
}

static double *take_sums(struct peer_reader *reader, size_t *ret_count)
{
    const size_t count = peer_take_count(reader, "sums", SUMS_MAX, sizeof(double));
    double *const sum = peer_reader_own_array(reader, count, sizeof *sum);
    for (size_t i = 0; sum != NULL && i < count; i++)
        sum[i] = peer_take_double(reader, "sums");
    *ret_count = sum == NULL ? 0 : count;
    return sum;
}

static void take_rest(struct peer_reader *reader, struct notice *notice, size_t *ret_sums)
{
    notice->shard = peer_take_u32(reader, "shard", STEPD_SHARDS_MAX - 1);
    peer_take_error(reader, "error", &notice->error);
    take_ranks(reader, notice);
    notice->query = peer_take_number(reader, "query", UINT64_MAX);
    notice->agreed = peer_take_bool(reader, "agreed");
    notice->slices = peer_take_number(reader, "slices", UINT64_MAX);
    notice->later_slice =
        peer_take_own_u32s(reader, "later slices", LAYOUT_SLICES_MAX, &notice->later);
    notice->version_min = peer_take_number(reader, "version_min", UINT64_MAX);
    notice->version_max = peer_take_number(reader, "version_max", UINT64_MAX);
    notice->parked = peer_take_number(reader, "parked", UINT64_MAX);
    notice->sum = take_sums(reader, ret_sums);
}

void peer_take_notice(struct peer_reader *reader, struct peer_letter *letter)
{
    const enum notice_kind kind =
        (enum notice_kind)peer_take_number(reader, "kind of notice", NOTICE_CHANGED);
    const char *const job_name = peer_take_job_name(reader);
    if (reader->status != STEPD_OK)
        return;
    letter->notice = notice_create(kind, job_name);
    if (letter->notice == NULL) {
        peer_reader_no_memory(reader);
        return;
    }
    take_rest(reader, letter->notice, &letter->sums);
    letter->share = peer_take_opaque(reader, "share");
}
