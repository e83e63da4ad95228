/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker makes of its launcher's environment: the cases of tests/lib/launchers.txt, which
 * the Python package is held to as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/launcher.h"

enum { LINE_BYTES = 400, VARIABLES = 16, CASES_LEAST = 20 };

/* "alone ADDRESS", "RANK WORLD ADDRESS" or "refused". */
static void write_found(char *const *environment, char *text, size_t size)
{
    struct stepd_place place;
    struct stepd_error error;
    char buffer[STEPD_LAUNCHER_ADDRESS_BYTES];
    if (stepd_launcher_find(environment, &place, &error) != STEPD_OK) {
        assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
        (void)snprintf(text, size, "refused");
        return;
    }
    const char *const address = stepd_launcher_address(environment, buffer);
    if (place.found)
        (void)snprintf(text, size, "%u %u %s", (unsigned)place.rank, (unsigned)place.world,
                       address);
    else
        (void)snprintf(text, size, "alone %s", address);
}

/* Cuts the words in front of the bar into an environment. Returns what stands behind it. */
static const char *read_case(char *line, char *environment[VARIABLES])
{
    char *const bar = strchr(line, '|');
    size_t count = 0;
    char *state = NULL;
    line[strcspn(line, "\n")] = '\0';
    assert_non_null(bar);
    assert_int_equal(bar[1], ' ');
    *bar = '\0';
    for (char *word = strtok_r(line, " ", &state); word != NULL;
         word = strtok_r(NULL, " ", &state)) {
        assert_true(count + 1 < VARIABLES);
        environment[count++] = word;
    }
    environment[count] = NULL;
    return bar + 2;
}

static void launcher__of_each_case__says_what_is_written(void **state)
{
    char line[LINE_BYTES], shown[LINE_BYTES], found[LINE_BYTES];
    char *environment[VARIABLES];
    size_t cases = 0;
    FILE *const file = fopen(LAUNCHERS, "r");
    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        (void)snprintf(shown, sizeof shown, "%s", line);
        const char *const wanted = read_case(line, environment);
        write_found(environment, found, sizeof found);
        if (strcmp(found, wanted) != 0)
            fail_msg("%sfound: %s", shown, found);
        cases++;
    }
    assert_int_equal(fclose(file), 0);
    assert_true(cases >= CASES_LEAST);
}

static void address__with_a_host_too_long__is_the_default(void **state)
{
    static char host[STEPD_LAUNCHER_ADDRESS_BYTES + 20] = "MASTER_ADDR=";
    static char rank[] = "RANK=0", world[] = "WORLD_SIZE=2", local[] = "LOCAL_WORLD_SIZE=1";
    char *const environment[] = {host, rank, world, local, NULL};
    char buffer[STEPD_LAUNCHER_ADDRESS_BYTES];
    (void)state;
    memset(host + strlen(host), 'h', sizeof host - 1 - strlen(host));
    assert_string_equal(stepd_launcher_address(environment, buffer), STEPD_LAUNCHER_ADDRESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(launcher__of_each_case__says_what_is_written),
        cmocka_unit_test(address__with_a_host_too_long__is_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
