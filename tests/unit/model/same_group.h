/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing groups to the bit: what goes to disk, or to another daemon, must come back the same.
 */
#ifndef TESTS_UNIT_MODEL_SAME_GROUP_H
#define TESTS_UNIT_MODEL_SAME_GROUP_H

#include "server/model/group.h"

/* Fails the test unless two groups say the same, numbers to the bit. */
void same_group_assert(const struct group *a, const struct group *b);

#endif
