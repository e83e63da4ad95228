/* SPDX-License-Identifier: Apache-2.0
 *
 * The brain of libstepd against a server that says anything. The input is a program of acts
 * (acts.h); the first one says whether the client is an observer and whether it shares memory, and
 * each other one does one thing:
 *
 *     0 link fill trim which reply   a frame of these fields answers one of the newest requests
 *     1 link bytes                   any bytes come
 *     2 link                         the connection ends
 *     3 n                            n times 16 ms pass
 *     4 link                         the client wants a link
 *     5 link question                it asks something
 *     6 kind ...                     it pushes, pulls or steps
 *     7 index                        a question is withdrawn
 *     8 link n                       n frames leave
 *
 * Behind each of them connections are made, frames leave and threads look at their answers, unless
 * its first byte says otherwise. What must hold: all that was begun ends, and ends once, with an
 * error that can be printed where it fails; what the client sends is what a server can read; and
 * nothing is written but into arrays that are there.
 */
#include "proto/frame.h"
#include "tests/fuzz/acts.h"
#include "tests/fuzz/guest.h"

#define UNWRITTEN 0x80u /* what is sent stays where it is */
#define UNSEEN    0x40u /* and what has been answered */
#define APART     0x20u /* and who connects does not get through */

#define TIME_UNIT_MS  16u
#define PAYLOAD_MOST  65536u
#define PAYLOAD_EXTRA 128u

/* Which reply a request is waiting for. */
static enum stepd_message_kind answer_to(enum stepd_message_kind kind)
{
    switch (kind) {
    case STEPD_MESSAGE_HELLO: return STEPD_MESSAGE_WELCOME;
    case STEPD_MESSAGE_DEFINE_JOB: return STEPD_MESSAGE_JOB_DEFINED;
    case STEPD_MESSAGE_DEFINE_TENSORS: return STEPD_MESSAGE_TENSORS_DEFINED;
    case STEPD_MESSAGE_GET_LAYOUT: return STEPD_MESSAGE_LAYOUT;
    case STEPD_MESSAGE_GET_STATUS: return STEPD_MESSAGE_STATUS;
    case STEPD_MESSAGE_GET_GROUPS: return STEPD_MESSAGE_GROUPS;
    case STEPD_MESSAGE_CHANGE_JOB:
    case STEPD_MESSAGE_GET_CHANGES: return STEPD_MESSAGE_CHANGES;
    case STEPD_MESSAGE_CHECKPOINT: return STEPD_MESSAGE_CHECKPOINT_WRITTEN;
    case STEPD_MESSAGE_ASSIGN:
    case STEPD_MESSAGE_PUSH:
    case STEPD_MESSAGE_PULL:
    case STEPD_MESSAGE_STEP: return STEPD_MESSAGE_RESULT;
    default: return STEPD_MESSAGE_ACK;
    }
}

/* Bytes of the weights that a Result should bring. */
static size_t payload_of(const struct guest *guest, const struct sent *sent,
                         const struct stepd_message *reply)
{
    const struct stepd_result *const result = &reply->body.result;
    const bool wants = sent->kind == STEPD_MESSAGE_PULL || sent->kind == STEPD_MESSAGE_STEP;
    size_t elements = 0;
    if (reply->kind != STEPD_MESSAGE_RESULT || !wants || guest->home == NULL ||
        result->places.count > 0)
        return 0;
    const struct stepd_layout_table *const table = &guest->home->table;
    for (size_t i = 0; i < result->slices.count; i++) {
        if (result->slices.at[i] < table->slices)
            elements += table->slice[result->slices.at[i]].elements;
    }
    const size_t size = result->dtype == STEPD_F32 ? 4 : 2;
    return elements <= PAYLOAD_MOST ? elements * size : 0;
}

static void hear_message(struct guest *guest, uint32_t shard, const struct stepd_message *reply,
                         struct stepd_arena *arena, size_t payload_bytes, uint8_t fill)
{
    uint8_t *head = NULL;
    size_t head_bytes = 0;
    if (stepd_message_encode(reply, payload_bytes, arena, &head, &head_bytes, NULL) != STEPD_OK)
        return;
    uint8_t *const frame = malloc(head_bytes + payload_bytes);
    FUZZ_CHECK(frame != NULL);
    memcpy(frame, head, head_bytes);
    memset(frame + head_bytes, fill, payload_bytes);
    guest_hear(guest->wire[shard], frame, head_bytes + payload_bytes);
    free(frame);
    free(head);
}

