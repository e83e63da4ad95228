/* SPDX-License-Identifier: Apache-2.0
 *
 * A YAML file as a tree of nodes that know their lines. Only what a config file needs is YAML here:
 * maps with plain keys, lists and scalars, of bounded size and depth; no anchors, aliases, tags,
 * directives or second documents. So the tree is a tree, and reading it costs no more than its
 * size.
 */
#ifndef CONFIG_DOCUMENT_H
#define CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

#include "proto/arena.h"

#define DOCUMENT_MAX_BYTES   (1u << 20)
#define DOCUMENT_DEPTH_MAX   10u
#define DOCUMENT_ENTRIES_MAX 1024u /* of one map or list */

enum document_kind {
    DOCUMENT_NULL, /* nothing, ~ or null, unquoted */
    DOCUMENT_SCALAR,
    DOCUMENT_LIST,
    DOCUMENT_MAP,
};

/* One node. Everything that it points to lives in the arena of document_parse(). */
struct document_node {
    enum document_kind kind;
    size_t line;                 /* 1 first: where the key stands, or the node if it has none */
    const char *key;             /* in a map; NULL elsewhere */
    const char *text;            /* SCALAR: the text, unquoted; NULL otherwise */
    size_t count;                /* LIST, MAP: entries */
    struct document_node *first; /* LIST, MAP: the first entry */
    struct document_node *last;
    struct document_node *next; /* the next entry of the same list or map */
};

/*
 * Parses n bytes (borrowed until return) into a tree. name is what errors call the file. *ret_root
 * is NULL for a file that says nothing. FAILED_PRECONDITION: no YAML, more than this module takes,
 * or a key given twice; the text begins "name:line: ". RESOURCE_EXHAUSTED: no memory, or more than
 * the arena's cap. Any thread.
 */
enum stepd_status document_parse(const char *name, const char *bytes, size_t n,
                                 struct stepd_arena *arena, const struct document_node **ret_root,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The entry of a map (or of NULL) under a key, or NULL. */
const struct document_node *document_find(const struct document_node *map, const char *key);

/* "a list", "a map", ...: what a node is, for an error text. Static. */
const char *document_kind_name(enum document_kind kind);

/* Fills in FAILED_PRECONDITION with "name:line: " before the text, and returns it. */
enum stepd_status document_fail(const char *name, size_t line, struct stepd_error *reterr,
                                const char *fmt, ...) STEPD_PRINTF(4, 5);

#endif
