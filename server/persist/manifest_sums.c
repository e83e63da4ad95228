/* SPDX-License-Identifier: Apache-2.0
 *
 * What the other files of the checkpoint must be: their lengths and checksums, and those of every
 * array. Names of files are names within the checkpoint's folder and lead nowhere else.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/persist/manifest_internal.h"

/* A file's name, a tensor's, and what is said of which of its arrays it is. */
#define ARRAY_NAME_MAX_BYTES ((size_t)3 * STEPD_NAME_MAX_BYTES)

static int compare_arrays(const void *a, const void *b)
{
    const struct manifest_array *const x = a;
    const struct manifest_array *const y = b;
    return strcmp(x->name, y->name);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum stepd_status fail_twice(const char *name, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "'%s' is listed twice, with a checksum each",
                      name);
}

static enum stepd_status write_files(struct manifest_text *text, const struct manifest_sums *sums,
                                     struct stepd_error *reterr)
{
    manifest_text_open(text, "files", '[');
    for (size_t i = 0; i < sums->files; i++) {
        const struct manifest_file *const file = &sums->file[i];
        if (manifest_sums_file(sums, file->name) != file)
            return fail_twice(file->name, reterr);
        manifest_text_value(text, /* key= */ NULL,
                            json_pack("{s:s, s:o, s:s}", "name", file->name, "bytes",
                                      manifest_of_u64(file->bytes), "checksum", file->checksum));
    }
    manifest_text_close(text, ']');
    return STEPD_OK;
}

static enum stepd_status write_arrays(struct manifest_text *text,
                                      const struct manifest_array *array, size_t arrays,
                                      struct stepd_error *reterr)
{
    manifest_text_open(text, "arrays", '{');
    for (size_t i = 0; i < arrays; i++) {
        if (i > 0 && strcmp(array[i - 1].name, array[i].name) == 0)
            return fail_twice(array[i].name, reterr);
        manifest_text_value(text, array[i].name, json_string(array[i].checksum));
    }
    manifest_text_close(text, '}');
    return STEPD_OK;
}

