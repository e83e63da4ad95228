/* SPDX-License-Identifier: Apache-2.0
 *
 * The layers, one over the other: defaults, file, environment, flags. Every layer sets its values
 * through the same row of the schema and notes where they came from, so a later layer wins simply
 * by coming later. What two values must hold together is checked at the end.
 *
 * A variable named STEPD_* that is no key is refused, like an unknown key of the file: a setting
 * that is misspelt must not be silently ignored. The exceptions are the variables that Kubernetes
 * puts into every container for a service that happens to be called "stepd".
 *
 * Failure modes: wrong flags (INVALID_ARGUMENT); a file that cannot be read, is above 1 MiB or is
 * wrong, or a wrong variable (FAILED_PRECONDITION, with the place in the text); no memory. Nothing
 * outlives a failure.
 */
#include "server/config/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "proto/frame.h"
#include "proto/utf8.h"
#include "server/base/nearest.h"
#include "server/base/text.h"
#include "server/config/args.h"
#include "server/config/document.h"
#include "server/config/jobs.h"
#include "server/config/reader.h"
#include "server/config/schema.h"
#include "server/config/value.h"

#define ARENA_MAX_BYTES  (32u << 20) /* a file of DOCUMENT_MAX_BYTES and its jobs */
#define FILE_SHOWN_BYTES 100u        /* of the file's name in an error: its end */
#define SHOWN_BYTES      64u
#define ELEMENT_BYTES    4u /* the widest form in which an element travels: f32 */
#define CONFIG_VARIABLE  SCHEMA_ENVIRONMENT_PREFIX "CONFIG"

/* The name of the file as errors show it. They hold 256 bytes, and the text must fit as well. */
static const char *shown_file(const char *path)
{
    const size_t bytes = strlen(path);
    return bytes > FILE_SHOWN_BYTES ? path + (bytes - FILE_SHOWN_BYTES) : path;
}

static enum stepd_status set_defaults(struct config *config, struct stepd_error *reterr)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct schema_row *const row = schema_row_at(i);
        const enum stepd_status status = schema_set(row, row->fallback, config, reterr);
        if (status != STEPD_OK)
            return status;
        config->origin[i] = (struct config_origin){.source = CONFIG_DEFAULT};
    }
    return STEPD_OK;
}

/* Reads the whole file into *ret_bytes, which the caller frees with free(). */
static enum stepd_status read_file(const char *path, char **ret_bytes, size_t *ret_n,
                                   struct stepd_error *reterr)
{
    const char *const shown = shown_file(path);
    const size_t room = DOCUMENT_MAX_BYTES + 1; /* one more tells a file that is too large */
    enum stepd_status status = STEPD_OK;
    char *const bytes = malloc(room);
    if (bytes == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "%s: no memory to read it", shown);
    FILE *const file = fopen(path, "re");
    if (file == NULL) {
        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s: %s", shown, strerror(errno));
        goto fail_free_bytes;
    }
    errno = 0;
    const size_t n = fread(bytes, 1, room, file);
    if (ferror(file) != 0)
        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s: %s", shown, strerror(errno));
    else if (n > DOCUMENT_MAX_BYTES)
        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                            "%s: the file is larger than %u bytes", shown, DOCUMENT_MAX_BYTES);
    (void)fclose(file);
    if (status != STEPD_OK)
        goto fail_free_bytes;
    *ret_bytes = bytes;
    *ret_n = n;
    return STEPD_OK;

fail_free_bytes:
    free(bytes);
    return status;
}

static enum stepd_status fail_unknown_key(const char *file, const struct document_node *node,
                                          struct stepd_error *reterr)
{
    char shown[SHOWN_BYTES];
    struct nearest nearest;
    (void)text_quote(node->key, strlen(node->key), shown, sizeof shown);
    nearest_init(&nearest, node->key);
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        nearest_offer(&nearest, schema_row_at(i)->key);
    nearest_offer(&nearest, "jobs");
    return document_fail(file, node->line, reterr, "unknown key %s: %s", shown,
                         nearest_hint(&nearest));
}

