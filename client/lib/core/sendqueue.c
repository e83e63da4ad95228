/* SPDX-License-Identifier: Apache-2.0
 *
 * A list that is kept in order. A new item stops behind the last one that it may not pass, so no
 * two items that must keep their order can be turned round by a third. Few frames wait at a time,
 * which makes the walk short: what a worker has to send in a step is some dozens of frames.
 */
#include "client/lib/core/sendqueue.h"

#include <stdbool.h>
#include <stddef.h>

static bool may_pass(const struct stepd_sendqueue_item *item,
                     const struct stepd_sendqueue_item *other)
{
    const bool of_later_clock = other->clock != 0 && item->clock > other->clock;
    return item->priority > other->priority && !of_later_clock;
}

void stepd_sendqueue_add(struct stepd_sendqueue *queue, struct stepd_sendqueue_item *item)
{
    struct stepd_sendqueue_item **at = &queue->first;
    for (struct stepd_sendqueue_item **to = at; *to != NULL; to = &(*to)->next) {
        if (!may_pass(item, *to))
            at = &(*to)->next;
    }
    item->next = *at;
    *at = item;
}

struct stepd_sendqueue_item *stepd_sendqueue_take(struct stepd_sendqueue *queue)
{
    struct stepd_sendqueue_item *const item = queue->first;
    if (item == NULL)
        return NULL;
    queue->first = item->next;
    item->next = NULL;
    return item;
}
