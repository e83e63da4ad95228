/* SPDX-License-Identifier: Apache-2.0
 *
 * What a member daemon says of the slices that it has lent, and of the files that it has written,
 * as any bytes: a shard (a byte), the manifest that the job is from, a NUL, and the text. What must
 * hold:
 *
 *   - a text that is refused is refused with a sentence that can be printed;
 *   - a share that is read can be written, and that is read and written to the same bytes;
 *   - so can checksums.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"
#include "server/persist/manifest.h"
#include "server/persist/portion.h"
#include "server/persist/share.h"
#include "tests/fuzz/fuzz.h"

#define PORTIONS 4u

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    FUZZ_CHECK(error->code == status && error->text[0] != '\0');
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, strlen(error->text)));
}

static char *pack(struct job_state *share, size_t *ret_bytes)
{
    char *text = NULL;
    FUZZ_CHECK(share_pack(share, &text, ret_bytes, NULL) == STEPD_OK);
    (void)job_state_unref(share);
    return text;
}

static void check_share(const char *text, size_t n, struct job *job, uint32_t shard)
{
    struct job_state *share = NULL;
    struct stepd_error error = {.text = ""};
    size_t first_bytes = 0;
    size_t second_bytes = 0;
    const enum stepd_status status = share_unpack(text, n, job, shard, &share, &error);
    if (status != STEPD_OK) {
        check_error(status, &error);
        return;
    }
    char *const first = pack(share, &first_bytes);
    FUZZ_CHECK(share_unpack(first, first_bytes, job, shard, &share, NULL) == STEPD_OK);
    char *const second = pack(share, &second_bytes);
    FUZZ_CHECK(second_bytes == first_bytes && memcmp(first, second, first_bytes) == 0);
    free(second);
    free(first);
}

static void check_sums(const char *text, size_t n, uint32_t index)
{
    struct manifest_sums sums = {.files = 0};
    struct stepd_error error = {.text = ""};
    char *packed = NULL;
    size_t bytes = 0;
    enum stepd_status status = portion_unpack_sums(text, n, index, PORTIONS, &sums, &error);
    if (status != STEPD_OK) {
        check_error(status, &error);
        return;
    }
    status = portion_pack_sums(&sums, &packed, &bytes, &error);
    manifest_sums_deinit(&sums);
    if (status != STEPD_OK)
        check_error(status, &error);
    else
        FUZZ_CHECK(portion_unpack_sums(packed, bytes, index, PORTIONS, &sums, NULL) == STEPD_OK);
    if (status == STEPD_OK)
        manifest_sums_deinit(&sums);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const char *const text = (const char *)bytes + 1;
    const char *const end = n < 2 ? NULL : memchr(text, '\0', n - 1);
    struct manifest manifest;
    if (end == NULL)
        return 0;
    const size_t left = n - 1 - (size_t)(end + 1 - text);
    check_sums(end + 1, left, bytes[0] % PORTIONS);
    if (manifest_parse(text, (size_t)(end - text), &manifest, NULL) != STEPD_OK)
        return 0;
    struct job *const job = manifest.snapshot.job;
    check_share(end + 1, left, job, bytes[0] % job->shards);
    manifest_deinit(&manifest);
    return 0;
}
