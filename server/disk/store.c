/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/store.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/place.h"
#include "server/disk/shelf.h"
#include "server/persist/checksum.h"
#include "server/persist/portion.h"

/* A name that takes more stands cut, with its checksum: no file system takes more than 255. */
#define PLAIN_MAX (STORE_SHELF_BYTES - 1 - CHECKSUM_TEXT_BYTES)

struct store {
    int folder; /* owned, as is the lock */
    int lock;   /* -1: it is only read */
};

/* ---- Names ----------------------------------------------------------------------------------- */

/* '~' is before a checksum alone. */
static bool is_plain(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* A folder that was called as a file is that we keep, or as a checkpoint, would be taken for it. */
static bool is_reserved(const char *name)
{
    static const char *const ours[] = {STORE_LOCK_FILE, SHELF_INCARNATION_FILE, MANIFEST_FILE};
    struct shelf_checkpoint checkpoint;
    enum arrays_file file = ARRAYS_MODEL;
    uint32_t index = 0;
    uint32_t portions = 0;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    return portion_file_parse(name, &file, &index, &portions) ||
           shelf_checkpoint_parse(name, &checkpoint);
}

/* False: it takes more room. No text begins with a dot, so that none is "..", or hidden, and none
 * is reserved. */
static bool escape(const char *name, size_t room, char *text)
{
    const bool whole = name[0] != '.' && !is_reserved(name);
    size_t length = 0;
    for (const char *at = name; *at != '\0'; at++) {
        const bool plain = is_plain(*at) && (whole || at > name);
        const size_t needed = plain ? 1 : 3;
        if (length + needed >= room)
            return false;
        if (plain)
            text[length] = *at;
        else
            (void)snprintf(&text[length], 4, "%%%02X", (unsigned)(unsigned char)*at);
        length += needed;
    }
    text[length] = '\0';
    return true;
}

struct store_shelf_name store_shelf_name(const char *job_name)
{
    struct store_shelf_name name = {.text = ""};
    if (escape(job_name, sizeof name.text, name.text))
        return name;
    char head[PLAIN_MAX / 3];
    (void)snprintf(head, sizeof head, "%s", job_name);
    (void)escape(head, PLAIN_MAX, name.text);
    const size_t length = strlen(name.text);
    name.text[length] = '~';
    checksum_of(job_name, strlen(job_name), &name.text[length + 1]);
    return name;
}

/* ---- The store ------------------------------------------------------------------------------- */

static enum stepd_status refuse(const char *path, const char *doing, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot %s the checkpoint folder %s: %s",
                      doing, path, strerror(errno));
}

static enum stepd_status take_lock(struct store *store, const char *path,
                                   struct stepd_error *reterr)
{
    store->lock =
        openat(store->folder, STORE_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock < 0)
        return refuse(path, "write to", reterr);
    if (flock(store->lock, LOCK_EX | LOCK_NB) == 0)
        return STEPD_OK;
    if (errno != EWOULDBLOCK)
        return refuse(path, "lock", reterr);
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "another stepd keeps its checkpoints in %s; end it, or give this one a folder "
        "of its own",
        path);
}

enum stepd_status store_open_to_read(const char *path, struct store **ret_store,
                                     struct stepd_error *reterr)
{
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 && errno == ENOENT)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "there is no folder %s", path);
    if (folder < 0)
        return refuse(path, "open", reterr);
    struct store *const store = malloc(sizeof *store);
    if (store == NULL) {
        file_close(folder);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %s", path);
    }
    *store = (struct store){.folder = folder, .lock = -1};
    *ret_store = store;
    return STEPD_OK;
}

enum stepd_status store_open(const char *path, struct store **ret_store, struct stepd_error *reterr)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return refuse(path, "make", reterr);
    struct store *store = NULL;
    enum stepd_status status = store_open_to_read(path, &store, reterr);
    if (status != STEPD_OK)
        return status;
    status = place_check(path, store->folder, reterr);
    if (status == STEPD_OK)
        status = take_lock(store, path, reterr);
    if (status != STEPD_OK) {
        (void)store_close(store);
        return status;
    }
    *ret_store = store;
    return STEPD_OK;
}

struct store *store_close(struct store *store)
{
    if (store == NULL)
        return NULL;
    if (store->lock >= 0)
        file_close(store->lock);
    if (store->folder >= 0)
        file_close(store->folder);
    free(store);
    return NULL;
}

int store_folder(const struct store *store)
{
    return store->folder;
}

static int compare_names(const void *a, const void *b)
{
    const struct store_shelf_name *const one = a, *const other = b;
    return strcmp(one->text, other->text);
}

bool store_is_shelf_name(const char *name)
{
    const size_t length = strlen(name);
    return name[0] != '.' && length < STORE_SHELF_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%~") ==
               length;
}

struct list {
    int folder;
    struct store_shelf_name *shelf;
    size_t count;
    bool full;
};

/* Appends the name of a folder, if it is one of a shelf. False, and full: no memory. */
static bool add_shelf(void *owner, const char *name)
{
    struct list *const list = owner;
    struct stat stat;
    if (!store_is_shelf_name(name) ||
        fstatat(list->folder, name, &stat, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(stat.st_mode))
        return true;
    struct store_shelf_name *const longer =
        realloc(list->shelf, (list->count + 1) * sizeof *longer);
    list->full = longer == NULL;
    if (list->full)
        return false;
    list->shelf = longer;
    (void)snprintf(longer[list->count++].text, sizeof longer->text, "%s", name);
    return true;
}

enum stepd_status store_shelves(const struct store *store, struct store_shelf_name **ret_shelf,
                                size_t *ret_shelves, struct stepd_error *reterr)
{
    struct list list = {.folder = store->folder};
    if (!file_walk(store->folder, add_shelf, &list)) {
        free(list.shelf);
        return list.full
                   ? stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a list of jobs")
                   : stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot list the checkpoint folder: %s",
                                strerror(errno));
    }
    if (list.count > 0)
        qsort(list.shelf, list.count, sizeof *list.shelf, compare_names);
    *ret_shelf = list.shelf;
    *ret_shelves = list.count;
    return STEPD_OK;
}
