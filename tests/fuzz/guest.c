/* SPDX-License-Identifier: Apache-2.0
 *
 * The body. A wire may be closed by what it reads; then it lives until that is done.
 */
#include "tests/fuzz/guest.h"

#include "client/lib/core/address.h"
#include "proto/error.h"
#include "proto/frame.h"
#include "proto/utf8.h"

#define BUDGET_MS   60000u
#define SHARED_MOST (UINT64_C(1) << 16)

struct frame {
    struct frame *next;
    struct stepd_outgoing *outgoing; /* owned */
};

static void check_error(const struct stepd_error *error)
{
    const size_t n = strlen(error->text);
    FUZZ_CHECK(error->code != STEPD_OK && n > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, n));
}

/* ---- Wires ----------------------------------------------------------------------------------- */

static void drop_frame(struct wire *wire)
{
    struct frame *const frame = wire->frames;
    wire->frames = frame->next;
    if (wire->frames == NULL)
        wire->frames_end = &wire->frames;
    (void)stepd_outgoing_destroy(frame->outgoing);
    free(frame);
}

static void destroy_wire(struct wire *wire)
{
    stepd_reader_deinit(&wire->reader);
    free(wire);
}

/* Nothing is read from any array of the caller's from here on. */
static void close_wire(struct wire *wire)
{
    while (wire->frames != NULL)
        drop_frame(wire);
    wire->closed = true;
    wire->guest->wire[wire->shard] = NULL;
    if (!wire->reading)
        destroy_wire(wire);
}

static void break_with(struct guest *guest, uint32_t shard, const struct stepd_error *error)
{
    check_error(error);
    if (guest->wire[shard] != NULL)
        close_wire(guest->wire[shard]);
    guest->connecting[shard] = false;
    stepd_links_broke(guest->brain.links, shard, error);
}

void guest_lose(struct guest *guest, uint32_t shard)
{
    const struct stepd_error error = {.code = STEPD_UNAVAILABLE, .text = "the server hung up"};
    if (guest->wire[shard] != NULL || guest->connecting[shard])
        break_with(guest, shard, &error);
}

void guest_hear(struct wire *wire, const uint8_t *bytes, size_t n)
{
    const uint64_t answers = wire->reader.answers;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = STEPD_OK;
    wire->reading = true;
    wire->received += n;
    while (n > 0 && !wire->closed && status == STEPD_OK) {
        struct stepd_room room;
        stepd_reader_window(&wire->reader, &room);
        const size_t part = n < room.bytes ? n : room.bytes;
        FUZZ_CHECK(part > 0);
        memcpy(room.at, bytes, part);
        bytes += part;
        n -= part;
        status = stepd_reader_advance(&wire->reader, part, &error);
    }
    wire->reading = false;
    if (wire->closed)
        destroy_wire(wire);
    else if (status != STEPD_OK)
        break_with(wire->guest, wire->shard, &error);
    else if (wire->reader.answers != answers)
        stepd_links_answered(wire->guest->brain.links, wire->shard);
}

/* Its bytes leave the caller's arrays now. */
static void read_frame(const struct stepd_outgoing *outgoing)
{
    size_t bytes = 0;
    for (size_t i = 0; i < outgoing->spans; i++) {
        uint8_t *const copy = malloc(outgoing->span[i].bytes);
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, outgoing->span[i].at, outgoing->span[i].bytes);
        bytes += outgoing->span[i].bytes;
        free(copy);
    }
    FUZZ_CHECK(bytes == outgoing->payload_bytes);
}

void guest_write(struct wire *wire, size_t frames)
{
    struct guest *const guest = wire->guest;
    const uint32_t shard = wire->shard;
    while (frames > 0 && guest->wire[shard] == wire && wire->frames != NULL) {
        const uint64_t id = wire->frames->outgoing->request_id;
        read_frame(wire->frames->outgoing);
        drop_frame(wire);
        stepd_pending_written(&guest->brain.pending, shard, id);
        frames--;
    }
}

/* ---- What a server sees of a request --------------------------------------------------------- */

static const struct stepd_u32s *slices_of(const struct stepd_message *message)
{
    switch (message->kind) {
    case STEPD_MESSAGE_PUSH: return &message->body.push.slices;
    case STEPD_MESSAGE_STEP: return &message->body.step.push.slices;
    case STEPD_MESSAGE_PULL: return &message->body.pull.slices;
    case STEPD_MESSAGE_ASSIGN: return &message->body.assign.slices;
    default: return NULL;
    }
}

