/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the three a letter is. What follows is in letter_order.c, letter_notice.c and, for what
 * orders hold, letter_job.c and letter_group.c.
 */
#include "server/peer/letter.h"

#include <stdlib.h>

#include "proto/error.h"
#include "server/peer/letter_internal.h"

const char *peer_take_job_name(struct peer_reader *reader)
{
    return peer_take_some_text(reader, "job", STEPD_NAME_MAX_BYTES);
}

static void take_order(struct peer_reader *reader, struct peer_letter *letter)
{
    letter->shard = peer_take_u32(reader, "shard", STEPD_SHARDS_MAX - 1);
    letter->shards = peer_take_u32(reader, "shards", STEPD_SHARDS_MAX - letter->shard);
    if (letter->shards == 0)
        peer_reader_fail(reader, "shards", "0, but must be at least 1");
    letter->order = peer_take_order(reader);
}

static void take_note(struct peer_reader *reader, struct peer_letter *letter)
{
    letter->note.kind =
        (enum peer_note_kind)peer_take_number(reader, "kind of note", PEER_NOTE_DISCARD);
    letter->note.number = peer_take_number(reader, "number", UINT64_MAX);
    letter->text = peer_take_own_text(reader, "text", PEER_NOTE_TEXT_BYTES);
    letter->note.text = letter->text == NULL ? "" : letter->text;
    peer_take_error(reader, "error", &letter->note.error);
    letter->note.bytes = peer_take_opaque(reader, "bytes");
}

static void take_letter(struct peer_reader *reader, struct peer_letter *letter)
{
    letter->kind = (enum peer_letter_kind)peer_take_number(reader, "kind of letter", PEER_NOTE);
    switch (letter->kind) {
    case PEER_ORDER: take_order(reader, letter); break;
    case PEER_NOTICE: peer_take_notice(reader, letter); break;
    case PEER_NOTE: take_note(reader, letter); break;
    default: peer_reader_fail(reader, "kind of letter", "%d is none", (int)letter->kind); break;
    }
    if (reader->left > 0)
        peer_reader_fail(reader, "letter", "%zu bytes too many", reader->left);
}

enum stepd_status peer_letter_unpack(const uint8_t *bytes, size_t n, struct peer_letter *ret_letter,
                                     struct stepd_error *reterr)
{
    struct peer_reader reader;
    struct peer_letter letter = {.sums = 0};
    peer_reader_init(&reader, bytes, n, reterr);
    take_letter(&reader, &letter);
    const enum stepd_status status = reader.status;
    peer_reader_deinit(&reader);
    if (status == STEPD_OK) {
        *ret_letter = letter;
        return STEPD_OK;
    }
    peer_letter_deinit(&letter);
    return stepd_fail_in(reterr, status, "a letter of another daemon");
}

void peer_letter_deinit(struct peer_letter *letter)
{
    (void)order_destroy(letter->order);
    (void)notice_destroy(letter->notice);
    free(letter->text);
    *letter = (struct peer_letter){.sums = 0};
}