/* The entries of a list with commas between. */
static enum stepd_status join_list(const char *file, const struct document_node *list,
                                   struct config *config, const char **ret_text,
                                   struct stepd_error *reterr)
{
    size_t bytes = 1;
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        if (node->kind != DOCUMENT_SCALAR)
            return document_fail(file, node->line, reterr,
                                 "an entry of %s is %s and must be a plain value", list->key,
                                 document_kind_name(node->kind));
        if (strchr(node->text, ',') != NULL)
            return document_fail(file, node->line, reterr, "an entry of %s has a comma: write two",
                                 list->key);
        bytes += strlen(node->text) + 1;
    }
    char *const text = stepd_arena_alloc(&config->arena, bytes);
    if (text == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the configuration");
    char *at = text;
    *at = '\0';
    for (const struct document_node *node = list->first; node != NULL; node = node->next) {
        const size_t n = strlen(node->text);
        if (at != text)
            *at++ = ',';
        memcpy(at, node->text, n + 1);
        at += n;
    }
    *ret_text = text;
    return STEPD_OK;
}

static enum stepd_status apply_entry(const struct document_node *node, struct config *config,
                                     struct stepd_error *reterr)
{
    const char *const file = shown_file(config->file);
    if (strcmp(node->key, "jobs") == 0)
        return jobs_read(file, node, config, reterr);
    const size_t key = schema_find_key(node->key);
    if (key == CONFIG_KEYS)
        return fail_unknown_key(file, node, reterr);
    const struct schema_row *const row = schema_row_at(key);
    const bool lists = row->type->is_list && node->kind == DOCUMENT_LIST;
    if (node->kind != DOCUMENT_SCALAR && !lists)
        return document_fail(
            file, node->line, reterr, "%s is %s and must be %s", node->key,
            document_kind_name(node->kind),
            document_kind_name(row->type->is_list ? DOCUMENT_LIST : DOCUMENT_SCALAR));
    const char *text = node->text;
    enum stepd_status status = lists ? join_list(file, node, config, &text, reterr) : STEPD_OK;
    if (status == STEPD_OK)
        status = schema_set(row, text, config, reterr);
    if (status == STEPD_INVALID_ARGUMENT)
        return stepd_fail_in(reterr, STEPD_FAILED_PRECONDITION, "%s:%zu: %s", file, node->line,
                             node->key);
    config->origin[key] = (struct config_origin){.source = CONFIG_FILE, .line = node->line};
    return status;
}

