/* SPDX-License-Identifier: Apache-2.0
 *
 * A letter of any bytes. What must hold:
 *
 *   - one that is refused is refused with a sentence that can be printed;
 *   - one that is read can be written, and that is read and written to the same bytes;
 *   - whether it fits its job can be asked.
 */
#include <string.h>

#include "proto/utf8.h"
#include "server/peer/fits.h"
#include "server/peer/letter.h"
#include "tests/fuzz/fuzz.h"

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    FUZZ_CHECK(error->code == status && error->text[0] != '\0');
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, strlen(error->text)));
}

static void check_fits(const struct peer_letter *letter)
{
    struct stepd_error error = {.text = ""};
    enum stepd_status status = STEPD_OK;
    if (letter->kind == PEER_ORDER)
        status = peer_order_fits(letter->order, letter->order->job, &error);
    else if (letter->kind == PEER_NOTICE)
        status = peer_notice_fits(letter->notice, letter->sums, /* job= */ NULL, &error);
    if (status != STEPD_OK)
        check_error(status, &error);
}

/* Writes it, and ends with it. */
static struct peer_bytes *write_down(struct peer_letter *letter)
{
    struct peer_bytes *bytes = NULL;
    enum stepd_status status = STEPD_OK;
    switch (letter->kind) {
    case PEER_ORDER:
        status = peer_order_pack(letter->order, letter->shard, letter->shards, &bytes, NULL);
        break;
    case PEER_NOTICE:
        status = peer_notice_pack(letter->notice, letter->sums, &letter->share, &bytes, NULL);
        break;
    case PEER_NOTE: status = peer_note_pack(&letter->note, &bytes, NULL); break;
    }
    FUZZ_CHECK(status == STEPD_OK);
    peer_letter_deinit(letter);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct peer_letter letter;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = peer_letter_unpack(bytes, n, &letter, &error);
    if (status != STEPD_OK) {
        check_error(status, &error);
        return 0;
    }
    check_fits(&letter);
    struct peer_bytes *first = write_down(&letter);
    FUZZ_CHECK(peer_letter_unpack(first->at, first->n, &letter, NULL) == STEPD_OK);
    struct peer_bytes *second = write_down(&letter);
    FUZZ_CHECK(second->n == first->n && memcmp(first->at, second->at, first->n) == 0);
    (void)peer_bytes_unref(second);
    (void)peer_bytes_unref(first);
    return 0;
}
