/* SPDX-License-Identifier: Apache-2.0
 *
 * write_samples FOLDER: writes each sample as a frame, FOLDER/<kind>.frame, as our encoder does.
 * For conformance.py, which reads them with a stock protobuf library, and for the fuzzers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/proto/samples.h"

/* The payload that goes with samples: two elements of any type. */
static const unsigned char payload[8] = {0x00, 0x00, 0x80, 0x3F, 0x00, 0x00, 0x20, 0xC0};

static int write_frame(FILE *file, const struct stepd_message *sample, struct stepd_arena *arena)
{
    unsigned char *head = NULL;
    size_t n;
    if (stepd_message_encode(sample, sizeof payload, arena, &head, &n, NULL) != STEPD_OK)
        return EXIT_FAILURE;
    const int written =
        fwrite(head, 1, n, file) == n && fwrite(payload, 1, sizeof payload, file) == sizeof payload;
    free(head);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int write_sample(const char *folder, const struct stepd_message *sample)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s.frame", folder, stepd_message_name(sample->kind));
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return EXIT_FAILURE;
    }
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const int result = write_frame(file, sample, &arena);
    stepd_arena_deinit(&arena);
    return fclose(file) == 0 ? result : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: write_samples FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        if (write_sample(argv[1], sample_message(sample_kinds[i])) != EXIT_SUCCESS)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