static void note_sent(struct wire *wire, const struct stepd_outgoing *outgoing)
{
    struct sent *const sent = &wire->sent[wire->sends++ % GUEST_SENT];
    struct stepd_frame_head head;
    struct stepd_arena arena;
    struct stepd_message message;
    FUZZ_CHECK(stepd_frame_parse(outgoing->head, outgoing->head_bytes, STEPD_FRAME_MAX_BYTES, &head,
                                 NULL) == STEPD_FRAME_HEAD);
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    FUZZ_CHECK(stepd_message_decode(outgoing->head + head.header_at, head.header_bytes, &arena,
                                    &message, NULL) == STEPD_OK);
    FUZZ_CHECK(head.payload_bytes == outgoing->payload_bytes);
    *sent = (struct sent){.id = message.request_id, .kind = message.kind};
    const struct stepd_u32s *const slices = slices_of(&message);
    for (size_t i = 0; slices != NULL && i < slices->count && i < COMPOSE_LIST_MAX; i++)
        sent->slice[sent->slices++] = slices->at[i];
    stepd_arena_deinit(&arena);
}

/* ---- What the links ask ---------------------------------------------------------------------- */

static uint64_t io_now_ms(void *owner)
{
    return ((const struct guest *)owner)->now_ms;
}

static uint32_t io_random(void *owner, uint32_t most)
{
    (void)owner;
    return most / 2;
}

static void io_connect(void *owner, uint32_t shard)
{
    FUZZ_CHECK(shard < GUEST_LINKS);
    ((struct guest *)owner)->connecting[shard] = true;
}

static void io_close(void *owner, uint32_t shard)
{
    struct guest *const guest = owner;
    guest->connecting[shard] = false;
    if (guest->wire[shard] != NULL)
        close_wire(guest->wire[shard]);
}

static enum stepd_status io_send(void *owner, uint32_t shard, struct stepd_outgoing *outgoing,
                                 struct stepd_error *reterr)
{
    struct wire *const wire = ((struct guest *)owner)->wire[shard];
    struct frame *const frame = malloc(sizeof *frame);
    (void)reterr;
    FUZZ_CHECK(wire != NULL && frame != NULL);
    *frame = (struct frame){.outgoing = outgoing};
    *wire->frames_end = frame;
    wire->frames_end = &frame->next;
    note_sent(wire, outgoing);
    return STEPD_OK;
}

static bool io_show(void *owner, enum stepd_show what, uint64_t at, uint64_t bytes, void *pages)
{
    (void)owner;
    (void)what;
    (void)at;
    (void)bytes;
    (void)pages;
    return false;
}

/* Memory of just that length, with whatever the server has in it. */
static uint8_t *take_memory(uint64_t bytes)
{
    uint8_t *const memory = malloc(bytes + (bytes == 0));
    FUZZ_CHECK(memory != NULL);
    return memset(memory, 0x3f, bytes);
}

static void unmap(struct mapped *mapped)
{
    free(mapped->weights);
    free(mapped->gradients);
    *mapped = (struct mapped){.weights = NULL};
}

static enum stepd_status io_map(void *owner, uint32_t shard, const struct stepd_welcome *welcome,
                                struct stepd_shared *ret_shared, struct stepd_error *reterr)
{
    struct mapped *const mapped = &((struct guest *)owner)->mapped[shard];
    if (welcome->weights_bytes > SHARED_MOST || welcome->gradients_bytes > SHARED_MOST)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no room to map it");
    unmap(mapped);
    *mapped = (struct mapped){.weights = take_memory(welcome->weights_bytes),
                              .gradients = take_memory(welcome->gradients_bytes)};
    *ret_shared = (struct stepd_shared){.weights = mapped->weights,
                                        .weights_bytes = welcome->weights_bytes,
                                        .gradients = mapped->gradients,
                                        .gradients_bytes = welcome->gradients_bytes,
                                        .owner = owner,
                                        .show = io_show};
    return STEPD_OK;
}

static uint64_t io_received(void *owner, uint32_t shard)
{
    const struct guest *const guest = owner;
    return guest->wire[shard] == NULL ? 0 : guest->wire[shard]->received;
}

static void io_wake_at(void *owner, uint64_t ms)
{
    ((struct guest *)owner)->wake_ms = ms;
}

/* ---- What the brain tells -------------------------------------------------------------------- */

