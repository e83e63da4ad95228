/* SPDX-License-Identifier: Apache-2.0
 *
 * The worked examples of proto/PROTOCOL.md, byte for byte and in both directions. The page is read
 * as it is: each block fenced as "```hex name=..." is a frame, `#` begins a remark. For each there
 * is a message below that our encoder must turn into these bytes, and that our decoder must find
 * in them; an example that the table does not know fails the test, and so does one that is gone.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/message.h"

#define EXAMPLE_MAX_BYTES 1024u
#define LINE_MAX_BYTES    1024u
#define MARK              "```hex name="

struct example {
    const char *name;
    struct stepd_message message;
    size_t payload_bytes;
    const uint8_t *payload;
};

static const uint8_t session[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char *const addresses[] = {"", "10.0.0.2:7070"};
static const uint64_t w_shape[] = {300, 2};
static const uint64_t b_shape[] = {2};
static const struct stepd_tensor_def defined[] = {
    {.name = "w",
     .dims = 2,
     .shape = w_shape,
     .init = {.kind = STEPD_INIT_NORMAL, .b = 0.5, .seed = 7}},
    {.name = "b", .dims = 1, .shape = b_shape},
};
static const struct stepd_tensor_def laid_out[] = {
    {.name = "w",
     .dims = 2,
     .shape = w_shape,
     .init = {.kind = STEPD_INIT_NORMAL, .b = 0.5, .seed = 7},
     .group = "all"},
    {.name = "b", .dims = 1, .shape = b_shape, .group = "all"},
};
static const uint32_t shards[] = {1, 2};
static const uint32_t ones[] = {1, 1};
static const uint32_t tensors[] = {0, 1};
static const uint64_t zeros[] = {0, 0};
static const uint32_t elements[] = {600, 2};
static const uint64_t version_4[] = {4};
static const uint64_t version_5[] = {5};
static const uint32_t applied[] = {STEPD_APPLIED};
static const uint32_t accumulated[] = {STEPD_ACCUMULATED};
static const uint32_t rank_3[] = {3};
static const uint8_t gradient[] = {0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x20, 0xC0};
static const uint8_t weights[] = {0x00, 0x3F, 0x80, 0x3F};
static const uint8_t unchanged[] = {0x00, 0x3F, 0x00, 0x40};
static const uint8_t scaled[] = {0x00, 0x64, 0x00, 0xE9};
static const uint8_t with_hessian[] = {0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x20, 0xC0,
                                       0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x80, 0x3F,
                                       0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x40, 0x40};

static const double eighth[] = {0.125};
static const double half[] = {0.5};
static const double hundred[] = {100};
static const struct stepd_setting lowered[] = {{.name = "lr", .values = 1, .value = eighth}};
static const struct stepd_difference difference = {.name = "lr", .from = "0.5", .to = "0.125"};
static const struct stepd_change_record lowering = {.number = 1,
                                                    .group = "rest",
                                                    .by = "host-1:4712",
                                                    .age_ms = 3,
                                                    .version = 120,
                                                    .version_last = 120,
                                                    .differences = 1,
                                                    .difference = &difference};
static const double betas[] = {0.5, 0.75};
static const struct stepd_setting base_settings[] = {
    {.name = "lr_mult", .values = 1, .value = eighth}};
static const uint32_t base_ndim[] = {1, 2};
static const struct stepd_setting rest_settings[] = {{.name = "betas", .values = 2, .value = betas},
                                                     {.name = "eps_mode", .word = "inside"}};
static const struct stepd_setting milestones[] = {
    {.name = "milestones", .values = 1, .value = hundred}};
static const struct stepd_setting total_iters[] = {
    {.name = "total_iters", .values = 1, .value = hundred}};
static const struct stepd_schedule_part schedule_parts[] = {
    {.kind = "linear", .settings = {1, total_iters}}, {.kind = "constant"}};
static const struct stepd_phase phases[] = {{.from = 5000, .optimizer = "momentum"}};
static const struct stepd_group groups[] = {
    {.name = "base", .match = "base.*", .settings = {1, base_settings}, .ndim = {2, base_ndim}},
    {.name = "rest",
     .match = "*",
     .optimizer = "adam",
     .settings = {2, rest_settings},
     .schedule = "sequential",
     .schedule_settings = {1, milestones},
     .schedule_parts = 2,
     .schedule_part = schedule_parts,
     .phases = 1,
     .phase = phases},
};
static const struct stepd_setting default_settings[] = {{.name = "lr", .values = 1, .value = half}};

static const double at_most_4[] = {4};
static const double at_most_32[] = {32};
static const struct stepd_setting staleness[] = {
    {.name = "staleness", .values = 1, .value = at_most_4},
    {.name = "staleness_max", .values = 1, .value = at_most_32}};
static const struct stepd_group all_by_sgd[] = {{.match = "*", .optimizer = "sgd"}};

static const struct stepd_tensor_def line_tensor[] = {
    {.name = "line", .dims = 1, .shape = b_shape, .group = "newton"}};
static const uint32_t two[] = {2};
static const uint32_t four[] = {4};

#define PUSH                                                                                       \
    {                                                                                              \
        .incarnation = 1, .clock = 5, .slices = {1, ones}, .base_versions = {1, version_4},        \
        .examples = 32, .deadline_ms = 30000                                                       \
    }

static const struct example examples[] = {
    {.name = "hello",
     .message = {.kind = STEPD_MESSAGE_HELLO,
                 .request_id = 1,
                 .body.hello = {.protocol = 1,
                                .job = "mnist",
                                .worker = "host-1:4711",
                                .rank = -1,
                                .lease_ms = 15000}}},
    {.name = "welcome",
     .message = {.kind = STEPD_MESSAGE_WELCOME,
                 .request_id = 1,
                 .body.welcome = {.session = {sizeof session, session},
                                  .epoch = 1,
                                  .rank = 2,
                                  .world = 4,
                                  .incarnation = 1,
                                  .lease_ms = 15000,
                                  .max_frame_bytes = STEPD_FRAME_MAX_BYTES,
                                  .shards = 2,
                                  .shard_address = addresses}}},
    {.name = "define_job",
     .message = {.kind = STEPD_MESSAGE_DEFINE_JOB,
                 .request_id = 2,
                 .body.define_job = {.workers = 4,
                                     .groups = 2,
                                     .group = groups,
                                     .defaults = {.optimizer = "sgd",
                                                  .settings = {1, default_settings}}}}},
    {.name = "define_bounded",
     .message = {.kind = STEPD_MESSAGE_DEFINE_JOB,
                 .request_id = 2,
                 .body.define_job = {.mode = STEPD_BOUNDED,
                                     .workers = 4,
                                     .groups = 1,
                                     .group = all_by_sgd,
                                     .settings = {2, staleness}}}},
    {.name = "define_tensors",
     .message = {.kind = STEPD_MESSAGE_DEFINE_TENSORS,
                 .request_id = 3,
                 .body.define_tensors = {.tensors = 2, .tensor = defined, .last = true}}},
    {.name = "layout",
     .message = {.kind = STEPD_MESSAGE_LAYOUT,
                 .request_id = 4,
                 .body.layout = {.incarnation = 1,
                                 .tensors = 2,
                                 .tensor = laid_out,
                                 .slice_shards = {2, shards},
                                 .slice_parts = {2, ones},
                                 .part_tensors = {2, tensors},
                                 .part_offsets = {2, zeros},
                                 .part_elements = {2, elements},
                                 .world = 4,
                                 .last = true}}},
    {.name = "pull",
     .message = {.kind = STEPD_MESSAGE_PULL,
                 .request_id = 5,
                 .body.pull = {.incarnation = 1,
                               .slices = {1, ones},
                               .min_version = 4,
                               .deadline_ms = 30000}}},
    {.name = "push",
     .message = {.kind = STEPD_MESSAGE_PUSH, .request_id = 6, .body.push = PUSH},
     .payload_bytes = sizeof gradient,
     .payload = gradient},
    {.name = "push_scaled",
     .message = {.kind = STEPD_MESSAGE_PUSH,
                 .request_id = 6,
                 .body.push = {.incarnation = 1,
                               .clock = 5,
                               .slices = {1, ones},
                               .base_versions = {1, version_4},
                               .examples = 32,
                               .dtype = STEPD_F16,
                               .deadline_ms = 30000,
                               .has_loss = true,
                               .loss = 0.75,
                               .loss_scale = 1024}},
     .payload_bytes = sizeof scaled,
     .payload = scaled},
    {.name = "pull_view",
     .message = {.kind = STEPD_MESSAGE_PULL,
                 .request_id = 7,
                 .body.pull =
                     {.incarnation = 1, .slices = {1, ones}, .min_version = 5, .view = STEPD_EMA}}},
    {.name = "step",
     .message = {.kind = STEPD_MESSAGE_STEP,
                 .request_id = 6,
                 .body.step = {.push = PUSH, .pull_dtype = STEPD_BF16}},
     .payload_bytes = sizeof gradient,
     .payload = gradient},
    {.name = "result",
     .message = {.kind = STEPD_MESSAGE_RESULT,
                 .request_id = 6,
                 .body.result = {.slices = {1, ones},
                                 .outcomes = {1, applied},
                                 .versions = {1, version_5},
                                 .dtype = STEPD_BF16,
                                 .last = true}},
     .payload_bytes = sizeof weights,
     .payload = weights},
    {.name = "result_accumulated",
     .message = {.kind = STEPD_MESSAGE_RESULT,
                 .request_id = 6,
                 .body.result = {.slices = {1, ones},
                                 .outcomes = {1, accumulated},
                                 .versions = {1, version_4},
                                 .dtype = STEPD_BF16,
                                 .last = true}},
     .payload_bytes = sizeof unchanged,
     .payload = unchanged},
    {.name = "change_job",
     .message = {.kind = STEPD_MESSAGE_CHANGE_JOB,
                 .request_id = 8,
                 .body.change_job = {.job = "mnist",
                                     .group = {.name = "rest", .settings = {1, lowered}},
                                     .at = 120}}},
    {.name = "changes",
     .message = {.kind = STEPD_MESSAGE_CHANGES,
                 .request_id = 8,
                 .body.changes = {.records = 1, .record = &lowering, .last = true}}},
    {.name = "checkpoint",
     .message = {.kind = STEPD_MESSAGE_CHECKPOINT,
                 .request_id = 9,
                 .body.checkpoint = {.job = "mnist", .deadline_ms = 60000}}},
    {.name = "checkpoint_written",
     .message = {.kind = STEPD_MESSAGE_CHECKPOINT_WRITTEN,
                 .request_id = 9,
                 .body.checkpoint_written = {.name = "step-00001200", .step = 1200, .bytes = 300}}},
    {.name = "error",
     .message = {.kind = STEPD_MESSAGE_ERROR,
                 .request_id = 6,
                 .body.error = {.code = STEPD_DEADLINE_EXCEEDED,
                                .text = "waiting for rank 3, silent for 12 s",
                                .waited_for = {1, rank_3}}}},
    {.name = "layout_with_hessian",
     .message = {.kind = STEPD_MESSAGE_LAYOUT,
                 .request_id = 4,
                 .body.layout = {.incarnation = 1,
                                 .tensors = 1,
                                 .tensor = line_tensor,
                                 .slice_shards = {1, ones},
                                 .slice_parts = {1, ones},
                                 .part_tensors = {1, tensors},
                                 .part_offsets = {1, zeros},
                                 .part_elements = {1, two},
                                 .world = 1,
                                 .last = true,
                                 .slice_extras = {1, four}}}},
    {.name = "push_with_hessian",
     .message = {.kind = STEPD_MESSAGE_PUSH,
                 .request_id = 6,
                 .body.push = {.incarnation = 1,
                               .clock = 1,
                               .slices = {1, tensors},
                               .base_versions = {1, zeros},
                               .examples = 32}},
     .payload_bytes = sizeof with_hessian,
     .payload = with_hessian},
    {.name = "heartbeat", .message = {.kind = STEPD_MESSAGE_HEARTBEAT, .request_id = 7}},
};

#define EXAMPLES (sizeof examples / sizeof examples[0])

/* A frame as the page has it. */
struct written {
    size_t n;
    uint8_t bytes[EXAMPLE_MAX_BYTES];
};

