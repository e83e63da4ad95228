/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of a test's own, gone with it.
 */
#ifndef TESTS_UNIT_DISK_SCRATCH_H
#define TESTS_UNIT_DISK_SCRATCH_H

#include <stdbool.h>

struct scratch {
    char path[64];
};

/* CMocka's setup and teardown: *state is a struct scratch. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* Paths in it; static, good until the eighth call from now. */
const char *scratch_path(const struct scratch *scratch, const char *name);

/* Writes a file there. */
void scratch_write(const struct scratch *scratch, const char *name, const char *text);

/* Is there anything of this name? */
bool scratch_has(const struct scratch *scratch, const char *name);

#endif
