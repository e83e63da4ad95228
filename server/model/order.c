/* SPDX-License-Identifier: Apache-2.0
 *
 * Making and freeing orders and notices. Every pointer in them is owned, so a queue that is torn
 * down with orders still in it loses nothing: it destroys them.
 */
#include "server/model/order.h"

#include <stdlib.h>
#include <string.h>

struct order *order_create(enum order_kind kind, const char *job_name)
{
    struct order *order = calloc(1, sizeof *order);
    char *name = strdup(job_name);
    if (order == NULL || name == NULL) {
        free(order);
        free(name);
        return NULL;
    }
    order->kind = kind;
    order->job_name = name;
    return order;
}

struct notice *notice_create(enum notice_kind kind, const char *job_name)
{
    struct notice *notice = calloc(1, sizeof *notice);
    char *name = strdup(job_name);
    if (notice == NULL || name == NULL) {
        free(notice);
        free(name);
        return NULL;
    }
    notice->kind = kind;
    notice->job_name = name;
    return notice;
}

struct order *order_destroy(struct order *order)
{
    if (order == NULL)
        return NULL;
    free(order->job_name);
    (void)job_unref(order->job);
    free(order->worker);
    free(order);
    return NULL;
}

struct notice *notice_destroy(struct notice *notice)
{
    if (notice == NULL)
        return NULL;
    free(notice->job_name);
    free(notice->rank);
    free(notice->clock);
    free(notice);
    return NULL;
}
