/* SPDX-License-Identifier: Apache-2.0
 *
 * A config file of any bytes: loaded, printed, loaded again, and its jobs defined. What must hold:
 *
 *   - a file that is refused is refused with a sentence that can be printed;
 *   - what is printed of one that loads, loads to the same;
 *   - a job of it is a definition, or is refused with such a sentence; and a definition is the same
 *     as itself.
 */
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"
#include "server/config/config.h"
#include "server/config/document.h"
#include "server/model/job.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_file.h"

#define SLICE_ELEMENTS (1u << 18)

static void check_error(enum stepd_status status, const struct stepd_error *error)
{
    const size_t n = strlen(error->text);
    FUZZ_CHECK(error->code == status && n > 0);
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, n));
}

static enum stepd_status load(const char *bytes, size_t n, struct config *ret_config)
{
    char program[] = "stepd";
    char flag[128];
    char *const argv[] = {program, flag, NULL};
    char *const envp[] = {NULL};
    struct stepd_error error = {.text = ""};
    (void)snprintf(flag, sizeof flag, "--config=%s", memory_file(bytes, n));
    const enum stepd_status status = config_load(2, argv, envp, ret_config, &error);
    FUZZ_CHECK(status == STEPD_OK || status == STEPD_FAILED_PRECONDITION ||
               status == STEPD_RESOURCE_EXHAUSTED);
    if (status != STEPD_OK)
        check_error(status, &error);
    return status;
}

static void on_difference(void *owner, const char *key, bool reloadable)
{
    (void)key;
    (void)reloadable;
    *(bool *)owner = true;
}

/* Loads what is printed of a config. False: indentation took it beyond what a file may be. */
static bool load_printed(const struct config *config, struct config *ret_again)
{
    char *text = NULL;
    size_t n = 0;
    FILE *const stream = open_memstream(&text, &n);
    FUZZ_CHECK(stream != NULL);
    config_print(config, stream);
    FUZZ_CHECK(fclose(stream) == 0);
    const bool fits = n <= DOCUMENT_MAX_BYTES;
    if (fits)
        FUZZ_CHECK(load(text, n, ret_again) == STEPD_OK);
    free(text);
    return fits;
}

/* Defines a job. again is the same, printed and loaded. */
static void check_job(const struct config_job *job, const struct config_job *again)
{
    struct job_draft *draft = NULL;
    struct stepd_error error = {.text = ""};
    const enum stepd_status status =
        job_draft_create(job->name, &job->definition, SLICE_ELEMENTS, &draft, &error);
    if (status != STEPD_OK) {
        FUZZ_CHECK(status == STEPD_INVALID_ARGUMENT || status == STEPD_NOT_FOUND ||
                   status == STEPD_RESOURCE_EXHAUSTED);
        check_error(status, &error);
        return;
    }
    FUZZ_CHECK(job_draft_same(draft, &job->definition, &error) == STEPD_OK);
    FUZZ_CHECK(job_draft_same(draft, &again->definition, &error) == STEPD_OK);
    (void)job_draft_destroy(draft);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct config config;
    struct config again = {.file = NULL};
    bool differs = false;
    if (load((const char *)bytes, n, &config) != STEPD_OK)
        return 0;
    if (load_printed(&config, &again)) {
        FUZZ_CHECK(config_compare(&config, &again, on_difference, &differs) && !differs);
        for (size_t i = 0; i < config.jobs; i++)
            check_job(&config.job[i], &again.job[i]);
    }
    config_deinit(&config);
    config_deinit(&again);
    return 0;
}
