/* SPDX-License-Identifier: Apache-2.0
 *
 * config_load() takes a path, so every text goes through a file of its own in the temporary folder.
 */
#include "tests/unit/config/loading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX (LOADING_WORDS_MAX + 4u)

/* Writes the file and leaves its name in path. */
static void write_file(const struct loading *loading, char *path)
{
    const size_t n = loading->yaml_bytes > 0 ? loading->yaml_bytes : strlen(loading->yaml);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *const file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(loading->yaml, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Copies words, which config_load() takes as char *, and returns how many. */
static size_t copy_words(const char *const *words, char **ret_copies)
{
    size_t count = 0;
    for (; words[count] != NULL; count++) {
        ret_copies[count] = strdup(words[count]);
        assert_non_null(ret_copies[count]);
    }
    ret_copies[count] = NULL;
    return count;
}

static void free_words(char **words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        free(words[i]);
}

enum stepd_status loading_run(const struct loading *loading, struct config *ret_config,
                              struct stepd_error *reterr)
{
    char path[] = "/tmp/stepd_unit_config_XXXXXX";
    char program[] = "stepd";
    char config_flag[] = "--config";
    char *arguments[ARGUMENTS_MAX] = {program};
    char *environment[LOADING_WORDS_MAX + 1];
    size_t argc = 1;
    if (loading->yaml != NULL) {
        write_file(loading, path);
        arguments[argc++] = config_flag;
        arguments[argc++] = path;
    }
    char **const flags = arguments + argc;
    argc += copy_words(loading->flag, flags);
    (void)copy_words(loading->environment, environment);
    const enum stepd_status status =
        config_load((int)argc, arguments, environment, ret_config, reterr);
    free_words(flags);
    free_words(environment);
    if (loading->yaml != NULL)
        (void)unlink(path);
    return status;
}

enum stepd_status loading_run_yaml(const char *yaml, struct config *ret_config,
                                   struct stepd_error *reterr)
{
    return loading_run(&(struct loading){.yaml = yaml}, ret_config, reterr);
}

void loading_assert_holds(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL)
        fail_msg("'%s' does not hold '%s'", text, wanted);
}
