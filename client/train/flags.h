/* SPDX-License-Identifier: Apache-2.0
 *
 * A command line as a table: each flag has its name, argument, help text, how to read its value and
 * where to put it. `--flag value` and `--flag=value` are the same. A command may have several
 * tables, each with a struct of its own that its flags fill; the first one that knows a flag has
 * it.
 */
#ifndef TRAIN_FLAGS_H
#define TRAIN_FLAGS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

struct flag;

/* Puts a value into the table's target. INVALID_ARGUMENT: the text names flag and value. */
typedef enum stepd_status flag_read_fn(const struct flag *flag, const char *value, void *target,
                                       struct stepd_error *reterr);

struct flag {
    const char *name;
    const char *argument; /* NULL: a switch, which takes none */
    const char *help;
    flag_read_fn *read;
    size_t offset;   /* in the target, for the readers that store one field */
    uint64_t least;  /* for numbers */
    uint64_t most;   /* for numbers */
    const char *key; /* for parameters: their name toward the server */
    unsigned marks;  /* bits, of whatever meaning the table's owner gives them */
};

struct flag_table {
    const struct flag *flag;
    size_t count;
    void *target;
    unsigned marks; /* only flags that bear one of these; 0: all */
};

/* A command line, and what to look out for in it. */
struct flag_line {
    int argc;
    char *const *argv; /* borrowed; NULL follows the last */
    unsigned note;     /* marks */
};

/*
 * Reads argv[1] and what follows. *ret_noted: the first flag that was given and bears a mark of
 * line->note, or NULL. Strings among the fields are borrowed from argv. INVALID_ARGUMENT: the text
 * names the flag.
 */
enum stepd_status flags_read(const struct flag_table *tables, size_t count,
                             const struct flag_line *line, const struct flag **ret_noted,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes name, argument and help of each flag of a table, for people. */
void flags_print(FILE *out, const struct flag_table *table);

/* The field that a flag fills. */
void *flag_field(const struct flag *flag, void *target);

/* "--mode 'maybe': expected sync|async|bounded". INVALID_ARGUMENT. */
enum stepd_status flag_fail(const struct flag *flag, const char *value, const char *expected,
                            struct stepd_error *reterr);

/*
 * Reads "128" or "64,32,0,16": whole numbers from the flag's least to its most. numbers: room for
 * `most` of them. INVALID_ARGUMENT: the text names the flag; *ret_count is 0 then.
 */
enum stepd_status flag_list(const struct flag *flag, const char *value, size_t most,
                            uint32_t *numbers, size_t *ret_count,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Readers: a switch (bool), a text that is not empty (const char *), a whole number from least to
 * most (uint64_t). */
flag_read_fn flag_read_switch;
flag_read_fn flag_read_text;
flag_read_fn flag_read_number;

#endif
