/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/courses.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/job_file.h"
#include "proto/error.h"
#include "server/base/nearest.h"

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the groups");
}

void courses_deinit(struct courses *courses)
{
    for (size_t i = 0; i < courses->count; i++)
        course_deinit(&courses->at[i]);
    free(courses->at);
    free(courses->job);
    *courses = (struct courses){.count = 0};
}

/* ---- From the file --------------------------------------------------------------------------- */

static enum stepd_status add_group(const struct config *config, const struct config_job *job,
                                   size_t index, struct courses *courses,
                                   struct stepd_error *reterr)
{
    const struct stepd_define_job *const def = &job->definition;
    struct group group;
    if (group_init(&def->defaults, &def->group[index], &group, reterr) != STEPD_OK)
        return job_file_fail(config, job, job->group_line[index], reterr);
    enum stepd_status status = group_check_mode(&group, def->mode, reterr);
    if (status == STEPD_OK)
        status = course_of_group(&group, &courses->at[courses->count], reterr);
    else
        status = job_file_fail(config, job, job->group_line[index], reterr);
    group_deinit(&group);
    if (status == STEPD_OK)
        courses->count++;
    return status;
}

/* All groups are read, so that a file that the daemon would refuse is refused. */
static enum stepd_status add_groups(const struct config *config, const struct config_job *job,
                                    struct courses *courses, struct stepd_error *reterr)
{
    const struct stepd_define_job *const def = &job->definition;
    if (group_check_defaults(&def->defaults, reterr) != STEPD_OK)
        return job_file_fail(config, job, job->defaults_line, reterr);
    courses->at = calloc(def->groups, sizeof *courses->at);
    if (courses->at == NULL)
        return no_memory(reterr);
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < def->groups && status == STEPD_OK; i++)
        status = add_group(config, job, i, courses, reterr);
    return status;
}

/* Drops all courses but that of this group. */
static enum stepd_status keep_group(const char *name, struct courses *courses,
                                    struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < courses->count; i++) {
        assert(courses->at[i].name != NULL);
        if (strcmp(courses->at[i].name, name) == 0) {
            const struct course kept = courses->at[i];
            courses->at[i] = courses->at[0];
            courses->at[0] = kept;
            while (courses->count > 1)
                course_deinit(&courses->at[--courses->count]);
            return STEPD_OK;
        }
        nearest_offer(&nearest, courses->at[i].name);
    }
    return stepd_fail(reterr, STEPD_NOT_FOUND, "job '%s' has no group '%s': %s", courses->job, name,
                      nearest_hint(&nearest));
}

static enum stepd_status read_job(const struct config *config, const struct courses_source *source,
                                  struct courses *courses, struct stepd_error *reterr)
{
    const struct config_job *const job = job_file_find(config, source->job, reterr);
    if (job == NULL)
        return STEPD_NOT_FOUND;
    courses->job = strdup(job->name);
    if (courses->job == NULL)
        return no_memory(reterr);
    const enum stepd_status status = add_groups(config, job, courses, reterr);
    return status != STEPD_OK || source->group == NULL ? status
                                                       : keep_group(source->group, courses, reterr);
}

enum stepd_status courses_read(const struct courses_source *source, struct courses *ret_courses,
                               struct stepd_error *reterr)
{
    struct config config = {.file = ""};
    struct courses courses = {.count = 0};
    enum stepd_status status = job_file_read(source->config, &config, reterr);
    if (status == STEPD_OK)
        status = read_job(&config, source, &courses, reterr);
    config_deinit(&config);
    if (status == STEPD_OK)
        *ret_courses = courses;
    else
        courses_deinit(&courses);
    return status;
}

/* ---- What is done with all of them ----------------------------------------------------------- */

enum stepd_status courses_observe(struct courses *courses, size_t losses, const double *loss,
                                  struct stepd_error *reterr)
{
    bool wanted = false;
    for (size_t i = 0; i < courses->count; i++) {
        if (!schedule_wants_loss(&courses->at[i].schedule))
            continue;
        wanted = true;
        const enum stepd_status status = course_observe(&courses->at[i], losses, loss, reterr);
        if (status != STEPD_OK)
            return status;
    }
    return wanted ? STEPD_OK
                  : stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                               "no schedule here takes notice of losses; plateau does");
}

enum stepd_status courses_check_shown(const struct courses *courses, struct stepd_error *reterr)
{
    if (courses->count > COURSES_SHOWN_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%zu groups differ, and one picture or table holds %u: choose one with "
                          "--group, or take --json",
                          courses->count, COURSES_SHOWN_MAX);
    return STEPD_OK;
}

/* Appends the name of one course to that of another. */
static bool add_name(struct course *course, const char *name)
{
    const size_t bytes = strlen(course->name) + strlen(name) + sizeof ", ";
    char *const both = malloc(bytes);
    if (both == NULL)
        return false;
    (void)snprintf(both, bytes, "%s, %s", course->name, name);
    free(course->name);
    course->name = both;
    return true;
}

enum stepd_status courses_join(struct courses *courses, struct stepd_error *reterr)
{
    size_t kept = 0;
    bool fine = true;
    for (size_t i = 0; i < courses->count; i++) {
        size_t k = 0;
        while (k < kept && !course_same(&courses->at[k], &courses->at[i]))
            k++;
        if (k == kept) {
            const struct course course = courses->at[i];
            courses->at[i] = (struct course){.name = NULL};
            courses->at[kept++] = course;
        } else {
            fine = fine && add_name(&courses->at[k], courses->at[i].name);
            course_deinit(&courses->at[i]);
        }
    }
    courses->count = kept;
    return fine ? STEPD_OK : no_memory(reterr);
}
