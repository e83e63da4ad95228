/* SPDX-License-Identifier: Apache-2.0
 *
 * The key `init_from` of a job: the path of a file alone, or a map that also says which tensors are
 * taken from it and what they are called there.
 */
#ifndef CONFIG_INIT_FROM_H
#define CONFIG_INIT_FROM_H

#include <stdio.h>

#include <stepd/status.h>

#include "server/config/config.h"
#include "server/config/document.h"
#include "server/config/reader.h"

/* Of a job that begins as it is defined. */
#define INIT_FROM_NOTHING                                                                          \
    {                                                                                              \
        .file = "", .naming = {.remove_prefix = "", .add_prefix = "" }                             \
    }

/* The keys of its map. */
extern const struct reader_keys init_from_keys;

/* What stands under the key. Errors as those of reader.h. */
enum stepd_status init_from_read(const struct reader *reader, const struct document_node *node,
                                 struct config_init_from *ret_init_from) STEPD_MUST_CHECK;

/* Writes the key, or nothing where there is no file. */
void init_from_write(const struct config_init_from *init_from, FILE *stream);

#endif
