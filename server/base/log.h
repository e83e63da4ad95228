/* SPDX-License-Identifier: Apache-2.0
 *
 * Events in logfmt, one line each, in one write:
 *
 *     log_event(log, LOG_INFO, "ready", "listen=%s shards=%u", address, shards);
 *     ts=2026-01-31T12:00:00.123Z level=info event=ready listen=127.0.0.1:7070 shards=2
 *
 * The compiler checks the format as printf's; the values are quoted where they need it, so whatever
 * a peer calls itself, a line stays one line and its fields stay apart.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <stepd/status.h>

#define LOG_LINE_MAX_BYTES  2048u /* fields that do not fit are left out, and cut=true says so */
#define LOG_VALUE_MAX_BYTES 512u  /* a quoted value; a longer one ends in ... */

/* X(NAME, name in the log and in the config file), least urgent first */
#define LOG_LEVEL_MAP(X)                                                                           \
    X(DEBUG, debug)                                                                                \
    X(INFO, info)                                                                                  \
    X(WARN, warn)                                                                                  \
    X(ERROR, error)

enum log_level {

#define X(NAME, name) LOG_##NAME,
    LOG_LEVEL_MAP(X)
#undef X
};

/* Where events go. Read by many threads at once; only the level may change while they run. */
struct log {
    FILE *stream; /* borrowed; unbuffered, as stderr is, for lines that survive a crash */
    _Atomic(enum log_level) least;
};

/* stream is borrowed for as long as the log is used; events below least are not written. */
void log_init(struct log *log, FILE *stream, enum log_level least);

/* Events below least are not written from now on. Any thread. */
void log_set_level(struct log *log, enum log_level least);

/*
 * Writes one event. fmt is a list of fields, "key=%u key=word key=%s", with one space between; NULL
 * for none. A value is one conversion (d i u x with l ll z; f e g and s with a precision) or a
 * literal word, nothing glued to it; a NULL string is written as null. log may be NULL: nothing is
 * written. A write that fails is lost silently: there is nowhere to say so. Any thread: lines of
 * several threads do not mix.
 */
void log_event(const struct log *log, enum log_level level, const char *event, const char *fmt, ...)
    STEPD_PRINTF(4, 5);

/*
 * The same with fields that are in logfmt already, values quoted where they need it: "job=mnist
 * rank=3". Facts that do not fit are left out, all of them. Any thread.
 */
void log_facts(const struct log *log, enum log_level level, const char *event, const char *facts);

/* "info": a level's name. Static; any thread. */
const char *log_level_name(enum log_level level);

/* Finds a level by its name; false, and *ret_level untouched, where there is none. Any thread. */
bool log_level_find(const char *name, enum log_level *ret_level);

#endif
