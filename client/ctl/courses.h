/* SPDX-License-Identifier: Apache-2.0
 *
 * The courses that one command shows: a single one from the command line, or those of a job that
 * stands in the server's file.
 */
#ifndef CLIENT_CTL_COURSES_H
#define CLIENT_CTL_COURSES_H

#include <stddef.h>

#include <stepd/status.h>

#include "client/ctl/course.h"

/* Courses of one picture or table: a letter for each. */
#define COURSES_SHOWN_MAX 26u

struct courses {
    char *job; /* owned; NULL: they are of none */
    size_t count;
    struct course *at; /* owned */
};

/* Which groups of which job of which file. */
struct courses_source {
    const char *config; /* path */
    const char *job;    /* NULL: the only one of the file */
    const char *group;  /* NULL: all */
};

/*
 * The courses of a job's groups in their order, merged over its defaults as the daemon does it.
 * FAILED_PRECONDITION: the file, or the group named with its line, is wrong. NOT_FOUND: there is no
 * such job or group (the text names the nearest), or the file has several jobs.
 * RESOURCE_EXHAUSTED. *ret_courses: caller frees with courses_deinit.
 */
enum stepd_status courses_read(const struct courses_source *source, struct courses *ret_courses,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed struct is fine. */
void courses_deinit(struct courses *courses);

/* Lets each course hear the losses. INVALID_ARGUMENT: no schedule among them wants any. */
enum stepd_status courses_observe(struct courses *courses, size_t losses, const double *loss,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: more than COURSES_SHOWN_MAX. */
enum stepd_status courses_check_shown(const struct courses *courses,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Joins courses that are the same at every step under the names of all, in the order of the first.
 * RESOURCE_EXHAUSTED: some may have been joined. */
enum stepd_status courses_join(struct courses *courses,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
