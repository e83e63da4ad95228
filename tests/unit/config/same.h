/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing configs: what is printed must load to the same, and defaults must be what is said.
 */
#ifndef TESTS_UNIT_CONFIG_SAME_H
#define TESTS_UNIT_CONFIG_SAME_H

#include "server/config/config.h"

/* Fails the test unless all keys but the jobs have the same values. */
void same_assert_values(const struct config *a, const struct config *b);

/* Fails the test unless two jobs say the same, numbers to the bit. */
void same_assert_job(const struct config_job *a, const struct config_job *b);

#endif