static enum stepd_status apply_file(struct config *config, struct stepd_error *reterr)
{
    const char *const name = shown_file(config->file);
    const struct document_node *root = NULL;
    char *bytes = NULL;
    size_t n = 0;
    enum stepd_status status = read_file(config->file, &bytes, &n, reterr);
    if (status != STEPD_OK)
        return status;
    status = document_parse(name, bytes, n, &config->arena, &root, reterr);
    free(bytes);
    if (status != STEPD_OK || root == NULL)
        return status;
    if (root->kind != DOCUMENT_MAP)
        return document_fail(name, root->line, reterr, "the file is %s and must be %s",
                             document_kind_name(root->kind), document_kind_name(DOCUMENT_MAP));
    for (const struct document_node *node = root->first; node != NULL; node = node->next) {
        status = apply_entry(node, config, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

/* STEPD_PORT, STEPD_SERVICE_HOST, STEPD_PORT_7070_TCP_ADDR and so on. */
static bool is_kubernetes(const char *name)
{
    const char *const port = strstr(name, "_PORT");
    return strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL ||
           (port != NULL &&
            (port[5] == '\0' || (port[5] == '_' && port[6] >= '0' && port[6] <= '9')));
}

/* What workers and stepctl read, and a daemon that is started beside them inherits. */
static bool is_client_s(const char *name)
{
    static const char *const names[] = {"STEPD_ADDRESS",     "STEPD_CA",   "STEPD_CLIENT_CERT",
                                        "STEPD_CLIENT_KEY",  "STEPD_JOB",  "STEPD_LOCAL_RANK",
                                        "STEPD_LOCAL_WORLD", "STEPD_RANK", "STEPD_SERVER_NAME",
                                        "STEPD_TOKEN",       "STEPD_WORLD"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static enum stepd_status fail_unknown_variable(const char *name, struct stepd_error *reterr)
{
    char known[CONFIG_KEYS][SCHEMA_ENVIRONMENT_MAX_BYTES];
    char shown[SHOWN_BYTES];
    struct nearest nearest;
    (void)text_quote(name, strlen(name), shown, sizeof shown);
    nearest_init(&nearest, name);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        schema_environment_name(schema_row_at(i)->key, known[i]);
        nearest_offer(&nearest, known[i]);
    }
    nearest_offer(&nearest, CONFIG_VARIABLE);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "environment: unknown variable %s: %s",
                      shown, nearest_hint(&nearest));
}

/* The index of the row whose variable has this name; CONFIG_KEYS: there is none. */
static size_t find_variable(const char *name)
{
    char known[SCHEMA_ENVIRONMENT_MAX_BYTES];
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        schema_environment_name(schema_row_at(i)->key, known);
        if (strcmp(known, name) == 0)
            return i;
    }
    return CONFIG_KEYS;
}

/* Sets what one variable, "STEPD_NAME=value", says. */
static enum stepd_status apply_variable(const char *variable, struct config *config,
                                        struct stepd_error *reterr)
{
    char name[SCHEMA_ENVIRONMENT_MAX_BYTES];
    const size_t n = strcspn(variable, "=");
    (void)snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name,
                   variable);
    const size_t key = n < sizeof name ? find_variable(name) : CONFIG_KEYS;
    if (key == CONFIG_KEYS) {
        const bool known =
            strcmp(name, CONFIG_VARIABLE) == 0 || is_kubernetes(name) || is_client_s(name);
        return known ? STEPD_OK : fail_unknown_variable(name, reterr);
    }
    const char *const value = variable[n] == '=' ? variable + n + 1 : "";
    const enum stepd_status status = schema_set(schema_row_at(key), value, config, reterr);
    if (status == STEPD_INVALID_ARGUMENT)
        return stepd_fail_in(reterr, STEPD_FAILED_PRECONDITION, "environment: %s", name);
    config->origin[key] = (struct config_origin){.source = CONFIG_ENVIRONMENT};
    return status;
}

static enum stepd_status apply_environment(char *const envp[], struct config *config,
                                           struct stepd_error *reterr)
{
    const size_t prefix = sizeof SCHEMA_ENVIRONMENT_PREFIX - 1;
    for (size_t i = 0; envp[i] != NULL; i++) {
        if (strncmp(envp[i], SCHEMA_ENVIRONMENT_PREFIX, prefix) != 0)
            continue;
        const enum stepd_status status = apply_variable(envp[i], config, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return STEPD_OK;
}

static enum stepd_status apply_flags(const struct args *args, struct config *config,
                                     struct stepd_error *reterr)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        if (args->value[i] == NULL)
            continue;
        const struct schema_row *const row = schema_row_at(i);
        const enum stepd_status status = schema_set(row, args->value[i], config, reterr);
        if (status == STEPD_INVALID_ARGUMENT)
            return stepd_fail_in(reterr, status, "--%s", row->flag);
        if (status != STEPD_OK)
            return status;
        config->origin[i] = (struct config_origin){.source = CONFIG_FLAG};
    }
    return STEPD_OK;
}

/* The path of the file from the flags or else the environment; "": there is none. */
static enum stepd_status find_file(const struct args *args, char *const envp[],
                                   struct config *config, struct stepd_error *reterr)
{
    const size_t name_bytes = sizeof CONFIG_VARIABLE "=" - 1;
    const char *path = args->file;
    for (size_t i = 0; path == NULL && envp[i] != NULL; i++) {
        if (strncmp(envp[i], CONFIG_VARIABLE "=", name_bytes) == 0)
            path = envp[i] + name_bytes;
    }
    if (path == NULL)
        return STEPD_OK;
    const size_t bytes = strlen(path);
    if (bytes == 0 || bytes > VALUE_PATH_MAX_BYTES ||
        !stepd_utf8_printable((const uint8_t *)path, bytes))
        return stepd_fail(reterr,
                          args->file != NULL ? STEPD_INVALID_ARGUMENT : STEPD_FAILED_PRECONDITION,
                          "%s: the path must be 1 to %u bytes without control characters",
                          args->file != NULL ? "--config" : CONFIG_VARIABLE, VALUE_PATH_MAX_BYTES);
    char *const kept = stepd_arena_alloc(&config->arena, bytes + 1);
    if (kept == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the configuration");
    memcpy(kept, path, bytes + 1);
    config->file = kept;
    return STEPD_OK;
}

/* A slice must fit one frame, or it could never be pushed. */
static enum stepd_status check_slices(const struct config *config, struct stepd_error *reterr)
{
    const uint64_t room = stepd_frame_payload_max(config->frame_max_bytes) / ELEMENT_BYTES;
    if (config->slice_elements > room)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "slice_elements is %" PRIu32 ", but a frame of frame_max_bytes = %" PRIu64
                          " holds at most %" PRIu64 " elements",
                          config->slice_elements, config->frame_max_bytes, room);
    for (size_t i = 0; i < config->jobs; i++) {
        const struct config_job *const job = &config->job[i];
        if (job->definition.slice_elements <= room)
            continue;
        const enum stepd_status status =
            stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                       "slice_elements is %" PRIu32 ", but a frame holds at most %" PRIu64,
                       job->definition.slice_elements, room);
        return config_fail_in_job(config, job, job->line, status, reterr);
    }
    return STEPD_OK;
}

