/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading a config from texts that stand in a test: a file, variables, flags.
 */
#ifndef TESTS_UNIT_CONFIG_LOADING_H
#define TESTS_UNIT_CONFIG_LOADING_H

#include <stddef.h>

#include <stepd/status.h>

#include "server/config/config.h"

#define LOADING_WORDS_MAX 8u

/* What is loaded. yaml NULL: no file. The lists end with NULL. */
struct loading {
    const char *yaml;
    size_t yaml_bytes; /* 0: strlen(yaml) */
    const char *environment[LOADING_WORDS_MAX];
    const char *flag[LOADING_WORDS_MAX];
};

/*
 * Writes the file to a temporary one, calls config_load() with --config for it, and removes it. The
 * caller frees *ret_config with config_deinit() on success.
 */
enum stepd_status loading_run(const struct loading *loading, struct config *ret_config,
                              struct stepd_error *reterr);

/* The same, of a file alone. */
enum stepd_status loading_run_yaml(const char *yaml, struct config *ret_config,
                                   struct stepd_error *reterr);

/* Fails the test unless the text holds what is wanted. */
void loading_assert_holds(const char *text, const char *wanted);

#endif
