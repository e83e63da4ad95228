/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of a job, as people read them.
 */
#ifndef CLIENT_CTL_CHANGES_H
#define CLIENT_CTL_CHANGES_H

#include <jansson.h>

/* Prints the answer of ask_change or ask_changes: a line for each difference of each record. */
void changes_print(const json_t *changes);

#endif
