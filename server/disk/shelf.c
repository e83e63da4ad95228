/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/shelf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/control/snapshot.h"
#include "server/disk/file.h"

#define NEW          ".new-"
#define OLD          ".old-"
#define HIDDEN_BYTES (sizeof NEW + STEPD_CHECKPOINT_NAME_BYTES)
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define NUMBER_BYTES 24u /* an incarnation and its newline */
#define APART_DIGITS 16u /* of an attempt of its own, behind a '~' */

/* What there is to be done about it; "": nothing that we know of. */
static const char *remedy(int cause)
{
    switch (cause) {
    case EACCES:
    case EPERM:
    case EROFS: return "; let the daemon's user read and write there";
    case EDQUOT:
    case ENOSPC: return "; make room on its disk";
    case ELOOP:
    case ENOTDIR: return "; it must be a folder, and no symbolic link";
    default: return "";
    }
}

/* "mnist/step-00001200: cannot open it: No space left on device; make room on its disk" */
static enum stepd_status refuse(const struct shelf *shelf, const char *name, const char *doing,
                                struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s%s%s: cannot %s it: %s%s", shelf->name.text,
                      name[0] == '\0' ? "" : "/", name, doing, strerror(errno), remedy(errno));
}

/* ---- Names ----------------------------------------------------------------------------------- */

struct shelf_checkpoint shelf_checkpoint_of(uint64_t step)
{
    struct shelf_checkpoint checkpoint = {.step = step};
    (void)snprintf(checkpoint.name, sizeof checkpoint.name, "step-%08" PRIu64, step);
    return checkpoint;
}

