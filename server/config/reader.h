/* SPDX-License-Identifier: Apache-2.0
 *
 * What the maps of jobs and groups are read with: keys that are known, settings that are not, and
 * errors that say where. Every function that fails returns FAILED_PRECONDITION with the text
 * `file:line: job "x": group "y": ...`, or RESOURCE_EXHAUSTED where there is no memory.
 */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "proto/message.h"
#include "server/config/document.h"

struct config_setting_line;

#define READER_SHOWN_BYTES 44u /* of a name or value in an error text, quotes included */

/* Where the reading is, and where its results and errors go. All borrowed. */
struct reader {
    const char *file;
    struct stepd_arena *arena;
    struct stepd_error *reterr;
    const char *job;   /* its name, once known, or NULL */
    const char *group; /* likewise */
    size_t part;       /* line of the job, of its defaults or of the group that it is in */
    struct config_setting_line **settings; /* where settings are noted, the newest first */
};

/* A key that a map knows, and how its node is read into what the map stands for. */
struct reader_key {
    const char *name;
    bool required;
    enum stepd_status (*read)(const struct reader *reader, const struct document_node *node,
                              void *owner);
};

struct reader_keys {
    size_t count;
    const struct reader_key *at;
};

/* A text as it may stand in an error: quoted, and not too long. */
struct reader_shown {
    char text[READER_SHOWN_BYTES];
};

/* Quotes text into *shown and returns shown->text. */
const char *reader_show(const char *text, struct reader_shown *shown);

/* FAILED_PRECONDITION with the place in front of the text. */
enum stepd_status reader_fail(const struct reader *reader, size_t line, const char *fmt, ...)
    STEPD_PRINTF(3, 4);

/* RESOURCE_EXHAUSTED. */
enum stepd_status reader_fail_memory(const struct reader *reader);

/* Fails unless the node is of this kind. */
enum stepd_status reader_require_kind(const struct reader *reader, const struct document_node *node,
                                      enum document_kind kind) STEPD_MUST_CHECK;

/* A text of 1 to STEPD_NAME_MAX_BYTES clean bytes, as all names on the wire are. */
enum stepd_status reader_name(const struct reader *reader, const struct document_node *node,
                              const char **ret_name) STEPD_MUST_CHECK;

/* A whole number from least to most. */
enum stepd_status reader_whole(const struct reader *reader, const struct document_node *node,
                               uint64_t least, uint64_t most, uint64_t *ret_value) STEPD_MUST_CHECK;

/* The same for a most that 32 bits hold. */
enum stepd_status reader_whole_u32(const struct reader *reader, const struct document_node *node,
                                   uint32_t least, uint32_t most,
                                   uint32_t *ret_value) STEPD_MUST_CHECK;

/* true or false. */
enum stepd_status reader_switch(const struct reader *reader, const struct document_node *node,
                                bool *ret_value) STEPD_MUST_CHECK;

/* The value under the key "name", where a later reader_name() will find it in order; else NULL. */
const char *reader_name_in(const struct document_node *map);

/*
 * The entries of a map, each by its key, into owner. A key that is not in the table is a setting,
 * a number, a list of them, or a word, where settings is not NULL; otherwise it is an error that
 * names the nearest key. So is a required key that does not stand in the map.
 */
enum stepd_status reader_map(const struct reader *reader, const struct document_node *map,
                             const struct reader_keys *keys, void *owner,
                             struct stepd_settings *settings) STEPD_MUST_CHECK;

#endif
