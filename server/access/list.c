/* SPDX-License-Identifier: Apache-2.0
 *
 * What is asked of a list that was read (list_read.c).
 */
#include <stdlib.h>
#include <string.h>

#include "server/access/list_internal.h"
#include "server/base/glob.h"

static const char *const role_names[] = {
#define X(NAME, name) [ACCESS_##NAME] = #name,
    ACCESS_ROLE_MAP(X)
#undef X
};

#define ROLES (sizeof role_names / sizeof role_names[0])

struct access_list *access_list_destroy(struct access_list *list)
{
    if (list == NULL)
        return NULL;
    stepd_arena_deinit(&list->arena);
    free(list);
    return NULL;
}

size_t access_list_count(const struct access_list *list)
{
    return list->grants;
}

const struct access_grant *access_list_find(const struct access_list *list,
                                            const uint8_t hash[TOKEN_HASH_BYTES])
{
    const struct access_grant *found = NULL;
    for (const struct access_entry *entry = list->first; entry != NULL; entry = entry->next)
        found = token_hash_equal(entry->grant.hash, hash) && entry->grant.certificate == NULL
                    ? &entry->grant
                    : found;
    return found;
}

const struct access_grant *access_list_find_name(const struct access_list *list, const char *name)
{
    const struct access_entry *entry = list->first;
    while (entry != NULL &&
           (entry->grant.certificate == NULL || strcmp(entry->grant.certificate, name) != 0))
        entry = entry->next;
    return entry == NULL ? NULL : &entry->grant;
}

const struct access_grant *access_list_find_like(const struct access_list *list,
                                                 const struct access_grant *grant)
{
    return grant->certificate == NULL ? access_list_find(list, grant->hash)
                                      : access_list_find_name(list, grant->certificate);
}

bool access_grant_covers(const struct access_grant *grant, const char *job)
{
    uint64_t steps = 0;
    bool covers = job[0] == '\0';
    for (size_t i = 0; i < grant->jobs && !covers; i++)
        covers = glob_matches(grant->job[i], job, &steps);
    return covers;
}

bool access_grant_is_over(const struct access_grant *grant, int64_t unix_s)
{
    return unix_s >= grant->until_s;
}

const char *access_role_name(enum access_role role)
{
    return role_names[role];
}

bool access_role_find(const char *name, enum access_role *ret_role)
{
    for (size_t i = 0; i < ROLES; i++) {
        if (strcmp(role_names[i], name) == 0) {
            *ret_role = (enum access_role)i;
            return true;
        }
    }
    return false;
}