static const struct example *find(const char *name)
{
    for (size_t i = 0; i < EXAMPLES; i++) {
        if (strcmp(examples[i].name, name) == 0)
            return &examples[i];
    }
    fail_msg("PROTOCOL.md has an example '%s' that this test does not know", name);
    return NULL;
}

/* Adds the bytes of a line, up to its remark. */
static void read_line(const char *line, struct written *written)
{
    while (*line != '\0' && *line != '#') {
        if (isspace((unsigned char)*line)) {
            line++;
            continue;
        }
        char *end;
        const unsigned long byte = strtoul(line, &end, 16);
        if (end != line + 2 || byte > 0xFF)
            fail_msg("'%s' is no line of bytes", line);
        assert_true(written->n < sizeof written->bytes);
        written->bytes[written->n++] = (uint8_t)byte;
        line = end;
    }
}

/* The next example of the page, or NULL at its end. */
static const struct example *read_example(FILE *page, struct written *written)
{
    char line[LINE_MAX_BYTES];
    const struct example *example = NULL;
    while (fgets(line, sizeof line, page) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (example != NULL && strcmp(line, "```") == 0)
            return example;
        if (example != NULL)
            read_line(line, written);
        else if (strncmp(line, MARK, sizeof MARK - 1) == 0)
            example = find(line + sizeof MARK - 1);
    }
    assert_null(example); /* a block without an end */
    return NULL;
}

