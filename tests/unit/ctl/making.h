/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of courses share: a course from a text, courses from a config file, files that
 * hold a text, and output as a text. Everything asserts.
 */
#ifndef TESTS_UNIT_CTL_MAKING_H
#define TESTS_UNIT_CTL_MAKING_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/ctl/courses.h"

#define MAKING_PATH_BYTES 64u

/* The course of a schedule that is written as on a command line, its parts behind semicolons:
 * "sequential:milestones=5; linear; cosine:t_max=9". Its name is the text. */
struct course making_course(const char *schedule, double lr);

/* Courses of several of them, up to the first NULL, from a learning rate of 1. */
struct courses making_courses(const char *const *schedule);

/* Writes a temporary file, which the caller removes with unlink(). */
void making_file(const char *text, char ret_path[MAKING_PATH_BYTES]);

/* Reads the courses of the groups that stand in this YAML. source: config is filled in. */
enum stepd_status making_read(const char *yaml, struct courses_source source,
                              struct courses *ret_courses, struct stepd_error *reterr);

/* A stream whose text making_text() returns, which the caller frees. */
struct making_output {
    FILE *stream;
    char *text;
    size_t bytes;
};

void making_output(struct making_output *output);
char *making_text(struct making_output *output);

/* Fails the test unless the text holds what is wanted. */
void making_assert_holds(const char *text, const char *wanted);

#endif
