/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags are read before anything else, because they name the file that stands beneath them. So they
 * are only collected here, each as its text; config.c puts them over the other layers at the end.
 * getopt_long() is not used: its tables would be a second list of the keys, and it takes a
 * shortened flag for a whole one, which the next release may make ambiguous.
 */
#include "server/config/args.h"

#include <stdbool.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/base/text.h"
#include "server/config/schema.h"

#define SHOWN_BYTES 48u /* of an argument in an error text */

static const struct args_command commands[] = {
    {
        .flag = "config",
        .placeholder = "FILE",
        .doc = "YAML file to read; STEPD_CONFIG names it too",
    },
    {
        .flag = "check-config",
        .action = CONFIG_CHECK,
        .doc = "check the configuration and exit",
    },
    {
        .flag = "print-config",
        .action = CONFIG_PRINT,
        .doc = "print the configuration, with the source of each value, and exit",
    },
    {
        .flag = "version",
        .action = CONFIG_VERSION,
        .doc = "print the version and exit",
    },
    {
        .flag = "help",
        .action = CONFIG_HELP,
        .doc = "print this and exit",
    },
};

#define COMMANDS (sizeof commands / sizeof commands[0])

/* A flag of the command line: its name, and where its value goes. */
struct flag {
    const struct args_command *command; /* NULL: a row */
    const char **value;                 /* NULL: a command that takes none */
    const char *placeholder;            /* NULL: it needs no value */
};

const struct args_command *args_command_at(size_t index)
{
    return index < COMMANDS ? &commands[index] : NULL;
}

/* Whether the n bytes of name are the flag. */
static bool is_flag(const char *name, size_t n, const char *flag)
{
    return strlen(flag) == n && strncmp(name, flag, n) == 0;
}

static enum stepd_status fail_unknown(const char *argument, struct stepd_error *reterr)
{
    char name[NEAREST_NAME_MAX_BYTES + 1];
    char shown[SHOWN_BYTES];
    struct nearest nearest;
    const size_t bytes = strcspn(argument + 2, "=");
    (void)text_quote(argument, bytes + 2, shown, sizeof shown);
    const size_t kept = bytes < sizeof name ? bytes : sizeof name - 1;
    memcpy(name, argument + 2, kept);
    name[kept] = '\0';
    nearest_init(&nearest, name);
    for (size_t i = 0; i < COMMANDS; i++)
        nearest_offer(&nearest, commands[i].flag);
    for (size_t i = 0; i < CONFIG_KEYS; i++)
        nearest_offer(&nearest, schema_row_at(i)->flag);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "unknown flag %s: %s", shown,
                      nearest_hint(&nearest));
}

/* Finds the flag that an argument ("--name" or "--name=value") gives. */
static bool find_flag(const char *argument, struct args *args, struct flag *ret_flag)
{
    const char *const name = argument + 2;
    const size_t n = strcspn(name, "=");
    for (size_t i = 0; i < COMMANDS; i++) {
        if (is_flag(name, n, commands[i].flag)) {
            *ret_flag = (struct flag){
                .command = &commands[i],
                .value = commands[i].placeholder != NULL ? &args->file : NULL,
                .placeholder = commands[i].placeholder,
            };
            return true;
        }
    }
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct schema_row *const row = schema_row_at(i);
        if (is_flag(name, n, row->flag)) {
            *ret_flag = (struct flag){
                .value = &args->value[i],
                .placeholder = row->type->placeholder,
            };
            return true;
        }
    }
    return false;
}

/* Takes the flag at argv[*at], and its value, which may be the next argument. */
static enum stepd_status take_flag(int argc, char *const argv[], int *at, struct args *args,
                                   struct stepd_error *reterr)
{
    const char *const argument = argv[*at];
    const char *const equals = strchr(argument, '=');
    const char *const next = *at + 1 < argc ? argv[*at + 1] : NULL;
    struct flag flag;
    if (!find_flag(argument, args, &flag))
        return fail_unknown(argument, reterr);
    if (flag.value == NULL && equals != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--%s takes no value",
                          flag.command->flag);
    if (flag.value == NULL) {
        args->action = flag.command->action;
    } else if (equals != NULL) {
        *flag.value = equals + 1;
    } else if (flag.placeholder == NULL) {
        *flag.value = "true";
    } else if (next != NULL && strncmp(next, "--", 2) != 0) {
        *flag.value = next;
        ++*at;
    } else {
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s needs a value: %s %s", argument,
                          argument, flag.placeholder);
    }
    return STEPD_OK;
}

enum stepd_status args_read(int argc, char *const argv[], struct args *ret_args,
                            struct stepd_error *reterr)
{
    struct args args = {.action = CONFIG_RUN};
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "-h") == 0) {
            args.action = CONFIG_HELP;
        } else if (strncmp(argv[at], "--", 2) != 0) {
            char shown[SHOWN_BYTES];
            (void)text_quote(argv[at], strlen(argv[at]), shown, sizeof shown);
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s is no flag; flags begin with --, as in --config FILE", shown);
        } else {
            const enum stepd_status status = take_flag(argc, argv, &at, &args, reterr);
            if (status != STEPD_OK)
                return status;
        }
        if (args.action == CONFIG_HELP || args.action == CONFIG_VERSION)
            break;
    }
    *ret_args = args;
    return STEPD_OK;
}
