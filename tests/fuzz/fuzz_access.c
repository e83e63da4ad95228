/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of those who are let in, and the file of a token, of any bytes. What must hold:
 *
 *   - what is refused is refused with a sentence that can be printed, and that shows no key;
 *   - each line that is read is found by its key and by no other, says what its text says, and
 *     written anew, with all others, reads as the same;
 *   - a token that is read is one word, and the same when it stands alone in a file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/lib/token_file.h"
#include "proto/utf8.h"
#include "server/access/date.h"
#include "server/access/list_internal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    const size_t n = strlen(error->text);
    FUZZ_CHECK(error->code == status && n > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, n));
}

/* ---- The list -------------------------------------------------------------------------------- */

static void write_key(FILE *stream, const struct access_grant *grant)
{
    char key[TOKEN_KEY_TEXT_BYTES];
    token_key_write(grant->hash, key);
    if (grant->certificate != NULL)
        (void)fprintf(stream, " " ACCESS_CERTIFICATE_PREFIX "%s\n", grant->certificate);
    else
        (void)fprintf(stream, " %s\n", key);
}

static void write_line(FILE *stream, const struct access_grant *grant)
{
    char until[DATE_TEXT_BYTES] = "never";
    if (grant->until_s != ACCESS_FOREVER)
        date_write(grant->until_s, until);
    (void)fprintf(stream, "%s %s ", grant->who, access_role_name(grant->role));
    for (size_t i = 0; i < grant->jobs; i++)
        (void)fprintf(stream, "%s%s", i == 0 ? "" : ",", grant->job[i]);
    (void)fprintf(stream, " %s", until);
    write_key(stream, grant);
}

/* Caller frees. */
static char *write_list(const struct access_list *list, size_t *ret_n)
{
    char *text = NULL;
    FILE *const stream = open_memstream(&text, ret_n);
    FUZZ_CHECK(stream != NULL);
    for (const struct access_entry *entry = list->first; entry != NULL; entry = entry->next)
        write_line(stream, &entry->grant);
    FUZZ_CHECK(fclose(stream) == 0);
    return text;
}

static void check_grant(const struct access_list *list, const struct access_grant *grant)
{
    enum access_role role = ACCESS_OBSERVE;
    FUZZ_CHECK(access_who_is_fine(grant->who) && grant->jobs > 0 && grant->line > 0);
    FUZZ_CHECK(access_role_find(access_role_name(grant->role), &role) && role == grant->role);
    FUZZ_CHECK(grant->until_s >= 0 && access_grant_is_over(grant, grant->until_s));
    FUZZ_CHECK(access_list_find_like(list, grant) == grant);
    if (grant->certificate == NULL)
        FUZZ_CHECK(access_list_find(list, grant->hash) == grant);
    else
        FUZZ_CHECK(access_list_find_name(list, grant->certificate) == grant);
    FUZZ_CHECK(access_grant_covers(grant, ""));
    for (size_t i = 0; i < grant->jobs; i++) {
        FUZZ_CHECK(access_job_is_fine(grant->job[i]));
        if (strpbrk(grant->job[i], "*?[]\\") == NULL)
            FUZZ_CHECK(access_grant_covers(grant, grant->job[i]));
    }
}

static void check_same(const struct access_list *list, const struct access_list *again)
{
    FUZZ_CHECK(access_list_count(again) == access_list_count(list));
    for (const struct access_entry *entry = list->first; entry != NULL; entry = entry->next) {
        const struct access_grant *const a = &entry->grant;
        const struct access_grant *const b = access_list_find_like(again, a);
        FUZZ_CHECK(b != NULL && strcmp(a->who, b->who) == 0 && a->role == b->role);
        FUZZ_CHECK(a->jobs == b->jobs && a->until_s == b->until_s);
        for (size_t i = 0; i < a->jobs; i++)
            FUZZ_CHECK(strcmp(a->job[i], b->job[i]) == 0);
    }
}

static void check_list(const uint8_t *bytes, size_t n)
{
    struct access_list *list = NULL;
    struct access_list *again = NULL;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = access_list_read((const char *)bytes, n, &list, &error);
    if (status != STEPD_OK) {
        FUZZ_CHECK(status == STEPD_INVALID_ARGUMENT || status == STEPD_RESOURCE_EXHAUSTED);
        check_error(status, &error);
        FUZZ_CHECK(strstr(error.text, "sha256:0") == NULL && strstr(error.text, "stepd_") == NULL);
        return;
    }
    for (const struct access_entry *entry = list->first; entry != NULL; entry = entry->next)
        check_grant(list, &entry->grant);
    size_t length = 0;
    char *const text = write_list(list, &length);
    if (length <= ACCESS_TEXT_MAX_BYTES) {
        FUZZ_CHECK(access_list_read(text, length, &again, NULL) == STEPD_OK);
        check_same(list, again);
    }
    free(text);
    (void)access_list_destroy(again);
    (void)access_list_destroy(list);
}

/* ---- A token --------------------------------------------------------------------------------- */

static void check_token(const uint8_t *bytes, size_t n)
{
    char *token = NULL;
    char *again = NULL;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status = stepd_token_file_read(memory_file(bytes, n), &token, &error);
    if (status != STEPD_OK) {
        FUZZ_CHECK(status == STEPD_INVALID_ARGUMENT);
        check_error(status, &error);
        return;
    }
    const size_t length = strlen(token);
    FUZZ_CHECK(length > 0 && length <= STEPD_TOKEN_MAX_BYTES && strpbrk(token, " \t\r\n") == NULL);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)token, length));
    FUZZ_CHECK(stepd_token_file_read(memory_file(token, length), &again, NULL) == STEPD_OK);
    FUZZ_CHECK(strcmp(token, again) == 0);
    free(again);
    free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check_list(bytes, n);
    check_token(bytes, n);
    return 0;
}
