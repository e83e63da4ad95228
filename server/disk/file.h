/* SPDX-License-Identifier: Apache-2.0
 *
 * Files whose bytes have to get to the disk, or it has to be known that they did not.
 *
 * All functions return false with errno set where the system refuses. Names are relative to a
 * folder's descriptor and are never followed where they are symbolic links. After a write or an
 * fsync that has failed nobody knows what of the file is on the disk, and the system does not say
 * it twice: the file is given up and never synced again.
 */
#ifndef DISK_FILE_H
#define DISK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A file that is not there yet, to be written; readable by its owner alone. -1: it cannot be. */
int file_create(int folder, const char *name);

/* A file to be read, regular and no link. -1: it cannot be. */
int file_open(int folder, const char *name, uint64_t *ret_bytes);

/* Writes all of the pieces, in as many calls as it takes; changes the list. */
bool file_write(int file, struct iovec *piece, size_t pieces);

/* Reads exactly n bytes at an offset; ENODATA: the file ends before. */
bool file_read(int file, void *bytes, size_t n, uint64_t offset);

/* Syncs what was written, and closes; in every case the descriptor is gone. */
bool file_finish(int file);

/* Closes what was only read, or is given up; errno stays. */
void file_close(int file);

/* Syncs the names in a folder. */
bool file_sync_folder(int folder);

/* A small file, whole or not at all: beside its place, synced, renamed over what was there, and the
 * folder synced. */
bool file_replace(int folder, const char *name, const void *bytes, size_t n);

/* n hexadecimal digits that nobody can guess, and a NUL behind them, for a name. n is even, and at
 * most 64. */
bool file_random_digits(char *ret_digits, size_t n);

/* Calls visit for each name in a folder, "." and ".." too, until it says false. False: it did, or
 * the folder cannot be read. */
bool file_walk(int folder, bool (*visit)(void *owner, const char *name), void *owner);

/* Removes a folder and the files in it; it has no folders of its own. True where there is none. */
bool file_remove_folder(int folder, const char *name);

#endif
