/* SPDX-License-Identifier: Apache-2.0
 *
 * What a launcher tells the one that it has started on another host, through the pipe to its stdin:
 * which ranks it runs, with what command and what environment. So none of it stands on a command
 * line, where a token could be seen by others and a shell would take words apart.
 *
 * Strings with a NUL behind each, the first byte of which says what the rest is:
 *
 *     "stepctl-launch/1"  "f4" "n2" "w8"  "d/home/me"  "eSTEPD_ADDRESS=b:7070" ...  "astepd-train"
 * ...  "." which version      first rank 4, two of 8       settings                    the command
 * end
 *
 * The letters of crew.h follow.
 */
#ifndef CLIENT_CTL_ORDERS_H
#define CLIENT_CTL_ORDERS_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/status.h>

struct orders {
    unsigned first, workers, world;
    const char *folder; /* to run in; NULL: wherever ssh leads to */
    const char **setting;
    size_t settings;
    char **command; /* NULL-terminated */
    char *bytes;    /* owned, like the lists; where all strings are */
};

/* The bytes of orders; settings and command are NULL-terminated lists. *ret_bytes: caller frees.
 * RESOURCE_EXHAUSTED: no memory, or more than a launcher reads. */
enum stepd_status orders_encode(const struct orders *orders, char *const *setting, char **ret_bytes,
                                size_t *ret_count, struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Reads them from a descriptor, up to their end and no byte more; waits for that. INVALID_ARGUMENT:
 * they are none, or of another version of stepctl. UNAVAILABLE: it ends before they do.
 * RESOURCE_EXHAUSTED. *ret_orders: caller ends it with orders_deinit.
 */
enum stepd_status orders_read(int fd, struct orders *ret_orders,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Only of those that were read. */
void orders_deinit(struct orders *orders);

#endif