static void answer(struct guest *guest, struct taker *taker)
{
    const uint32_t shard = take_byte(taker) % GUEST_LINKS;
    const uint8_t fill = take_byte(taker);
    const uint8_t trim = take_byte(taker);
    const size_t which = take_byte(taker) % GUEST_SENT;
    const struct wire *const wire = guest->wire[shard];
    if (wire == NULL || wire->sends == 0)
        return;
    const struct sent sent = wire->sent[(wire->sends + GUEST_SENT - 1 - which) % GUEST_SENT];
    struct known known = {
        .request_id = sent.id,
        .answer = answer_to(sent.kind),
        .shard = shard,
        .incarnation = 1,
        .slices = {.count = sent.slices, .at = sent.slice},
        .pushes = sent.kind == STEPD_MESSAGE_PUSH || sent.kind == STEPD_MESSAGE_STEP ||
                  sent.kind == STEPD_MESSAGE_ASSIGN,
        .job = {"job", ""},
        .jobs = 2,
    };
    struct stepd_message reply;
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    compose_reply(taker, &known, &arena, &reply);
    const size_t right = payload_of(guest, &sent, &reply);
    const size_t less = trim < PAYLOAD_EXTRA ? trim : 0;
    const size_t more = trim < PAYLOAD_EXTRA ? 0 : trim - PAYLOAD_EXTRA + 1;
    hear_message(guest, shard, &reply, &arena, (less < right ? right - less : right) + more, fill);
    stepd_arena_deinit(&arena);
}

static void hear_bytes(struct guest *guest, struct taker *taker)
{
    const uint32_t shard = take_byte(taker) % GUEST_LINKS;
    if (guest->wire[shard] != NULL)
        guest_hear(guest->wire[shard], taker->at, taker->left);
}

static void do_act(struct guest *guest, uint8_t what, struct taker *taker)
{
    switch (what % 9) {
    case 0: answer(guest, taker); return;
    case 1: hear_bytes(guest, taker); return;
    case 2: guest_lose(guest, take_byte(taker) % GUEST_LINKS); return;
    case 3: guest_tick(guest, take_wide(taker, 2) * TIME_UNIT_MS); return;
    case 4: guest_open(guest, take_byte(taker) % GUEST_LINKS); return;
    case 5: guest_ask(guest, taker); return;
    case 6: guest_operate(guest, taker); return;
    case 7: guest_withdraw(guest, take_byte(taker)); return;
    default: {
        const uint32_t shard = take_byte(taker) % GUEST_LINKS;
        if (guest->wire[shard] != NULL)
            guest_write(guest->wire[shard], 1u + take_byte(taker));
    }
    }
}

static void run_act(struct guest *guest, const struct act *act)
{
    struct taker taker = {.at = act->at, .left = act->bytes};
    const uint8_t first = take_byte(&taker);
    do_act(guest, first & 0x1f, &taker);
    if ((first & APART) == 0)
        guest_connect(guest);
    for (uint32_t shard = 0; shard < GUEST_LINKS && (first & UNWRITTEN) == 0; shard++) {
        if (guest->wire[shard] != NULL)
            guest_write(guest->wire[shard], SIZE_MAX);
    }
    if ((first & UNSEEN) == 0)
        guest_look(guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct act act[ACTS_MAX];
    const size_t acts = acts_read(bytes, n, act);
    struct guest *const guest = calloc(1, sizeof *guest);
    FUZZ_CHECK(guest != NULL);
    const uint8_t flags = acts > 0 && act[0].bytes > 0 ? act[0].at[0] : 0;
    guest_init(guest, (flags & 1) != 0, (flags & 2) != 0);
    for (size_t i = 1; i < acts; i++)
        run_act(guest, &act[i]);
    guest_deinit(guest);
    free(guest);
    return 0;
}
