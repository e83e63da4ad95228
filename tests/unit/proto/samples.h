/* SPDX-License-Identifier: Apache-2.0
 *
 * One message of each kind in which every field differs from its default, so that a field that an
 * encoder or a decoder forgets is missed by somebody.
 */
#ifndef TESTS_UNIT_PROTO_SAMPLES_H
#define TESTS_UNIT_PROTO_SAMPLES_H

#include "proto/message.h"

#define SAMPLES_COUNT 31u

/* The sample of a kind; static. NULL if there is none. */
const struct stepd_message *sample_message(enum stepd_message_kind kind);

/* The kinds, in the order of the table. */
extern const enum stepd_message_kind sample_kinds[SAMPLES_COUNT];

#endif
