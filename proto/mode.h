/* SPDX-License-Identifier: Apache-2.0
 *
 * The modes of jobs by their names, which are the same in files, flags, logs and texts.
 */
#ifndef PROTO_MODE_H
#define PROTO_MODE_H

#include <stdbool.h>

#include <stepd/types.h>

#define STEPD_MODES 3u

/* "sync", "async", "bounded". Static. */
const char *stepd_mode_name(enum stepd_mode mode);

/* False: no mode has this name. */
bool stepd_mode_find(const char *name, enum stepd_mode *ret_mode);

#endif