/* Encodes the message with its payload. Caller frees with free(). */
static uint8_t *encode(const struct stepd_message *message, const struct example *example,
                       struct stepd_arena *arena, size_t *ret_n)
{
    uint8_t *head = NULL;
    size_t head_bytes;
    assert_int_equal(
        stepd_message_encode(message, example->payload_bytes, arena, &head, &head_bytes, NULL),
        STEPD_OK);
    uint8_t *frame = malloc(head_bytes + example->payload_bytes);
    memcpy(frame, head, head_bytes);
    if (example->payload_bytes > 0)
        memcpy(frame + head_bytes, example->payload, example->payload_bytes);
    free(head);
    *ret_n = head_bytes + example->payload_bytes;
    return frame;
}

static void check_encoding(const struct stepd_message *message, const struct example *example,
                           const struct written *written)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    size_t n;
    uint8_t *frame = encode(message, example, &arena, &n);
    if (n != written->n || memcmp(frame, written->bytes, n) != 0)
        fail_msg("example '%s' is encoded differently", example->name);
    free(frame);
    stepd_arena_deinit(&arena);
}

static void check_decoding(const struct example *example, const struct written *written)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    struct stepd_frame_head head;
    struct stepd_message message;
    struct stepd_error error;
    if (stepd_frame_parse(written->bytes, written->n, STEPD_FRAME_MAX_BYTES, &head, &error) !=
        STEPD_FRAME_HEAD)
        fail_msg("example '%s': %s", example->name, error.text);
    if (stepd_message_decode(written->bytes + head.header_at, head.header_bytes, &arena, &message,
                             &error) != STEPD_OK)
        fail_msg("example '%s': %s", example->name, error.text);
    assert_int_equal(message.kind, example->message.kind);
    assert_true(message.request_id == example->message.request_id);
    assert_int_equal(head.payload_bytes, example->payload_bytes);
    assert_int_equal(head.payload_at + head.payload_bytes, written->n);
    check_encoding(&message, example, written);
    stepd_arena_deinit(&arena);
}

static void protocol__its_examples__are_what_the_codec_does(void **state)
{
    (void)state;
    FILE *page = fopen(STEPD_PROTOCOL_MD, "r");
    assert_non_null(page);
    size_t count = 0;
    for (;;) {
        struct written written = {.n = 0};
        const struct example *example = read_example(page, &written);
        if (example == NULL)
            break;
        check_encoding(&example->message, example, &written);
        check_decoding(example, &written);
        count++;
    }
    (void)fclose(page);
    print_message("%zu examples\n", count);
    assert_int_equal(count, EXAMPLES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol__its_examples__are_what_the_codec_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
