/* SPDX-License-Identifier: Apache-2.0 */
#include "server/persist/portion.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/manifest_internal.h"

static const char *const stems[ARRAYS_FILES] = {
    [ARRAYS_MODEL] = "model",
    [ARRAYS_OPTIMIZER] = "optimizer",
};

/* ---- Files ----------------------------------------------------------------------------------- */

struct portion_file_name portion_file(enum arrays_file file, uint32_t index, uint32_t portions)
{
    struct portion_file_name name;
    if (portions == 1)
        (void)snprintf(name.text, sizeof name.text, "%s.safetensors", stems[file]);
    else
        (void)snprintf(name.text, sizeof name.text, "%s-%05" PRIu32 "-of-%05" PRIu32 ".safetensors",
                       stems[file], index + 1, portions);
    return name;
}

/* Five digits and what is behind them; -1: there are others. */
static int read_digits(const char **at, const char *behind)
{
    int number = 0;
    for (int i = 0; i < 5; i++) {
        const char digit = (*at)[i];
        if (digit < '0' || digit > '9')
            return -1;
        number = number * 10 + (digit - '0');
    }
    if (strncmp(*at + 5, behind, strlen(behind)) != 0)
        return -1;
    *at += 5 + strlen(behind);
    return number;
}

bool portion_file_parse(const char *name, enum arrays_file *ret_file, uint32_t *ret_index,
                        uint32_t *ret_portions)
{
    for (int file = 0; file < (int)ARRAYS_FILES; file++) {
        const char *at = name + strlen(stems[file]);
        if (strncmp(name, stems[file], strlen(stems[file])) != 0)
            continue;
        int index = 1;
        int portions = 1;
        if (strcmp(at, ".safetensors") != 0) {
            if (*at++ != '-')
                return false;
            index = read_digits(&at, "-of-");
            portions = index < 1 ? -1 : read_digits(&at, ".safetensors");
            if (*at != '\0' || portions < 2 || portions > (int)PORTIONS_MAX || index > portions)
                return false;
        }
        *ret_file = (enum arrays_file)file;
        *ret_index = (uint32_t)index - 1;
        *ret_portions = (uint32_t)portions;
        return true;
    }
    return false;
}

enum stepd_status portion_count(const struct manifest_sums *sums, uint32_t *ret_portions,
                                struct stepd_error *reterr)
{
    uint32_t portions = 0;
    for (size_t i = 0; i < sums->files; i++) {
        enum arrays_file file = ARRAYS_MODEL;
        uint32_t index = 0;
        uint32_t of = 0;
        if (!portion_file_parse(sums->file[i].name, &file, &index, &of) ||
            (portions != 0 && of != portions))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the manifest lists %s, which is no file of a checkpoint, or of one "
                              "by another number of daemons",
                              sums->file[i].name);
        portions = of;
    }
    if (portions > 0 && sums->files == (size_t)ARRAYS_FILES * portions) {
        *ret_portions = portions; /* no name stands twice */
        return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "the manifest lists %zu files, and there are %u for each daemon that has "
                      "written",
                      sums->files, ARRAYS_FILES);
}

/* ---- Checksums ------------------------------------------------------------------------------- */

void portion_answer_deinit(struct portion_answer *answer)
{
    free(answer->sums);
    *answer = (struct portion_answer){.sums = NULL};
}

enum stepd_status portion_pack_sums(const struct manifest_sums *sums, char **ret_text,
                                    size_t *ret_bytes, struct stepd_error *reterr)
{
    struct manifest_text text = {.at = NULL};
    manifest_text_open(&text, /* key= */ NULL, '{');
    enum stepd_status status = manifest_write_sums(&text, sums, reterr);
    manifest_text_close(&text, '}');
    if (status == STEPD_OK && (text.failed || text.length > PORTION_SUMS_MAX_BYTES))
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                            "no memory for the checksums of a checkpoint's files, or more than "
                            "%zu MiB of them",
                            PORTION_SUMS_MAX_BYTES >> 20);
    if (status != STEPD_OK) {
        free(text.at);
        return status;
    }
    *ret_text = text.at;
    *ret_bytes = text.length;
    return STEPD_OK;
}

/* Both of the portion's, and no others. */
static enum stepd_status check_files(const struct manifest_sums *sums, uint32_t index,
                                     uint32_t portions, struct stepd_error *reterr)
{
    for (int file = 0; file < (int)ARRAYS_FILES; file++) {
        const struct portion_file_name name = portion_file((enum arrays_file)file, index, portions);
        if (sums->files != ARRAYS_FILES || manifest_sums_file(sums, name.text) == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "the files of a portion must be two, and one of them %s", name.text);
    }
    return STEPD_OK;
}

static enum stepd_status read_sums(const json_t *json, struct manifest_sums *ret_sums,
                                   struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const json_t *const files = manifest_take_list(&object, "files", ARRAYS_FILES);
    const json_t *const arrays = manifest_take(&object, "arrays");
    const enum stepd_status status = manifest_object_end(&object);
    return status == STEPD_OK ? manifest_read_sums(files, arrays, ret_sums, reterr) : status;
}

enum stepd_status portion_unpack_sums(const char *text, size_t bytes, uint32_t index,
                                      uint32_t portions, struct manifest_sums *ret_sums,
                                      struct stepd_error *reterr)
{
    struct manifest_sums sums = {.files = 0};
    json_error_t error;
    if (bytes > PORTION_SUMS_MAX_BYTES)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the checksums of a portion take more than %zu MiB",
                          PORTION_SUMS_MAX_BYTES >> 20);
    json_t *const json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        return manifest_fail_json(&error, reterr);
    enum stepd_status status = read_sums(json, &sums, reterr);
    json_decref(json);
    if (status == STEPD_OK)
        status = check_files(&sums, index, portions, reterr);
    if (status == STEPD_OK)
        *ret_sums = sums;
    else
        manifest_sums_deinit(&sums);
    return status;
}
