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

/* A copy of count * size bytes, or of none. False: no memory. */
static bool copy_array(const void *array, size_t count, size_t size, void **ret_copy)
{
    *ret_copy = NULL;
    if (array == NULL || count == 0)
        return true;
    *ret_copy = calloc(count, size);
    if (*ret_copy == NULL)
        return false;
    memcpy(*ret_copy, array, count * size);
    return true;
}

static bool copy_text(const char *text, void **ret_copy)
{
    return copy_array(text, text == NULL ? 0 : strlen(text) + 1, sizeof(char), ret_copy);
}

struct order *order_copy(const struct order *like)
{
    struct order *order = order_create(like->kind, like->job_name);
    if (order == NULL)
        return NULL;
    char *const job_name = order->job_name;
    void *checkpoint = NULL;
    void *worker = NULL;
    void *factor = NULL;
    void *ranks = NULL;
    bool copied = copy_text(like->checkpoint, &checkpoint) && copy_text(like->worker, &worker) &&
                  copy_array(like->factor, like->factors, sizeof *like->factor, &factor) &&
                  copy_array(like->rank_list, like->ranks, sizeof *like->rank_list, &ranks);
    *order = *like;
    order->job_name = job_name;
    order->checkpoint = checkpoint;
    order->worker = worker;
    order->factor = factor;
    order->rank_list = ranks;
    order->job = copied && like->job != NULL ? job_ref(like->job) : NULL;
    order->state = copied && like->state != NULL ? job_state_ref(like->state) : NULL;
    order->first = copied && like->first != NULL ? first_weights_ref(like->first) : NULL;
    order->groups = like->groups == NULL ? NULL : group_changes_copy(like->groups);
    copied = copied && (like->groups == NULL || order->groups != NULL);
    return copied ? order : order_destroy(order);
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
    (void)job_state_unref(order->state);
    (void)first_weights_unref(order->first);
    free(order->checkpoint);
    free(order->worker);
    free(order->factor);
    free(order->rank_list);
    (void)group_changes_destroy(order->groups);
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
    free(notice->sum);
    free(notice->later_slice);
    free(notice);
    return NULL;
}
