/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue is an array that grows under a mutex, and a uv_async that wakes the loop. A delivery
 * swaps the array for a spare one and goes through it without the lock, so a poster waits for a
 * few stores at most, and a letter costs no allocation once the arrays have grown.
 *
 * uv_async_send() calls coalesce, therefore a delivery takes everything that is there. What is
 * posted meanwhile has sent another wake-up and is left to it, so that the sockets get their turn.
 *
 * What goes wrong: without memory to grow, the letter is thrown away and the receiver is told so in
 * its place (LETTER_LOST): control and shards rely on each other's letters, so the daemon stops in
 * good order rather than go on with a hole in what its parts know. The letters of which a stop
 * consists are never lost: the others leave MAILBOX_RESERVED places free for them.
 */
#include "server/net/mailbox.h"

#include <stdlib.h>

#define ROOM_FIRST 256u

_Static_assert(ROOM_FIRST > MAILBOX_RESERVED, "an ordinary letter finds room from the start");

/* Frees what nobody will take. */
static void throw_away(const struct letter *letter)
{
    switch (letter->kind) {
    case LETTER_ORDER: order_destroy(letter->order); break;
    case LETTER_NOTICE: notice_destroy(letter->notice); break;
    case LETTER_CALLER: caller_destroy(letter->caller); break;
    case LETTER_WRITTEN: free(letter->written); break;
    case LETTER_TOLD: letter->told.drop(letter->told.what); break;
    case LETTER_KNOWN:
    case LETTER_GONE:
    case LETTER_ENDED:
    case LETTER_BEAT:
    case LETTER_DRAIN:
    case LETTER_CUT:
    case LETTER_LOST: break;
    }
}

/* Hands out what was posted, and leaves the emptied array as the next spare. */
static void deliver_all(struct mailbox *mailbox)
{
    uv_mutex_lock(&mailbox->mutex);
    struct letter *const full = mailbox->letter;
    const size_t full_room = mailbox->room;
    const size_t letters = mailbox->letters;
    const bool lost = mailbox->lost;
    mailbox->letter = mailbox->spare;
    mailbox->room = mailbox->spare_room;
    mailbox->letters = 0;
    mailbox->lost = false;
    uv_mutex_unlock(&mailbox->mutex);

    for (size_t i = 0; i < letters; i++) {
        if (mailbox->closed) /* by the letter before */
            throw_away(&full[i]);
        else
            mailbox->deliver(mailbox->owner, &full[i]);
    }
    if (lost && !mailbox->closed)
        mailbox->deliver(mailbox->owner, &(struct letter){.kind = LETTER_LOST});
    mailbox->spare = full;
    mailbox->spare_room = full_room;
}

static void on_async(uv_async_t *async)
{
    deliver_all(async->data);
}

enum stepd_status mailbox_init(struct mailbox *mailbox, uv_loop_t *loop,
                               void (*deliver)(void *owner, const struct letter *letter),
                               void *owner)
{
    *mailbox = (struct mailbox){
        .letter = calloc(ROOM_FIRST, sizeof *mailbox->letter),
        .room = ROOM_FIRST,
        .spare = calloc(ROOM_FIRST, sizeof *mailbox->spare),
        .spare_room = ROOM_FIRST,
        .deliver = deliver,
        .owner = owner,
    };
    if (mailbox->letter == NULL || mailbox->spare == NULL)
        goto fail_free;
    if (uv_mutex_init(&mailbox->mutex) != 0)
        goto fail_free;
    if (uv_async_init(loop, &mailbox->async, on_async) != 0)
        goto fail_mutex;
    mailbox->async.data = mailbox;
    return STEPD_OK;
fail_mutex:
    uv_mutex_destroy(&mailbox->mutex);
fail_free:
    free(mailbox->letter);
    free(mailbox->spare);
    return STEPD_RESOURCE_EXHAUSTED;
}

/* Does a stop consist of such letters? */
static bool is_of_a_stop(enum letter_kind kind)
{
    return kind == LETTER_ENDED || kind == LETTER_DRAIN || kind == LETTER_CUT;
}

/* Makes room for one more letter; the caller holds the mutex. False without memory. */
static bool reserve(struct mailbox *mailbox, enum letter_kind kind)
{
    if (mailbox->letters + MAILBOX_RESERVED < mailbox->room)
        return true;
    const size_t room = 2 * mailbox->room;
    struct letter *const grown = realloc(mailbox->letter, room * sizeof *grown);
    if (grown == NULL)
        return is_of_a_stop(kind) && mailbox->letters < mailbox->room;
    mailbox->letter = grown;
    mailbox->room = room;
    return true;
}

void mailbox_post(struct mailbox *mailbox, struct letter letter)
{
    uv_mutex_lock(&mailbox->mutex);
    const bool kept = !mailbox->closed && reserve(mailbox, letter.kind);
    if (kept)
        mailbox->letter[mailbox->letters++] = letter;
    else
        mailbox->lost = true;
    /* Under the mutex, so that the handle cannot be closed between the check and the call. */
    if (!mailbox->closed)
        (void)uv_async_send(&mailbox->async);
    uv_mutex_unlock(&mailbox->mutex);
    if (!kept)
        throw_away(&letter);
}

void mailbox_close(struct mailbox *mailbox)
{
    uv_mutex_lock(&mailbox->mutex);
    mailbox->closed = true;
    uv_mutex_unlock(&mailbox->mutex);
    uv_close((uv_handle_t *)&mailbox->async, NULL);
}

void mailbox_deinit(struct mailbox *mailbox)
{
    for (size_t i = 0; i < mailbox->letters; i++)
        throw_away(&mailbox->letter[i]);
    uv_mutex_destroy(&mailbox->mutex);
    free(mailbox->letter);
    free(mailbox->spare);
}
