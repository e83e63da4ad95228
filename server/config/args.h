/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: --key value or --key=value for every row of the schema, and the few flags that
 * are no values but commands.
 */
#ifndef CONFIG_ARGS_H
#define CONFIG_ARGS_H

#include <stddef.h>

#include <stepd/status.h>

#include "server/config/config.h"

/* A flag that stands in no row. */
struct args_command {
    const char *flag;
    const char *placeholder;   /* of its value; NULL: it takes none */
    enum config_action action; /* what it asks for, if it takes no value */
    const char *doc;
};

/* What the flags say, unread. All borrowed from argv. */
struct args {
    enum config_action action;
    const char *file;               /* of --config; NULL: not given */
    const char *value[CONFIG_KEYS]; /* in the schema's order; NULL: not given */
};

/* The commands, in the order of --help; NULL behind the last. Static. */
const struct args_command *args_command_at(size_t index);

/*
 * Reads argv, argv[0] aside. Of a flag given twice the last counts. --help and --version end the
 * reading. INVALID_ARGUMENT: an unknown flag (names the nearest), a value too few or too many, or
 * an argument that is no flag.
 */
enum stepd_status args_read(int argc, char *const argv[], struct args *ret_args,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
