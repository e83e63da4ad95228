/* SPDX-License-Identifier: Apache-2.0
 *
 * What list.c (asking) and list_read.c (reading) share.
 */
#ifndef ACCESS_LIST_INTERNAL_H
#define ACCESS_LIST_INTERNAL_H

#include "proto/arena.h"
#include "server/access/list.h"

struct access_entry {
    struct access_entry *next;
    struct access_grant grant;
};

struct access_list {
    struct stepd_arena arena; /* all of the below lives in it */
    struct access_entry *first;
    size_t grants;
};

#endif
