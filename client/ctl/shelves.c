/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/shelves.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/disk/shelf.h"
#include "server/disk/store.h"
#include "server/persist/portion.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* For rounding up to cache lines, and weights that have not come yet. */
#define SLACK_BYTES (UINT64_C(64) << 20)

static enum stepd_status refuse(const char *path, const char *doing, struct stepd_error *reterr)
{
    return stepd_fail(reterr, errno == ENOENT ? STEPD_NOT_FOUND : STEPD_FAILED_PRECONDITION,
                      "cannot %s %s: %s", doing, path, strerror(errno));
}

static bool is_checkpoint(int folder)
{
    struct stat stat;
    return fstatat(folder, MANIFEST_FILE, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
           !S_ISDIR(stat.st_mode);
}

/* What lies beside a manifest. */
struct files {
    int folder;
    size_t count;
    uint64_t bytes;
};

static bool add_file(void *owner, const char *name)
{
    struct files *const files = owner;
    enum arrays_file file = ARRAYS_MODEL;
    uint32_t index = 0;
    uint32_t portions = 0;
    struct stat stat;
    if (portion_file_parse(name, &file, &index, &portions) &&
        fstatat(files->folder, name, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
        files->count++;
        files->bytes += (uint64_t)stat.st_size;
    }
    return true;
}

static struct files files_of(int folder)
{
    struct files files = {.folder = folder};
    (void)file_walk(folder, add_file, &files);
    return files;
}

int shelves_open(const char *path, struct stepd_error *reterr)
{
    const int folder = open(path, FOLDER_FLAGS);
    if (folder < 0) {
        (void)refuse(path, "open", reterr);
        return -1;
    }
    if (is_checkpoint(folder))
        return folder;
    (void)stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                     "%s is no checkpoint: it has no %s; `stepctl list` shows those in a folder",
                     path, MANIFEST_FILE);
    (void)close(folder);
    return -1;
}

uint64_t shelves_bytes_max(int folder)
{
    return 2 * files_of(folder).bytes + SLACK_BYTES;
}

/* ---- One job --------------------------------------------------------------------------------- */

static enum stepd_status visit_shelf(const struct shelves *shelves, const struct shelf *shelf,
                                     size_t *visited, struct stepd_error *reterr)
{
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    const enum stepd_status status = shelf_list(shelf, &list, &count, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        struct shelves_checkpoint found = {.job = shelf->name.text, .name = list[i].name};
        found.folder = shelf_open_checkpoint(shelf, found.name, &found.error);
        shelves->visit(shelves->owner, &found);
        if (found.folder >= 0)
            (void)close(found.folder);
    }
    *visited += count;
    free(list);
    return STEPD_OK;
}

/* ---- All jobs -------------------------------------------------------------------------------- */

static bool is_meant(const struct shelves *shelves, const char *name)
{
    return shelves->job == NULL || strcmp(shelves->job, name) == 0 ||
           strcmp(store_shelf_name(shelves->job).text, name) == 0;
}

static enum stepd_status visit_all(const struct shelves *shelves, const struct store *store,
                                   size_t *visited, struct stepd_error *reterr)
{
    struct store_shelf_name *name = NULL;
    size_t names = 0;
    enum stepd_status status = store_shelves(store, &name, &names, reterr);
    for (size_t i = 0; i < names && status == STEPD_OK; i++) {
        struct shelf shelf;
        if (!is_meant(shelves, name[i].text))
            continue;
        status = shelf_open(store, &name[i], &shelf, reterr);
        if (status == STEPD_OK) {
            status = visit_shelf(shelves, &shelf, visited, reterr);
            shelf_close(&shelf);
        }
    }
    if (names > 0)
        free(name);
    return status;
}

/* Has the folder checkpoints, being that of one job? */
static bool is_of_a_job(int root)
{
    const struct shelf shelf = {.folder = root};
    struct shelf_checkpoint *list = NULL;
    size_t count = 0;
    struct stepd_error error;
    if (shelf_list(&shelf, &list, &count, &error) != STEPD_OK)
        return false;
    free(list);
    return count > 0;
}

static enum stepd_status visit_any(const struct shelves *shelves, const struct store *store,
                                   size_t *visited, struct stepd_error *reterr)
{
    const int root = store_folder(store);
    if (is_checkpoint(root)) {
        shelves->visit(shelves->owner, &(struct shelves_checkpoint){
                                           .job = "", .name = shelves->path, .folder = root});
        ++*visited;
        return STEPD_OK;
    }
    if (!is_of_a_job(root))
        return visit_all(shelves, store, visited, reterr);
    const struct shelf shelf = {.folder = root}; /* named by the path */
    return visit_shelf(shelves, &shelf, visited, reterr);
}

enum stepd_status shelves_visit(const struct shelves *shelves, struct stepd_error *reterr)
{
    size_t visited = 0;
    struct store *store = NULL;
    enum stepd_status status = store_open_to_read(shelves->path, &store, reterr);
    if (status != STEPD_OK)
        return status;
    status = visit_any(shelves, store, &visited, reterr);
    const bool bare = files_of(store_folder(store)).count > 0;
    (void)store_close(store);
    if (status == STEPD_OK && visited == 0 && bare)
        status = stepd_fail(reterr, STEPD_NOT_FOUND, "%s is a checkpoint without its %s",
                            shelves->path, MANIFEST_FILE);
    else if (status == STEPD_OK && visited == 0)
        status = stepd_fail(reterr, STEPD_NOT_FOUND, "there is no checkpoint%s%s in %s",
                            shelves->job == NULL ? "" : " of job ",
                            shelves->job == NULL ? "" : shelves->job, shelves->path);
    return status;
}
