/* SPDX-License-Identifier: Apache-2.0
 *
 * The file's text is copied once, and cut in place into lines, words and globs. What is wrong with
 * a line is said with its number and without its key: the text goes into a log.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"
#include "server/access/date.h"
#include "server/access/list_internal.h"
#include "server/base/text.h"

/* A line of few bytes has an entry and a list of globs. */
#define ARENA_MAX_BYTES ((size_t)32 * ACCESS_TEXT_MAX_BYTES)

#define WORDS       5u
#define SHOWN_BYTES 48u

struct shown {
    char text[SHOWN_BYTES];
};

/* A word that stands where it does not belong, unless somebody's secret may be in it. */
static struct shown show(const char *text)
{
    struct shown shown = {.text = "(a token or a key)"};
    if (strstr(text, TOKEN_PREFIX) == NULL && strstr(text, TOKEN_KEY_PREFIX) == NULL)
        (void)text_quote(text, strlen(text), shown.text, sizeof shown.text);
    return shown;
}

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the list of who is known");
}

bool access_who_is_fine(const char *who)
{
    const size_t n = strlen(who);
    return n > 0 && n <= ACCESS_WHO_MAX_BYTES && who[0] != '#' && strpbrk(who, " \t") == NULL &&
           stepd_utf8_printable((const uint8_t *)who, n);
}

bool access_job_is_fine(const char *glob)
{
    const size_t n = strlen(glob);
    return n > 0 && strpbrk(glob, " \t,") == NULL && stepd_utf8_printable((const uint8_t *)glob, n);
}

/* ---- One line -------------------------------------------------------------------------------- */

/* Cuts a line at its white space. Returns the number of words, WORDS + 1 for any more. */
static size_t cut_words(char *line, char *word[WORDS])
{
    size_t words = 0;
    char *rest = line;
    for (char *at = strtok_r(line, " \t", &rest); at != NULL; at = strtok_r(NULL, " \t", &rest)) {
        if (words == WORDS)
            return WORDS + 1;
        word[words++] = at;
    }
    return words;
}

static enum stepd_status read_jobs(char *text, struct stepd_arena *arena,
                                   struct access_grant *grant, struct stepd_error *reterr)
{
    size_t jobs = 1;
    for (const char *at = text; *at != '\0'; at++)
        jobs += *at == ',';
    if (jobs > ACCESS_JOBS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%zu jobs; at most %u can be, and a glob such as mnist-* is many", jobs,
                          ACCESS_JOBS_MAX);
    const char **const job = stepd_arena_calloc(arena, jobs, sizeof *job);
    if (job == NULL)
        return no_memory(reterr);
    for (size_t i = 0; i < jobs; i++) {
        job[i] = text;
        text += strcspn(text, ",");
        if (*text == ',')
            *text++ = '\0';
        if (!access_job_is_fine(job[i]))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "one of the jobs is empty or not printable; they are names or globs "
                              "with one comma between, or * for all");
    }
    grant->jobs = jobs;
    grant->job = job;
    return STEPD_OK;
}

static bool read_key(const char *key, struct access_grant *grant)
{
    const size_t prefix = sizeof ACCESS_CERTIFICATE_PREFIX - 1;
    if (strncmp(key, ACCESS_CERTIFICATE_PREFIX, prefix) != 0)
        return token_key_read(key, grant->hash);
    grant->certificate = key + prefix;
    return access_who_is_fine(grant->certificate);
}

static enum stepd_status read_words(char *word[WORDS], struct stepd_arena *arena,
                                    struct access_grant *grant, struct stepd_error *reterr)
{
    grant->who = word[0];
    grant->until_s = ACCESS_FOREVER;
    if (!access_who_is_fine(word[0]))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the first word is a name of at most %u printable bytes",
                          ACCESS_WHO_MAX_BYTES);
    if (!access_role_find(word[1], &grant->role))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "there is no role %s: it is observe, work, admin or peer",
                          show(word[1]).text);
    if (strcmp(word[3], "never") != 0 && !date_read(word[3], &grant->until_s))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s is no date: write 2027-01-31, 2027-01-31T12:00:00Z or never",
                          show(word[3]).text);
    if (!read_key(word[4], grant))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the last word is no key: sha256: and 64 hexadecimal digits, as "
                          "`stepctl token create` prints it, or certificate: and a name");
    return read_jobs(word[2], arena, grant, reterr);
}

static enum stepd_status add_line(struct access_list *list, char *line, size_t number,
                                  struct stepd_error *reterr)
{
    char *word[WORDS] = {NULL};
    line[strcspn(line, "\r")] = '\0';
    const size_t words = cut_words(line, word);
    if (words == 0 || word[0][0] == '#')
        return STEPD_OK;
    if (words != WORDS)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a line has %u words: who, role, jobs, until and key", WORDS);
    struct access_entry *const entry = stepd_arena_calloc(&list->arena, 1, sizeof *entry);
    if (entry == NULL)
        return no_memory(reterr);
    const enum stepd_status status = read_words(word, &list->arena, &entry->grant, reterr);
    if (status != STEPD_OK)
        return status;
    const struct access_grant *const same = access_list_find_like(list, &entry->grant);
    if (same != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "line %zu has the same key", same->line);
    entry->grant.line = number;
    entry->next = list->first;
    list->first = entry;
    list->grants++;
    return STEPD_OK;
}

/* ---- The text -------------------------------------------------------------------------------- */

static enum stepd_status read_text(struct access_list *list, const char *text, size_t n,
                                   struct stepd_error *reterr)
{
    if (n > ACCESS_TEXT_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "the file has more than %u bytes",
                          ACCESS_TEXT_MAX_BYTES);
    char *line = stepd_arena_alloc(&list->arena, n + 1);
    if (line == NULL)
        return no_memory(reterr);
    if (n > 0)
        memcpy(line, text, n);
    line[n] = '\0';
    if (strlen(line) != n)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the file has a NUL byte");
    for (size_t number = 1; *line != '\0'; number++) {
        char *const next = line + strcspn(line, "\n");
        const bool more = *next == '\n';
        *next = '\0';
        const enum stepd_status status = add_line(list, line, number, reterr);
        if (status != STEPD_OK)
            return stepd_fail_in(reterr, status, "line %zu", number);
        line = next + more;
    }
    return STEPD_OK;
}

enum stepd_status access_list_read(const char *text, size_t n, struct access_list **ret_list,
                                   struct stepd_error *reterr)
{
    struct access_list *const list = calloc(1, sizeof *list);
    if (list == NULL)
        return no_memory(reterr);
    stepd_arena_init(&list->arena, ARENA_MAX_BYTES);
    const enum stepd_status status = read_text(list, text, n, reterr);
    if (status == STEPD_OK)
        *ret_list = list;
    else
        (void)access_list_destroy(list);
    return status;
}
