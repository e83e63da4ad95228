/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/replace.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"

#define NEW              ".new-"
#define NAMES_TRIED      100u
#define NAME_BYTES_ADDED (sizeof NEW - 1 + sizeof "-4294967295-99" - 1)
#define PERMISSIONS      0777u
#define OF_GROUP         0070u

static enum stepd_status refuse(const char *path, int cause, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot write %s: %s", path, strerror(cause));
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "a folder";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    case S_IFIFO: return "a pipe";
    case S_IFLNK: return "a symbolic link";
    case S_IFSOCK: return "a socket";
    default: return "no file";
    }
}

/* ---- Beginning ------------------------------------------------------------------------------- */

static enum stepd_status open_folder(struct replace *replace, struct stepd_error *reterr)
{
    const size_t length = (size_t)(replace->name - replace->path);
    char *const above = length == 0 ? strdup(".") : strndup(replace->path, length);
    if (above == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a path");
    replace->folder = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int cause = errno;
    free(above);
    if (replace->folder >= 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot write %s: its folder: %s", replace->path,
                      strerror(cause));
}

static enum stepd_status check_place(const struct replace *replace, struct stepd_error *reterr)
{
    struct stat old;
    if (fstatat(replace->folder, replace->name, &old, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? STEPD_OK : refuse(replace->path, errno, reterr);
    if (S_ISREG(old.st_mode))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "%s is %s, and only a file is replaced: name another path", replace->path,
                      kind_of(old.st_mode));
}

/* The process that a name beside ours belongs to; 0: it is none of these names. */
static pid_t writer_of(const struct replace *replace, const char *beside)
{
    const size_t length = strlen(replace->name);
    char *end = NULL;
    if (strncmp(beside, NEW, sizeof NEW - 1) != 0)
        return 0;
    beside += sizeof NEW - 1;
    if (strncmp(beside, replace->name, length) != 0)
        return 0;
    beside += length;
    if (beside[0] != '-' || !isdigit((unsigned char)beside[1]))
        return 0;
    const long pid = strtol(beside + 1, &end, 10);
    if (end[0] != '-' || end[1] == '\0' || strspn(end + 1, "0123456789") != strlen(end + 1))
        return 0;
    return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/* Removes what a process that was killed has left, and goes on. One that lives holds the lock, also
 * where its number is of another system's. */
static bool remove_stale(void *owner, const char *name)
{
    const struct replace *const replace = owner;
    const pid_t writer = writer_of(replace, name);
    if (writer <= 0 || kill(writer, 0) == 0 || errno != ESRCH)
        return true;
    const int file = openat(replace->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
        return true;
    struct stat stat;
    if (fstat(file, &stat) == 0 && S_ISREG(stat.st_mode) && flock(file, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(replace->folder, name, 0);
    (void)close(file);
    return true;
}

static enum stepd_status create_beside(struct replace *replace, struct stepd_error *reterr)
{
    replace->file = -1;
    errno = EEXIST;
    for (unsigned i = 0; i < NAMES_TRIED && replace->file < 0 && errno == EEXIST; i++) {
        (void)stepd_format(replace->beside, sizeof replace->beside, NEW "%s-%u-%u", replace->name,
                           (unsigned)getpid(), i);
        replace->file = file_create(replace->folder, replace->beside);
    }
    if (replace->file < 0)
        return refuse(replace->path, errno, reterr);
    (void)flock(replace->file, LOCK_EX | LOCK_NB);
    return STEPD_OK;
}

enum stepd_status replace_begin(struct replace *replace, const char *path,
                                struct stepd_error *reterr)
{
    const char *const slash = strrchr(path, '/');
    const size_t longest = NAME_MAX - NAME_BYTES_ADDED;
    *replace = (struct replace){.path = path, .name = slash == NULL ? path : slash + 1};
    if (replace->name[0] == '\0' || strlen(replace->name) > longest)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s' is no file's path; its name has 1 to %zu bytes", path, longest);
    enum stepd_status status = open_folder(replace, reterr);
    if (status != STEPD_OK)
        return status;
    status = check_place(replace, reterr);
    if (status == STEPD_OK)
        (void)file_walk(replace->folder, remove_stale, replace);
    if (status == STEPD_OK)
        status = create_beside(replace, reterr);
    if (status != STEPD_OK)
        (void)close(replace->folder);
    return status;
}

/* ---- Ending ---------------------------------------------------------------------------------- */

/* Who may read the file that stands there may read the new one. */
static bool keep_mode(const struct replace *replace)
{
    struct stat old;
    if (fstatat(replace->folder, replace->name, &old, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    mode_t mode = old.st_mode & PERMISSIONS;
    const bool root = geteuid() == 0;
    if (fchown(replace->file, root ? old.st_uid : (uid_t)-1, old.st_gid) != 0) {
        if (root)
            return false;
        mode &= ~OF_GROUP; /* it is another group */
    }
    return fchmod(replace->file, mode) == 0;
}

enum stepd_status replace_finish(struct replace *replace, struct stepd_error *reterr)
{
    if (!keep_mode(replace))
        return replace_abandon(replace, errno, reterr);
    const bool finished = file_finish(replace->file);
    replace->file = -1;
    if (!finished ||
        renameat(replace->folder, replace->beside, replace->folder, replace->name) != 0)
        return replace_abandon(replace, errno, reterr);
    const bool synced = file_sync_folder(replace->folder);
    const int cause = errno;
    (void)close(replace->folder);
    return synced ? STEPD_OK : refuse(replace->path, cause, reterr);
}

enum stepd_status replace_abandon(struct replace *replace, int cause, struct stepd_error *reterr)
{
    if (replace->file >= 0)
        (void)close(replace->file);
    (void)unlinkat(replace->folder, replace->beside, 0);
    (void)close(replace->folder);
    return refuse(replace->path, cause, reterr);
}