bool shelf_checkpoint_parse(const char *name, struct shelf_checkpoint *ret_checkpoint)
{
    if (strncmp(name, "step-", 5) != 0 || !isdigit((unsigned char)name[5]))
        return false;
    errno = 0;
    char *end = NULL;
    const unsigned long long step = strtoull(&name[5], &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_checkpoint = shelf_checkpoint_of(step);
    return strcmp(ret_checkpoint->name, name) == 0;
}

/* Reads the name of one that was begun, apart or not. */
static bool parse_begun(const char *name, struct shelf_checkpoint *ret_checkpoint, bool *ret_apart)
{
    const char *const tilde = strchr(name, '~');
    const size_t length = tilde == NULL ? strlen(name) : (size_t)(tilde - name);
    char bare[HIDDEN_BYTES];
    *ret_apart = tilde != NULL;
    if (length >= sizeof bare || strncmp(name, NEW, strlen(NEW)) != 0 ||
        (tilde != NULL && (strlen(tilde + 1) != APART_DIGITS ||
                           strspn(tilde + 1, "0123456789abcdef") != APART_DIGITS)))
        return false;
    (void)snprintf(bare, sizeof bare, "%.*s", (int)length, name);
    return shelf_checkpoint_parse(&bare[strlen(NEW)], ret_checkpoint);
}

static void hidden(char text[HIDDEN_BYTES], const char *prefix, const char *name)
{
    (void)snprintf(text, HIDDEN_BYTES, "%s%s", prefix, name);
}

/* ---- Listing --------------------------------------------------------------------------------- */

struct list {
    struct shelf_checkpoint *checkpoint;
    size_t count;
};

static bool add(void *owner, const char *name)
{
    struct list *const list = owner;
    struct shelf_checkpoint checkpoint;
    if (!shelf_checkpoint_parse(name, &checkpoint))
        return true;
    struct shelf_checkpoint *const longer =
        realloc(list->checkpoint, (list->count + 1) * sizeof *longer);
    if (longer == NULL)
        return false;
    list->checkpoint = longer;
    list->checkpoint[list->count++] = checkpoint;
    return true;
}

static int by_falling_step(const void *a, const void *b)
{
    const struct shelf_checkpoint *const one = a, *const other = b;
    return (one->step < other->step) - (one->step > other->step);
}

enum stepd_status shelf_list(const struct shelf *shelf, struct shelf_checkpoint **ret_list,
                             size_t *ret_count, struct stepd_error *reterr)
{
    struct list list = {.count = 0};
    if (!file_walk(shelf->folder, add, &list)) {
        free(list.checkpoint);
        return refuse(shelf, "", "list", reterr);
    }
    if (list.count > 0)
        qsort(list.checkpoint, list.count, sizeof *list.checkpoint, by_falling_step);
    *ret_list = list.checkpoint;
    *ret_count = list.count;
    return STEPD_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

enum stepd_status shelf_open(const struct store *store, const struct store_shelf_name *name,
                             struct shelf *ret_shelf, struct stepd_error *reterr)
{
    *ret_shelf = (struct shelf){.name = *name};
    ret_shelf->folder = openat(store_folder(store), name->text, FOLDER_FLAGS);
    if (ret_shelf->folder >= 0)
        return STEPD_OK;
    if (errno == ENOENT)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "there is no checkpoint of '%s'", name->text);
    return refuse(ret_shelf, "", "open", reterr);
}

/* ---- Clearing -------------------------------------------------------------------------------- */

/* Is it, as hidden() makes it, of a checkpoint that was begun or is going? */
static bool is_half_checkpoint(const char *name)
{
    struct shelf_checkpoint checkpoint;
    bool apart = false;
    const bool going = strncmp(name, OLD, strlen(OLD)) == 0;
    return parse_begun(name, &checkpoint, &apart) ||
           (going && shelf_checkpoint_parse(&name[strlen(OLD)], &checkpoint));
}

/* What is of another kind than what we make under that name is somebody else's. */
static bool remove_half(void *owner, const char *name)
{
    const struct shelf *const shelf = owner;
    if (strcmp(name, NEW SHELF_INCARNATION_FILE) == 0)
        return unlinkat(shelf->folder, name, 0) == 0 || errno == EISDIR || errno == ENOENT;
    /* ENOTEMPTY: another daemon has just made a file in one that was given up. */
    return !is_half_checkpoint(name) || file_remove_folder(shelf->folder, name) ||
           errno == ENOTDIR || errno == ENOTEMPTY;
}

static bool find_any(void *owner, const char *name)
{
    bool *const found = owner;
    struct shelf_checkpoint checkpoint;
    *found = shelf_checkpoint_parse(name, &checkpoint);
    return !*found;
}

enum stepd_status shelf_holds_any(const struct shelf *shelf, bool *ret_holds,
                                  struct stepd_error *reterr)
{
    *ret_holds = false;
    const bool walked = file_walk(shelf->folder, find_any, ret_holds);
    return walked || *ret_holds ? STEPD_OK : refuse(shelf, "", "list", reterr);
}

/* An incarnation is written down before a first checkpoint is begun. */
static bool is_own(const struct shelf *shelf)
{
    struct stat stat;
    bool holds = false;
    (void)file_walk(shelf->folder, find_any, &holds);
    return holds ||
           (fstatat(shelf->folder, SHELF_INCARNATION_FILE, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(stat.st_mode));
}

enum stepd_status shelf_clear(const struct shelf *shelf, struct stepd_error *reterr)
{
    if (!is_own(shelf) || file_walk(shelf->folder, remove_half, (void *)(uintptr_t)shelf))
        return STEPD_OK;
    return refuse(shelf, "", "clear", reterr);
}

/* ---- Opening to write ------------------------------------------------------------------------ */

enum stepd_status shelf_open_to_write(const struct store *store,
                                      const struct store_shelf_name *name, struct shelf *ret_shelf,
                                      struct stepd_error *reterr)
{
    const bool made = mkdirat(store_folder(store), name->text, 0700) == 0;
    if ((!made && errno != EEXIST) || (made && !file_sync_folder(store_folder(store)))) {
        *ret_shelf = (struct shelf){.name = *name, .folder = -1};
        return refuse(ret_shelf, "", "make", reterr);
    }
    enum stepd_status status = shelf_open(store, name, ret_shelf, reterr);
    if (status != STEPD_OK)
        return status;
    status = shelf_clear(ret_shelf, reterr);
    if (status != STEPD_OK)
        shelf_close(ret_shelf);
    return status;
}

void shelf_close(struct shelf *shelf)
{
    if (shelf->folder >= 0)
        file_close(shelf->folder);
    shelf->folder = -1;
}

int shelf_open_checkpoint(const struct shelf *shelf, const char *name, struct stepd_error *reterr)
{
    const int folder = openat(shelf->folder, name, FOLDER_FLAGS);
    if (folder < 0 && errno == ENOENT)
        (void)stepd_fail(reterr, STEPD_NOT_FOUND, "there is no checkpoint %s/%s", shelf->name.text,
                         name);
    else if (folder < 0)
        (void)refuse(shelf, name, "open", reterr);
    return folder;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool name_begun(bool apart, struct shelf_begun *begun)
{
    char digits[APART_DIGITS + 1] = "";
    if (apart && !file_random_digits(digits, APART_DIGITS))
        return false;
    (void)snprintf(begun->name, sizeof begun->name, "%s%s%s%s", NEW, begun->checkpoint.name,
                   apart ? "~" : "", digits);
    return true;
}

enum stepd_status shelf_begin(const struct shelf *shelf, const struct shelf_checkpoint *checkpoint,
                              bool apart, struct shelf_begun *ret_begun, struct stepd_error *reterr)
{
    struct shelf_begun begun = {.checkpoint = *checkpoint, .folder = -1};
    if (name_begun(apart, &begun) && file_remove_folder(shelf->folder, begun.name) &&
        mkdirat(shelf->folder, begun.name, 0700) == 0)
        begun.folder = openat(shelf->folder, begun.name, FOLDER_FLAGS);
    if (begun.folder < 0)
        return refuse(shelf, checkpoint->name, "begin", reterr);
    *ret_begun = begun;
    return STEPD_OK;
}

enum stepd_status shelf_open_begun(const struct shelf *shelf, const char *name,
                                   struct shelf_begun *ret_begun, struct stepd_error *reterr)
{
    struct shelf_begun begun = {.folder = -1};
    bool apart = false;
    if (!parse_begun(name, &begun.checkpoint, &apart) || !apart)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "the folder to write to is none of a checkpoint that was begun");
    (void)snprintf(begun.name, sizeof begun.name, "%s", name);
    begun.folder = openat(shelf->folder, begun.name, FOLDER_FLAGS);
    if (begun.folder < 0 && errno == ENOENT)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "%s/%s: the checkpoint was given up",
                          shelf->name.text, begun.checkpoint.name);
    if (begun.folder < 0)
        return refuse(shelf, begun.checkpoint.name, "open", reterr);
    *ret_begun = begun;
    return STEPD_OK;
}

void shelf_begun_close(struct shelf_begun *begun)
{
    if (begun->folder >= 0)
        file_close(begun->folder);
    begun->folder = -1;
}

void shelf_abandon(const struct shelf *shelf, const struct shelf_begun *begun)
{
    (void)file_remove_folder(shelf->folder, begun->name);
}

/* Where there is an older one of this name, the two change places, so that the name never stands
 * for none. */
static bool take_name(const struct shelf *shelf, const char *new_name, const char *name)
{
    if (renameat(shelf->folder, new_name, shelf->folder, name) == 0)
        return true;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return false;
    if (renameat2(shelf->folder, new_name, shelf->folder, name, RENAME_EXCHANGE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        return false;
    /* This file system cannot: there is none for an instant. */
    char old_name[HIDDEN_BYTES];
    hidden(old_name, OLD, name);
    const bool taken = renameat(shelf->folder, name, shelf->folder, old_name) == 0 &&
                       renameat(shelf->folder, new_name, shelf->folder, name) == 0;
    const int cause = errno;
    if (taken)
        (void)file_remove_folder(shelf->folder, old_name);
    errno = cause;
    return taken;
}

enum stepd_status shelf_commit(const struct shelf *shelf, const struct shelf_begun *begun,
                               struct stepd_error *reterr)
{
    if (!file_sync_folder(begun->folder) ||
        !take_name(shelf, begun->name, begun->checkpoint.name) || !file_sync_folder(shelf->folder))
        return refuse(shelf, begun->checkpoint.name, "finish", reterr);
    (void)file_remove_folder(shelf->folder, begun->name); /* what it has replaced */
    return STEPD_OK;
}

enum stepd_status shelf_remove(const struct shelf *shelf, const char *name,
                               struct stepd_error *reterr)
{
    char old_name[HIDDEN_BYTES];
    hidden(old_name, OLD, name);
    if (file_remove_folder(shelf->folder, old_name) &&
        renameat(shelf->folder, name, shelf->folder, old_name) == 0 &&
        file_remove_folder(shelf->folder, old_name))
        return STEPD_OK;
    return refuse(shelf, name, "remove", reterr);
}

/* ---- The incarnation ------------------------------------------------------------------------- */

enum stepd_status shelf_read_incarnation(const struct shelf *shelf, uint64_t *ret_incarnation,
                                         struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    const int file = file_open(shelf->folder, SHELF_INCARNATION_FILE, &bytes);
    *ret_incarnation = 0;
    if (file < 0)
        return errno == ENOENT ? STEPD_OK : refuse(shelf, SHELF_INCARNATION_FILE, "open", reterr);
    char text[NUMBER_BYTES] = "";
    const bool read = bytes < sizeof text && file_read(file, text, (size_t)bytes, 0);
    file_close(file);
    char *end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (!read || !isdigit((unsigned char)text[0]) || errno != 0 || strcmp(end, "\n") != 0 ||
        number > JOB_INCARNATION_MAX)
        return stepd_fail(reterr, STEPD_DATA_LOSS,
                          "%s/%s: what stands there is no number from 0 to %" PRIu64
                          " on a line; write one there that is higher than what `stepctl list` "
                          "shows of the job, by a thousand",
                          shelf->name.text, SHELF_INCARNATION_FILE, JOB_INCARNATION_MAX);
    *ret_incarnation = number;
    return STEPD_OK;
}

enum stepd_status shelf_write_incarnation(const struct shelf *shelf, uint64_t incarnation,
                                          struct stepd_error *reterr)
{
    char text[NUMBER_BYTES];
    const int length = snprintf(text, sizeof text, "%" PRIu64 "\n", incarnation);
    return file_replace(shelf->folder, SHELF_INCARNATION_FILE, text, (size_t)length)
               ? STEPD_OK
               : refuse(shelf, SHELF_INCARNATION_FILE, "write", reterr);
}
