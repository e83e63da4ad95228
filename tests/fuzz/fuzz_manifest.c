/* SPDX-License-Identifier: Apache-2.0
 *
 * A manifest of any bytes, as it is and with the checksum that these bytes should have. What must
 * hold:
 *
 *   - one that is refused is refused with a sentence that can be printed;
 *   - one that is read can be written, and that is read and written to the same bytes;
 *   - it is cut into the largest slices, or is left as it is with a sentence that can be printed.
 */
#include <string.h>

#include "proto/utf8.h"
#include "server/persist/manifest.h"
#include "tests/fuzz/fuzz.h"

static const char before_digits[] = ",\n  \"checksum\": \"";
static const char after_digits[] = "\"\n}\n";

/* Nobody looks at what stands in arrays. */
static float array[1];

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    FUZZ_CHECK(error->code == status && error->text[0] != '\0');
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, strlen(error->text)));
}

static bool parse(const char *text, size_t length, struct manifest *ret_manifest)
{
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = manifest_parse(text, length, ret_manifest, &error);
    if (status == STEPD_OK)
        return true;
    FUZZ_CHECK(status == STEPD_INVALID_ARGUMENT || status == STEPD_NOT_FOUND ||
               status == STEPD_DATA_LOSS || status == STEPD_UNIMPLEMENTED ||
               status == STEPD_RESOURCE_EXHAUSTED);
    check_error(status, &error);
    return false;
}

/* The arrays that its slices say they have are there, or are gone again. */
static void lend_arrays(struct manifest *manifest, float *lent)
{
    for (size_t i = 0; i < manifest->snapshot.job->layout.slices; i++) {
        struct slice_state *const state = &manifest->state->slice[i];
        for (size_t v = 0; v < STEPD_VIEWS; v++)
            state->view[v] = manifest->slice[i].view[v] ? lent : NULL;
        state->by_rank[0].backup = manifest->slice[i].backups ? lent : NULL;
    }
}

/* Writes it, and ends with it. */
static char *write_down(struct manifest *manifest, size_t *ret_length)
{
    const struct job_state *const share = manifest->state;
    const struct manifest_source source = {.stepd = manifest->stepd,
                                           .snapshot = &manifest->snapshot,
                                           .share = &share,
                                           .shares = 1,
                                           .sums = &manifest->sums};
    struct stepd_error error;
    char *text = NULL;
    lend_arrays(manifest, array);
    FUZZ_CHECK(manifest_encode(&source, &text, ret_length, &error) == STEPD_OK);
    lend_arrays(manifest, NULL);
    manifest_deinit(manifest);
    return text;
}

static void recut(const char *text, size_t length)
{
    struct manifest manifest;
    struct stepd_error error = {.text = ""};
    FUZZ_CHECK(parse(text, length, &manifest));
    const enum stepd_status status = manifest_recut(&manifest, LAYOUT_SLICE_ELEMENTS_MOST, &error);
    if (status != STEPD_OK)
        check_error(status, &error);
    manifest_deinit(&manifest);
}

static void check(const char *text, size_t length)
{
    struct manifest manifest;
    size_t first_length = 0;
    size_t second_length = 0;
    if (!parse(text, length, &manifest))
        return;
    char *const first = write_down(&manifest, &first_length);
    FUZZ_CHECK(parse(first, first_length, &manifest));
    char *const second = write_down(&manifest, &second_length);
    FUZZ_CHECK(second_length == first_length && memcmp(first, second, first_length) == 0);
    recut(second, second_length);
    free(second);
    free(first);
}

/* The same with the end that belongs to it. Where there is one, its digits are put right. */
static char *seal(const char *bytes, size_t n, size_t *ret_length)
{
    const size_t before = sizeof before_digits - 1;
    const size_t after = sizeof after_digits - 1;
    const size_t end = before + CHECKSUM_TEXT_BYTES - 1 + after;
    const bool ends = n >= end && memcmp(bytes + n - end, before_digits, before) == 0;
    const size_t body = ends ? n - end : n;
    char *const text = malloc(body + end + 1);
    struct checksum *const checksum = checksum_create();
    FUZZ_CHECK(text != NULL && checksum != NULL);
    memcpy(text, bytes, body);
    memcpy(text + body, before_digits, before);
    checksum_add(checksum, text, body + before);
    checksum_text(checksum, text + body + before);
    memcpy(text + body + end - after, after_digits, after);
    (void)checksum_destroy(checksum);
    *ret_length = body + end;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t length = 0;
    check((const char *)bytes, n);
    char *const sealed = seal((const char *)bytes, n, &length);
    check(sealed, length);
    free(sealed);
    return 0;
}
