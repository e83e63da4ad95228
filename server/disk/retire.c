/* SPDX-License-Identifier: Apache-2.0
 *
 * "Last" is by the clock of the file system, when a checkpoint was written: steps do not tell,
 * since a job that went back writes lower ones. A clock that was set back has an older one removed
 * later.
 */
#include "server/disk/retire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/error.h"
#include "server/disk/file.h"
#include "server/persist/checksum.h"

/* Of fewer digits than the checksum that stands behind the '~' of a long name. */
#define ASIDE_MAX 1000000u

struct aged {
    struct shelf_checkpoint checkpoint;
    struct timespec written;
};

static int by_falling_time(const void *a, const void *b)
{
    const struct aged *const one = a, *const other = b;
    if (one->written.tv_sec != other->written.tv_sec)
        return one->written.tv_sec < other->written.tv_sec ? 1 : -1;
    return (one->written.tv_nsec < other->written.tv_nsec) -
           (one->written.tv_nsec > other->written.tv_nsec);
}

/* The checkpoints but that of `step`, the newest first. */
static enum stepd_status list_others(const struct shelf *shelf, uint64_t step,
                                     struct aged **ret_list, size_t *ret_count,
                                     struct stepd_error *reterr)
{
    struct shelf_checkpoint *all = NULL;
    size_t count = 0;
    const enum stepd_status status = shelf_list(shelf, &all, &count, reterr);
    if (status != STEPD_OK)
        return status;
    struct aged *const list = calloc(count + 1, sizeof *list);
    size_t others = 0;
    for (size_t i = 0; i < count && list != NULL; i++) {
        struct stat stat;
        if (all[i].step == step ||
            fstatat(shelf->folder, all[i].name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        list[others++] = (struct aged){.checkpoint = all[i], .written = stat.st_mtim};
    }
    free(all);
    if (list == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a list of checkpoints");
    qsort(list, others, sizeof *list, by_falling_time);
    *ret_list = list;
    *ret_count = others;
    return STEPD_OK;
}

enum stepd_status retire_oldest(const struct shelf *shelf, uint32_t keep, uint64_t step,
                                struct stepd_error *reterr)
{
    struct aged *list = NULL;
    size_t count = 0;
    enum stepd_status status = list_others(shelf, step, &list, &count, reterr);
    for (size_t i = keep - 1; i < count && status == STEPD_OK; i++)
        status = shelf_remove(shelf, list[i].checkpoint.name, reterr);
    free(list);
    return status;
}

/* ---- Another training ------------------------------------------------------------------------ */

enum stepd_status retire_set_aside(const struct store *store, const struct store_shelf_name *name,
                                   const struct log *log, struct stepd_error *reterr)
{
    char aside[STORE_SHELF_BYTES + 16];
    const int folder = store_folder(store);
    for (unsigned i = 1; i < ASIDE_MAX; i++) {
        struct stat stat;
        (void)snprintf(aside, sizeof aside, "%s~%u", name->text, i);
        if (fstatat(folder, aside, &stat, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (renameat(folder, name->text, folder, aside) != 0 || !file_sync_folder(folder))
            break;
        log_event(log, LOG_WARN, "checkpoints_set_aside", "from=%s to=%s", name->text, aside);
        return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "%s: cannot set the checkpoints of another training of this name aside as "
                      "%s: %s",
                      name->text, aside, strerror(errno));
}

bool retire_is_aside(const struct store_shelf_name *name)
{
    const char *const tilde = strrchr(name->text, '~');
    return tilde != NULL && strlen(tilde + 1) < CHECKSUM_TEXT_BYTES - 1;
}

enum stepd_status retire_other_training(const struct store *store,
                                        const struct store_shelf_name *name, uint64_t incarnation,
                                        const struct log *log, struct stepd_error *reterr)
{
    struct shelf shelf;
    struct stepd_error error;
    enum stepd_status status = shelf_open(store, name, &shelf, &error);
    if (status == STEPD_NOT_FOUND)
        return STEPD_OK;
    if (status != STEPD_OK)
        return stepd_fail(reterr, status, "%s", error.text);
    uint64_t highest = 0;
    bool other = false;
    if (shelf_read_incarnation(&shelf, &highest, &error) == STEPD_OK)
        other = highest > incarnation;
    else /* not ours perhaps, and so not to be moved */
        status = shelf_holds_any(&shelf, &other, reterr);
    shelf_close(&shelf);
    return other ? retire_set_aside(store, name, log, reterr) : status;
}
