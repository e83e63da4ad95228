/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/shelf.h"
#include "server/persist/portion.h"

/* Links are followed: whoever names a folder may name it by one. */
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC)

/* ---- One level too deep ---------------------------------------------------------------------- */

struct files {
    int folder;
    size_t count;
};

static bool count_file(void *owner, const char *name)
{
    struct files *const files = owner;
    enum arrays_file file = ARRAYS_MODEL;
    uint32_t index = 0;
    uint32_t portions = 0;
    struct stat stat;
    if (strcmp(name, MANIFEST_FILE) == 0 || portion_file_parse(name, &file, &index, &portions))
        files->count +=
            fstatat(files->folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(stat.st_mode);
    return true;
}

/* How many of a checkpoint's files there are in a folder. */
static size_t count_files(int folder)
{
    struct files files = {.folder = folder};
    (void)file_walk(folder, count_file, &files);
    return files.count;
}

struct search {
    int folder;
    bool found;
};

/* False, and found: a checkpoint is in there. */
static bool search_checkpoint(void *owner, const char *name)
{
    struct search *const search = owner;
    struct shelf_checkpoint checkpoint;
    if (!shelf_checkpoint_parse(name, &checkpoint))
        return true;
    const int inner = openat(search->folder, name, FOLDER_FLAGS);
    if (inner < 0)
        return true;
    search->found = count_files(inner) > 0;
    file_close(inner);
    return !search->found;
}

/* Takes away so many of a path's last names; the last one is said first. */
static void cut(char *path, unsigned names)
{
    for (unsigned i = 0; i < names; i++) {
        char *const slash = strrchr(path, '/');
        if (slash == NULL)
            return;
        slash[slash == path ? 1 : 0] = '\0';
    }
}

static enum stepd_status refuse(const char *path, const char *is, unsigned above,
                                struct stepd_error *reterr)
{
    char *const whole = realpath(path, NULL);
    if (whole != NULL)
        cut(whole, above);
    const enum stepd_status status =
        stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                   "%s is %s, and not the folder that the checkpoints of all jobs are kept in: "
                   "that is %s",
                   path, is, whole == NULL ? "above it" : whole);
    free(whole);
    return status;
}

enum stepd_status place_check(const char *path, int folder, struct stepd_error *reterr)
{
    char *const whole = realpath(path, NULL);
    const char *const last = whole == NULL ? NULL : strrchr(whole, '/');
    struct shelf_checkpoint checkpoint;
    const bool is_named = last != NULL && shelf_checkpoint_parse(last + 1, &checkpoint);
    free(whole);
    /* A file of one of these names may be anybody's, where the folder's name is no checkpoint's. */
    if (count_files(folder) >= (is_named ? 1 : 2))
        return refuse(path, "a checkpoint", 2, reterr);
    struct search search = {.folder = folder};
    (void)file_walk(folder, search_checkpoint, &search);
    return search.found ? refuse(path, "the folder of one job", 1, reterr) : STEPD_OK;
}

/* ---- Links ----------------------------------------------------------------------------------- */

struct links {
    const struct store *store;
    const struct log *log; /* may be NULL */
    enum stepd_status status;
    struct stepd_error *reterr;
};

enum leads {
    LEADS_NO_MATTER,      /* to what is no folder with checkpoints */
    LEADS_NOWHERE,        /* there is nothing */
    LEADS_WITHIN,         /* to checkpoints of this store, which are found without it */
    LEADS_TO_CHECKPOINTS, /* to others, or nobody knows where to */
};

/* Where a folder is, by its descriptor. False: the system does not say. */
static bool path_of(int folder, char ret_text[PATH_MAX])
{
    char entry[48];
    (void)stepd_format(entry, sizeof entry, "/proc/self/fd/%d", folder);
    const ssize_t length = readlink(entry, ret_text, PATH_MAX - 1);
    ret_text[length > 0 ? length : 0] = '\0';
    return length > 0 && ret_text[0] == '/';
}

static bool is_within(int folder, int inner)
{
    char outer_path[PATH_MAX];
    char path[PATH_MAX];
    if (!path_of(folder, outer_path) || !path_of(inner, path))
        return false;
    const size_t length = strlen(outer_path);
    return strncmp(path, outer_path, length) == 0 && path[length] == '/';
}

static enum leads where_to(const struct store *store, const char *name)
{
    struct shelf target = {.folder = openat(store_folder(store), name, FOLDER_FLAGS)};
    struct stepd_error error;
    bool holds = false;
    if (target.folder < 0 && errno == ENOENT)
        return LEADS_NOWHERE;
    if (target.folder < 0)
        return errno == ENOTDIR ? LEADS_NO_MATTER : LEADS_TO_CHECKPOINTS;
    const bool known = shelf_holds_any(&target, &holds, &error) == STEPD_OK;
    const bool within = is_within(store_folder(store), target.folder);
    shelf_close(&target);
    if (known && !holds)
        return LEADS_NO_MATTER;
    return within ? LEADS_WITHIN : LEADS_TO_CHECKPOINTS;
}

static void warn(const struct links *links, const char *name, const char *why)
{
    if (links->log != NULL)
        log_event(links->log, LOG_WARN, "link_not_followed", "name=%s why=%s", name, why);
}

static bool check_link(void *owner, const char *name)
{
    struct links *const links = owner;
    struct stat stat;
    if (!store_is_shelf_name(name) ||
        fstatat(store_folder(links->store), name, &stat, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISLNK(stat.st_mode))
        return true;
    switch (where_to(links->store, name)) {
    case LEADS_NO_MATTER: return true;
    case LEADS_NOWHERE: warn(links, name, "it leads nowhere"); return true;
    case LEADS_WITHIN: warn(links, name, "it leads to checkpoints in the same folder"); return true;
    case LEADS_TO_CHECKPOINTS: break;
    }
    links->status = stepd_fail(
        links->reterr, STEPD_FAILED_PRECONDITION,
        "%s in the checkpoint folder is a symbolic link: it is not followed, and its job would "
        "begin anew; put the folder that it leads to in its place, or take the link away",
        name);
    return false;
}

enum stepd_status place_check_links(const struct store *store, const struct log *log,
                                    struct stepd_error *reterr)
{
    struct links links = {.store = store, .log = log, .status = STEPD_OK, .reterr = reterr};
    if (file_walk(store_folder(store), check_link, &links) || links.status != STEPD_OK)
        return links.status;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot list the checkpoint folder: %s",
                      strerror(errno));
}
