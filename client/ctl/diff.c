/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl diff: two checkpoints, or any two safetensors files, tensor by tensor. A checkpoint is
 * compared with a file by its weights, and with another one by its optimizer's state too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "client/ctl/compare.h"
#include "client/ctl/ctl.h"
#include "client/ctl/diff_manifest.h"
#include "client/ctl/merged.h"
#include "client/ctl/shelves.h"
#include "client/ctl/table.h"
#include "proto/error.h"
#include "proto/utf8.h"
#include "server/base/text.h"
#include "server/persist/portion.h"

#define NOTE_BYTES 128u

static const char help[] =
    "usage: stepctl diff A B [--all] [--json]\n"
    "\n"
    "Compares two checkpoints, or safetensors files, tensor by tensor: the largest and the mean\n"
    "absolute difference of the numbers, whatever their types, which are noted where they are not\n"
    "the same. Two checkpoints are compared with their optimizer's state and with what their\n"
    "manifests say (versions, clocks of steps, groups, schedules, members); a checkpoint and a\n"
    "file by the weights alone. Checksums are not looked at: 'stepctl verify' does that; but one that\n"
    "several daemons have written is verified, and takes as much memory as its arrays. Exit code 0\n"
    "whatever comes of it; in the JSON 'same' says whether all tensors are equal, and 'manifest'\n"
    "what else differs, or is null. max and mean are null there where they are not finite.\n"
    "\n"
    "options:\n"
    "  --all             of the manifests, what says only when and by whom it was made too:\n"
    "                    times, workers and their sessions, losses and results reported\n"
    "  --json            one JSON object, for programs; 'left_out' counts what --all adds\n"
    "  --help            this text\n";

/* What is compared: a file, or a checkpoint's folder. */
struct side {
    const char *path;
    int folder; /* -1: it is a file */
    bool is_merged;
    int merged[ARRAYS_FILES]; /* of a checkpoint that several daemons have written; -1: taken */
};

struct diff {
    json_t *rows;
    struct diff_rows manifest; /* its list owned; NULL: not both are checkpoints */
    size_t differing;
    struct stepd_error *error;
};

/* ---- Rows ------------------------------------------------------------------------------------ */

static json_t *shape_of(const struct safetensors_tensor *tensor)
{
    json_t *const shape = json_array();
    for (size_t i = 0; i < tensor->dims; i++)
        (void)json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    return shape;
}

