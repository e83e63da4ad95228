/* SPDX-License-Identifier: Apache-2.0
 *
 * What --help and --print-config write, both by walking the table. The printed config is YAML that
 * loads to the same values, numbers to the bit; the comments say where each came from.
 */
#include <stdio.h>
#include <string.h>

#include "server/config/args.h"
#include "server/config/config.h"
#include "server/config/jobs.h"
#include "server/config/schema.h"
#include "server/config/value.h"

#define FLAG_COLUMNS 28 /* of a flag with its placeholder in --help */

static void print_origin(const struct schema_row *row, const struct config_origin *origin,
                         FILE *stream)
{
    char name[SCHEMA_ENVIRONMENT_MAX_BYTES];
    switch (origin->source) {
    case CONFIG_DEFAULT: (void)fputs("default", stream); break;
    case CONFIG_FILE: (void)fprintf(stream, "file, line %zu", origin->line); break;
    case CONFIG_ENVIRONMENT:
        schema_environment_name(row->key, name);
        (void)fprintf(stream, "environment, %s", name);
        break;
    case CONFIG_FLAG: (void)fprintf(stream, "flag, --%s", row->flag); break;
    }
}

void config_print(const struct config *config, FILE *stream)
{
    (void)fputs("# The configuration as it takes effect, and where each value comes from.\n",
                stream);
    if (config->file[0] != '\0') {
        (void)fputs("# file: ", stream);
        value_write_text(config->file, stream);
        (void)fputc('\n', stream);
    }
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct schema_row *const row = schema_row_at(i);
        (void)fprintf(stream, "%s: ", row->key);
        schema_write(row, config, stream);
        (void)fputs("  # ", stream);
        print_origin(row, &config->origin[i], stream);
        (void)fputc('\n', stream);
    }
    jobs_write(config, true, stream);
}

/* "  --flag PLACEHOLDER", filled up to the column of the texts. */
static void print_flag(const char *flag, const char *placeholder, FILE *stream)
{
    const char *const space = placeholder != NULL ? " " : "";
    const int used =
        fprintf(stream, "  --%s%s%s", flag, space, placeholder != NULL ? placeholder : "");
    const int left = used > 0 && used < FLAG_COLUMNS ? FLAG_COLUMNS - used : 1;
    (void)fprintf(stream, "%*s", left, "");
}

void config_print_usage(FILE *stream)
{
    (void)fputs("usage: stepd [--config FILE] [--FLAG VALUE ...]\n\n", stream);
    for (size_t i = 0; args_command_at(i) != NULL; i++) {
        const struct args_command *const command = args_command_at(i);
        print_flag(command->flag, command->placeholder, stream);
        (void)fprintf(stream, "%s\n", command->doc);
    }
    (void)fputc('\n', stream);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct schema_row *const row = schema_row_at(i);
        print_flag(row->flag, row->type->placeholder, stream);
        (void)fputs(row->doc, stream);
        if (row->fallback[0] != '\0')
            (void)fprintf(stream, " (%s)", row->fallback);
        (void)fputc('\n', stream);
    }
    (void)fputs(
        "\nEvery value has a key in the file and a variable in the environment as well:\n"
        "--unix PATH is unix_path: PATH and STEPD_UNIX_PATH=PATH; the other keys are their\n"
        "flags with _ for -. Flags win over the environment, which wins over the file.\n"
        "Jobs stand in the file alone.\n"
        "\nSIGTERM and SIGINT stop stepd, a second one at once. SIGHUP rereads who may\n"
        "come in (access_file), the certificates (tls_*) and the file; of this it takes over\n"
        "log_level, and of jobs what differs about their groups, while they train. What else\n"
        "differs is logged and needs a restart.\n"
        "\nExit codes: 0, 1 failure, 2 wrong flags, 78 wrong configuration.\n",
        stream);
}
