/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ctl/making.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/ctl/schedule_text.h"

struct course making_course(const char *schedule, double lr)
{
    struct schedule made = {.kind = NULL};
    struct course course = {.name = NULL};
    char *const copy = strdup(schedule);
    char *rest = copy;
    assert_non_null(copy);
    assert_int_equal(schedule_text_read(strsep(&rest, ";"), &made, NULL), STEPD_OK);
    while (rest != NULL) {
        struct schedule part = {.kind = NULL};
        const char *const text = strsep(&rest, ";");
        assert_int_equal(schedule_text_read(text + strspn(text, " "), &part, NULL), STEPD_OK);
        assert_int_equal(schedule_add(&made, &part, NULL), STEPD_OK);
    }
    free(copy);
    assert_int_equal(schedule_check(&made, NULL), STEPD_OK);
    assert_int_equal(course_init(schedule, &made, lr, NAN, &course, NULL), STEPD_OK);
    return course;
}

struct courses making_courses(const char *const *schedule)
{
    struct courses courses = {.count = 0};
    while (schedule[courses.count] != NULL)
        courses.count++;
    courses.at = calloc(courses.count, sizeof *courses.at);
    assert_non_null(courses.at);
    for (size_t i = 0; i < courses.count; i++)
        courses.at[i] = making_course(schedule[i], 1.0);
    return courses;
}

void making_file(const char *text, char ret_path[MAKING_PATH_BYTES])
{
    (void)snprintf(ret_path, MAKING_PATH_BYTES, "/tmp/stepd_unit_ctl_XXXXXX");
    const int fd = mkstemp(ret_path);
    assert_true(fd >= 0);
    FILE *const file = fdopen(fd, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

enum stepd_status making_read(const char *yaml, struct courses_source source,
                              struct courses *ret_courses, struct stepd_error *reterr)
{
    char path[MAKING_PATH_BYTES];
    making_file(yaml, path);
    source.config = path;
    const enum stepd_status status = courses_read(&source, ret_courses, reterr);
    (void)unlink(path);
    return status;
}

void making_output(struct making_output *output)
{
    *output = (struct making_output){.text = NULL};
    output->stream = open_memstream(&output->text, &output->bytes);
    assert_non_null(output->stream);
}

char *making_text(struct making_output *output)
{
    assert_int_equal(fclose(output->stream), 0);
    return output->text;
}

void making_assert_holds(const char *text, const char *wanted)
{
    if (strstr(text, wanted) == NULL)
        fail_msg("'%s' does not hold '%s'", text, wanted);
}