static json_t *real_or_null(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

/* What the two cannot be compared for stands in `note`. */
static void add_note(struct diff *diff, const struct safetensors_tensor *tensor, const char *note)
{
    diff->differing++;
    (void)json_array_append_new(diff->rows, json_pack("{s:s, s:o, s:n, s:n, s:n, s:s}", "tensor",
                                                      tensor->name, "shape", shape_of(tensor),
                                                      "differing", "max", "mean", "note", note));
}

/* What the numbers do not say. */
static void write_note(const struct safetensors_tensor *a, const struct safetensors_tensor *b,
                       const struct compare_result *result, char *text, size_t size)
{
    size_t at =
        stepd_format(text, size, "%s", isinf(result->max) ? "not finite in one of them" : "");
    if (a->dtype != b->dtype)
        at += stepd_format(text + at, size - at, "%s%s in A, %s in B", at > 0 ? "; " : "",
                           safetensors_dtype_name(a->dtype), safetensors_dtype_name(b->dtype));
    if (result->zeros > 0)
        (void)stepd_format(text + at, size - at, "%s%" PRIu64 " zeros of the other sign",
                           at > 0 ? "; " : "", result->zeros);
}

static void add_result(struct diff *diff, const struct safetensors_tensor *tensor,
                       const struct safetensors_tensor *in_b, const struct compare_result *result)
{
    char note[NOTE_BYTES];
    write_note(tensor, in_b, result, note, sizeof note);
    diff->differing += result->differing > 0;
    (void)json_array_append_new(diff->rows, json_pack("{s:s, s:o, s:I, s:o, s:o, s:s}", "tensor",
                                                      tensor->name, "shape", shape_of(tensor),
                                                      "differing", (json_int_t)result->differing,
                                                      "max", real_or_null(result->max), "mean",
                                                      real_or_null(result->mean), "note", note));
}

static bool same_shape(const struct safetensors_tensor *a, const struct safetensors_tensor *b)
{
    return a->dims == b->dims && memcmp(a->shape, b->shape, a->dims * sizeof a->shape[0]) == 0;
}

static enum stepd_status compare_one(struct diff *diff, const struct tensors *a,
                                     const struct safetensors_tensor *in_a, const struct tensors *b)
{
    struct compare_result result;
    const struct safetensors_tensor *const in_b = safetensors_find(&b->head, in_a->name);
    if (in_b == NULL) {
        add_note(diff, in_a, "only in A");
        return STEPD_OK;
    }
    if (!same_shape(in_a, in_b)) {
        add_note(diff, in_a, "of another shape in B");
        return STEPD_OK;
    }
    const enum stepd_status status = compare_tensors(a, in_a, b, in_b, &result, diff->error);
    if (status == STEPD_OK)
        add_result(diff, in_a, in_b, &result);
    else if (status == STEPD_INVALID_ARGUMENT)
        add_note(diff, in_a, diff->error->text);
    return status == STEPD_INVALID_ARGUMENT ? STEPD_OK : status;
}

static enum stepd_status compare_files(struct diff *diff, const struct tensors *a,
                                       const struct tensors *b)
{
    for (size_t i = 0; i < a->head.tensors; i++) {
        const enum stepd_status status = compare_one(diff, a, &a->head.tensor[i], b);
        if (status != STEPD_OK)
            return status;
    }
    for (size_t i = 0; i < b->head.tensors; i++) {
        if (safetensors_find(&a->head, b->head.tensor[i].name) == NULL)
            add_note(diff, &b->head.tensor[i], "only in B");
    }
    return STEPD_OK;
}

/* ---- Sides ----------------------------------------------------------------------------------- */

/* This file of a checkpoint, or the one that there is. Once of each. */
static enum stepd_status open_side(struct side *side, enum arrays_file which,
                                   struct tensors *ret_tensors, struct stepd_error *reterr)
{
    const struct portion_file_name name = portion_file(which, 0, 1);
    char shown[1024];
    if (side->folder < 0)
        return tensors_open(AT_FDCWD, side->path, side->path, ret_tensors, reterr);
    (void)stepd_format(shown, sizeof shown, "%s/%s", side->path, name.text);
    if (!side->is_merged)
        return tensors_open(side->folder, name.text, shown, ret_tensors, reterr);
    const int file = side->merged[which];
    side->merged[which] = -1;
    return tensors_take(file, shown, ret_tensors, reterr);
}

static enum stepd_status compare_file(struct diff *diff, struct side *a, struct side *b,
                                      enum arrays_file which)
{
    struct tensors in_a, in_b;
    enum stepd_status status = open_side(a, which, &in_a, diff->error);
    if (status != STEPD_OK)
        return status;
    status = open_side(b, which, &in_b, diff->error);
    if (status == STEPD_OK) {
        status = compare_files(diff, &in_a, &in_b);
        tensors_close(&in_b);
    }
    tensors_close(&in_a);
    return status;
}

static enum stepd_status side_init(struct side *side, const char *path, struct stepd_error *reterr)
{
    struct stat stat_of;
    *side = (struct side){.path = path, .folder = -1, .merged = {-1, -1}};
    if (stat(path, &stat_of) != 0 || !S_ISDIR(stat_of.st_mode))
        return STEPD_OK; /* what is wrong with it is said when it is opened */
    side->folder = shelves_open(path, reterr);
    if (side->folder < 0)
        return reterr->code;
    return merged_open(side->folder, path, &side->is_merged, side->merged, reterr);
}

static void side_deinit(struct side *side)
{
    if (side->folder >= 0)
        (void)close(side->folder);
    for (size_t i = 0; i < ARRAYS_FILES; i++) {
        if (side->merged[i] >= 0)
            (void)close(side->merged[i]);
    }
}

static enum stepd_status compare(struct diff *diff, const char *path_a, const char *path_b)
{
    struct side a, b = {.folder = -1, .merged = {-1, -1}};
    enum stepd_status status = side_init(&a, path_a, diff->error);
    if (status == STEPD_OK)
        status = side_init(&b, path_b, diff->error);
    if (status == STEPD_OK)
        status = compare_file(diff, &a, &b, ARRAYS_MODEL);
    if (status == STEPD_OK && a.folder >= 0 && b.folder >= 0)
        status = compare_file(diff, &a, &b, ARRAYS_OPTIMIZER);
    if (status == STEPD_OK && a.folder >= 0 && b.folder >= 0) {
        diff->manifest.list = json_array();
        status = diff_manifests(a.folder, a.path, b.folder, b.path, &diff->manifest, diff->error);
    }
    side_deinit(&a);
    side_deinit(&b);
    return status;
}

/* ---- Printing -------------------------------------------------------------------------------- */

/* A name in somebody's file may be anything that drives a terminal. */
static void tensor_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const name = json_object_get(row, "tensor");
    const char *const value = json_string_value(name);
    const size_t length = json_string_length(name);
    if (stepd_utf8_printable((const uint8_t *)value, length))
        (void)snprintf(text, size, "%s", value);
    else
        (void)text_quote(value, length, text, size);
}