enum stepd_status manifest_write_sums(struct manifest_text *text, const struct manifest_sums *sums,
                                      struct stepd_error *reterr)
{
    struct manifest_array *const sorted = calloc(sums->arrays + 1, sizeof *sorted);
    if (sorted == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to write the manifest");
    for (size_t i = 0; i < sums->arrays; i++)
        sorted[i] = sums->array[i];
    qsort(sorted, sums->arrays, sizeof *sorted, compare_arrays);
    enum stepd_status status = write_files(text, sums, reterr);
    if (status == STEPD_OK)
        status = write_arrays(text, sorted, sums->arrays, reterr);
    free(sorted);
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool is_checksum(const char *text)
{
    return strlen(text) == CHECKSUM_TEXT_BYTES - 1 &&
           strspn(text, "0123456789abcdef") == CHECKSUM_TEXT_BYTES - 1;
}

/* A name that leads out of the folder is none. */
static bool is_file_name(const char *name)
{
    return strchr(name, '/') == NULL && name[0] != '.';
}

static enum stepd_status read_file(const json_t *json, struct manifest_file *file,
                                   struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    const char *const name = manifest_take_name(&object, "name", STEPD_NAME_MAX_BYTES);
    file->bytes = manifest_take_u64(&object, "bytes");
    const char *const checksum = manifest_take_text(&object, "checksum", CHECKSUM_TEXT_BYTES - 1);
    if (name != NULL && !is_file_name(name))
        manifest_object_fail(&object, "name",
                             "must be that of a file beside the manifest, without "
                             "'/' and no '.' first");
    if (checksum != NULL && !is_checksum(checksum))
        manifest_object_fail(&object, "checksum", "must be 32 digits of 0 to 9 and a to f");
    const enum stepd_status status = manifest_object_end(&object);
    if (status != STEPD_OK)
        return status;
    assert(name != NULL && checksum != NULL);
    memcpy(file->checksum, checksum, CHECKSUM_TEXT_BYTES);
    file->name = strdup(name);
    if (file->name == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the manifest");
    return STEPD_OK;
}

static enum stepd_status read_files(const json_t *list, struct manifest_sums *sums,
                                    struct stepd_error *reterr)
{
    const size_t count = json_array_size(list);
    sums->file = calloc(count + 1, sizeof *sums->file);
    if (sums->file == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the manifest");
    for (size_t i = 0; i < count; i++) {
        struct manifest_file file = {.name = NULL};
        const enum stepd_status status = read_file(json_array_get(list, i), &file, reterr);
        if (file.name == NULL)
            return stepd_fail_in(reterr, status, "files[%zu]", i);
        sums->file[sums->files++] = file;
        if (manifest_sums_file(sums, file.name) != &sums->file[i])
            return fail_twice(file.name, reterr);
    }
    return STEPD_OK;
}

static bool begins_with(const char *name, const struct manifest_file *file)
{
    /* The analyzer forgets how many there are: each that is counted has a name.
     * NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
    const size_t length = strlen(file->name);
    return strncmp(name, file->name, length) == 0 && name[length] == '/';
}

/* Is it in a file that is listed? Mostly it is in that of the one before it, *file. */
static bool is_in_file(const struct manifest_sums *sums, const char *name, size_t *file)
{
    if (*file < sums->files && begins_with(name, &sums->file[*file]))
        return true;
    for (*file = 0; *file < sums->files; ++*file) {
        if (begins_with(name, &sums->file[*file]))
            return true;
    }
    return false;
}

static void take_array(struct manifest_object *object, const char *name, const json_t *value,
                       struct manifest_sums *sums, size_t *file)
{
    struct manifest_array *const array = &sums->array[sums->arrays];
    if (!json_is_string(value) || !is_checksum(json_string_value(value))) {
        manifest_object_fail(object, name, "must be 32 digits of 0 to 9 and a to f");
        return;
    }
    if (!is_in_file(sums, name, file)) {
        manifest_object_fail(object, name, "must begin with the name of one of the files and '/'");
        return;
    }
    array->name = strdup(name);
    if (array->name == NULL) {
        manifest_object_no_memory(object);
        return;
    }
    memcpy(array->checksum, json_string_value(value), CHECKSUM_TEXT_BYTES);
    sums->arrays++;
}

static enum stepd_status read_arrays(const json_t *json, struct manifest_sums *sums,
                                     struct stepd_error *reterr)
{
    const json_t *value = NULL;
    size_t file = 0;
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    sums->array = calloc(json_object_size(json) + 1, sizeof *sums->array);
    if (sums->array == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read the manifest");
    for (const char *name = manifest_take_rest(&object, ARRAY_NAME_MAX_BYTES, &value); name != NULL;
         name = manifest_take_rest(&object, ARRAY_NAME_MAX_BYTES, &value))
        take_array(&object, name, value, sums, &file);
    if (object.status == STEPD_OK)
        qsort(sums->array, sums->arrays, sizeof *sums->array, compare_arrays);
    const enum stepd_status status = manifest_object_end(&object);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "arrays");
}

enum stepd_status manifest_read_sums(const json_t *files, const json_t *arrays,
                                     struct manifest_sums *sums, struct stepd_error *reterr)
{
    *sums = (struct manifest_sums){.files = 0};
    const enum stepd_status status = read_files(files, sums, reterr);
    return status == STEPD_OK ? read_arrays(arrays, sums, reterr) : status;
}

void manifest_sums_deinit(struct manifest_sums *sums)
{
    for (size_t i = 0; i < sums->files; i++)
        free(sums->file[i].name);
    for (size_t i = 0; i < sums->arrays; i++)
        free(sums->array[i].name);
    free(sums->file);
    free(sums->array);
    *sums = (struct manifest_sums){.files = 0};
}

/* ---- Questions ------------------------------------------------------------------------------- */

const struct manifest_file *manifest_sums_file(const struct manifest_sums *sums, const char *name)
{
    for (size_t i = 0; i < sums->files; i++) {
        /* As in begins_with. NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
        if (strcmp(sums->file[i].name, name) == 0)
            return &sums->file[i];
    }
    return NULL;
}

const char *manifest_sums_array(const struct manifest_sums *sums, const char *name)
{
    size_t first = 0;
    size_t end = sums->arrays;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        const int order = strcmp(name, sums->array[middle].name);
        if (order == 0)
            return sums->array[middle].checksum;
        if (order < 0)
            end = middle;
        else
            first = middle + 1;
    }
    return NULL;
}
