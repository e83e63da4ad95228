/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits of a server, as `stepctl status` shows them.
 */
#ifndef CLIENT_CTL_LIMITS_H
#define CLIENT_CTL_LIMITS_H

#include <jansson.h>

/* Prints all of the list "limits" of a status, as a table. */
void limits_print(const json_t *limits);

/* Prints which of them somebody has met, in one line; nothing where it is none. */
void limits_print_met(const json_t *limits);

#endif