static void shape_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const shape = json_object_get(row, "shape");
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(shape) && used < size; i++) {
        const long long n = json_integer_value(json_array_get(shape, i));
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i == 0 ? "" : "x", n);
    }
}

static void number_cell(const json_t *row, const char *key, char *text, size_t size)
{
    const json_t *const number = json_object_get(row, key);
    if (json_is_real(number))
        (void)snprintf(text, size, "%.3g", json_real_value(number));
    else
        (void)snprintf(text, size, "-");
}

static void max_cell(const json_t *row, char *text, size_t size)
{
    number_cell(row, "max", text, size);
}

static void mean_cell(const json_t *row, char *text, size_t size)
{
    number_cell(row, "mean", text, size);
}

static void differing_cell(const json_t *row, char *text, size_t size)
{
    const json_t *const differing = json_object_get(row, "differing");
    if (json_is_integer(differing))
        (void)snprintf(text, size, "%lld", (long long)json_integer_value(differing));
    else
        (void)snprintf(text, size, "-");
}

static const struct table_column columns[] = {
    {.header = "TENSOR", .cell = tensor_cell},       {.header = "SHAPE", .cell = shape_cell},
    {.header = "DIFFERING", .cell = differing_cell}, {.header = "MAX", .cell = max_cell},
    {.header = "MEAN", .cell = mean_cell},           {.header = "NOTE", .key = "note"},
};

static void print(const struct diff *diff)
{
    const size_t count = json_array_size(diff->rows);
    if (count > 0)
        table_print(stdout, 0, columns, sizeof columns / sizeof columns[0], diff->rows);
    if (diff->differing == 0)
        (void)printf("all %zu are the same\n", count);
    else
        (void)printf("%zu of %zu differ\n", diff->differing, count);
    if (diff->manifest.list != NULL)
        diff_manifests_print(&diff->manifest);
}

static void print_json(const struct diff *diff)
{
    json_t *const manifest = diff->manifest.list;
    json_t *const json =
        json_pack("{s:O, s:b, s:O?, s:I}", "tensors", diff->rows, "same", diff->differing == 0,
                  "manifest", manifest, "left_out", (json_int_t)diff->manifest.left_out);
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(json);
}

int diff_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    struct stepd_error error;
    struct diff diff = {.error = &error};
    const struct ctl_words words = {.command = "diff",
                                    .help = help,
                                    .first = "A or B",
                                    .least = 2,
                                    .most = 2,
                                    .ret_all = &diff.manifest.all};
    bool as_json = false;
    const int exit_code = ctl_read_words(&words, argc, argv, &as_json);
    if (exit_code >= 0)
        return exit_code;
    diff.rows = json_array();
    const enum stepd_status status = compare(&diff, argv[optind], argv[optind + 1]);
    if (status == STEPD_OK && as_json)
        print_json(&diff);
    else if (status == STEPD_OK)
        print(&diff);
    json_decref(diff.rows);
    json_decref(diff.manifest.list);
    return status == STEPD_OK ? CTL_OK : ctl_fail("diff", &error);
}