static enum stepd_status apply_layers(const struct args *args, char *const envp[],
                                      struct config *config, struct stepd_error *reterr)
{
    enum stepd_status status = set_defaults(config, reterr);
    const bool flags_only = args->action == CONFIG_HELP || args->action == CONFIG_VERSION;
    if (status != STEPD_OK || flags_only)
        return status;
    status = find_file(args, envp, config, reterr);
    if (status == STEPD_OK && config->file[0] != '\0')
        status = apply_file(config, reterr);
    if (status == STEPD_OK)
        status = apply_environment(envp, config, reterr);
    if (status == STEPD_OK)
        status = apply_flags(args, config, reterr);
    if (status == STEPD_OK)
        status = check_slices(config, reterr);
    return status;
}

enum stepd_status config_load(int argc, char *const argv[], char *const envp[],
                              struct config *ret_config, struct stepd_error *reterr)
{
    struct args args;
    enum stepd_status status = args_read(argc, argv, &args, reterr);
    if (status != STEPD_OK)
        return status;
    struct config config = {.action = args.action, .file = ""};
    stepd_arena_init(&config.arena, ARENA_MAX_BYTES);
    status = apply_layers(&args, envp, &config, reterr);
    if (status != STEPD_OK) {
        config_deinit(&config);
        return status;
    }
    *ret_config = config;
    return STEPD_OK;
}

void config_deinit(struct config *config)
{
    if (config == NULL)
        return;
    stepd_arena_deinit(&config->arena);
    *config = (struct config){.file = ""};
}

/* Does the text speak of this setting: quoted, or as the subject of what is said? */
static bool speaks_of(const char *text, const char *name, bool quoted)
{
    const size_t length = strlen(name);
    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
        const char around = quoted ? '\'' : ' ';
        const bool begins = at == text ? !quoted : at[-1] == around;
        if (begins && at[length] == around)
            return true;
    }
    return false;
}

/* The line of the setting that an error of the part in this line is about; else the part's. */
static size_t setting_line(const struct config *config, size_t part, const char *text)
{
    for (int quoted = 1; quoted >= 0; quoted--) {
        for (const struct config_setting_line *at = config->settings; at != NULL; at = at->next) {
            if (at->part == part && speaks_of(text, at->name, quoted != 0))
                return at->line;
        }
    }
    return part;
}

enum stepd_status config_fail_in_job(const struct config *config, const struct config_job *job,
                                     size_t line, enum stepd_status code,
                                     struct stepd_error *reterr)
{
    struct reader_shown shown;
    const size_t at = reterr == NULL ? line : setting_line(config, line, reterr->text);
    return stepd_fail_in(reterr, code, "%s:%zu: job %s", shown_file(config->file), at,
                         reader_show(job->name, &shown));
}