static void on_welcomed(void *owner)
{
    struct guest *const guest = owner;
    if (guest->beat_ms == UINT64_MAX && guest->brain.self.beat_ms > 0)
        guest->beat_ms = guest->now_ms + guest->brain.self.beat_ms;
}

static void on_rolled_back(void *owner)
{
    ((struct guest *)owner)->rolled_back = true;
}

static void on_event(void *owner, const struct stepd_event *event)
{
    (void)owner;
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)event->text, strlen(event->text)));
}

/* ---- Life ------------------------------------------------------------------------------------ */

void guest_init(struct guest *guest, bool observer, bool shares_memory)
{
    *guest = (struct guest){
        .wake_ms = UINT64_MAX,
        .beat_ms = UINT64_MAX,
        .brain = {.hooks = {.owner = guest,
                            .welcomed = on_welcomed,
                            .rolled_back = on_rolled_back,
                            .tell = on_event},
                  .self = {.address = "unix:/stepd",
                           .job = "job",
                           .worker = "fuzz",
                           .token = "",
                           .observer = observer,
                           .shares_memory = shares_memory}},
    };
    struct stepd_links_options options = stepd_brain_links(&guest->brain, BUDGET_MS);
    options.io = (struct stepd_links_io){
        .owner = guest,
        .now_ms = io_now_ms,
        .random = io_random,
        .connect = io_connect,
        .close = io_close,
        .send = io_send,
        .map = io_map,
        .received = io_received,
        .wake_at = io_wake_at,
    };
    FUZZ_CHECK(stepd_links_create(&options, &guest->brain.links) == STEPD_OK);
}

/* A server says where its shards are. */
static enum stepd_status find_address(const struct guest *guest, uint32_t shard,
                                      struct stepd_error *reterr)
{
    struct stepd_address address;
    const char *const text = stepd_links_address(guest->brain.links, shard);
    const enum stepd_status status = stepd_address_parse(text, &address, reterr);
    if (status != STEPD_OK)
        return status;
    FUZZ_CHECK(address.local == stepd_address_is_local(text));
    FUZZ_CHECK(address.local ? address.path[0] != '\0' : address.port[0] != '\0');
    if (address.local)
        FUZZ_CHECK(stepd_address_stays_here(&address));
    return STEPD_OK;
}

static void make_wire(struct guest *guest, uint32_t shard)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (find_address(guest, shard, &error) != STEPD_OK) {
        break_with(guest, shard, &error);
        return;
    }
    struct wire *const wire = calloc(1, sizeof *wire);
    FUZZ_CHECK(wire != NULL);
    wire->guest = guest;
    wire->shard = shard;
    wire->frames_end = &wire->frames;
    FUZZ_CHECK(stepd_reader_init(&wire->reader, &guest->brain.pending, shard) == STEPD_OK);
    guest->connecting[shard] = false;
    guest->wire[shard] = wire;
    stepd_links_connected(guest->brain.links, shard);
}

void guest_connect(struct guest *guest)
{
    for (uint32_t shard = 0; shard < GUEST_LINKS; shard++) {
        if (guest->connecting[shard])
            make_wire(guest, shard);
    }
}

void guest_tick(struct guest *guest, uint64_t ms)
{
    guest->now_ms += ms;
    if (guest->now_ms >= guest->wake_ms)
        stepd_links_tick(guest->brain.links);
    stepd_brain_tick(&guest->brain, guest->now_ms);
    if (guest->now_ms < guest->beat_ms)
        return;
    guest->beat_ms = guest->now_ms + guest->brain.self.beat_ms;
    stepd_brain_beat(&guest->brain);
}

void guest_deinit(struct guest *guest)
{
    const struct stepd_error error = {.code = STEPD_CANCELLED, .text = "the client is closed"};
    guest_look(guest);
    stepd_links_stop(guest->brain.links, &error);
    guest_look(guest);
    for (uint32_t shard = 0; shard < GUEST_LINKS; shard++)
        FUZZ_CHECK(guest->wire[shard] == NULL && !guest->opens[shard]);
    for (uint32_t shard = 0; shard < GUEST_LINKS; shard++)
        unmap(&guest->mapped[shard]);
    for (size_t i = 0; i < GUEST_ASKS; i++)
        FUZZ_CHECK(!guest->ask[i].busy);
    for (size_t i = 0; i < GUEST_WORKS; i++)
        FUZZ_CHECK(!guest->work[i].busy);
    guest->brain.links = stepd_links_destroy(guest->brain.links);
    guest->home = stepd_home_destroy(guest->home);
    stepd_brain_deinit(&guest->brain);
}
