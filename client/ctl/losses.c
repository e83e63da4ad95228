/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/losses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/course.h"
#include "client/ctl/number.h"
#include "proto/error.h"
#include "server/base/text.h"

#define LINE_BYTES     128 /* of a number, its blanks and its end */
#define FIRST_CAPACITY 1024u

/* A file that is being read. */
struct source {
    const char *name;
    FILE *file;
    size_t line; /* the number of the last one */
    size_t capacity;
    struct losses losses;
};

static enum stepd_status add(struct source *source, double loss, struct stepd_error *reterr)
{
    struct losses *const losses = &source->losses;
    if (losses->count == COURSE_STEPS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s has more than %u losses",
                          source->name, COURSE_STEPS_MAX);
    if (losses->count == source->capacity) {
        const size_t capacity = source->capacity == 0 ? FIRST_CAPACITY : 2 * source->capacity;
        double *const grown = realloc(losses->at, capacity * sizeof *grown);
        if (grown == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the losses");
        losses->at = grown;
        source->capacity = capacity;
    }
    losses->at[losses->count++] = loss;
    return STEPD_OK;
}

/* The line without the blanks around it. */
static char *trim(char *line)
{
    static const char blanks[] = " \t\r\n";
    char *const begin = line + strspn(line, blanks);
    size_t length = strlen(begin);
    while (length > 0 && strchr(blanks, begin[length - 1]) != NULL)
        length--;
    begin[length] = '\0';
    return begin;
}

static enum stepd_status take_line(struct source *source, char *line, struct stepd_error *reterr)
{
    const bool cut = strlen(line) == LINE_BYTES - 1 && line[LINE_BYTES - 2] != '\n';
    char *const text = trim(line);
    char quoted[48];
    double loss = 0.0;
    source->line++;
    if (cut)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "%s:%zu: the line is too long: one "
                          "loss a line",
                          source->name, source->line);
    if (text[0] == '\0')
        return STEPD_OK;
    if (number_parse_any(text, &loss))
        return add(source, loss, reterr);
    (void)text_quote(text, strlen(text), quoted, sizeof quoted);
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s:%zu: %s is no number: one loss a line",
                      source->name, source->line, quoted);
}

static enum stepd_status read_lines(struct source *source, struct stepd_error *reterr)
{
    char line[LINE_BYTES];
    enum stepd_status status = STEPD_OK;
    errno = 0;
    while (status == STEPD_OK && fgets(line, sizeof line, source->file) != NULL)
        status = take_line(source, line, reterr);
    if (status == STEPD_OK && ferror(source->file) != 0)
        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot read %s: %s", source->name,
                            strerror(errno));
    return status;
}

enum stepd_status losses_read(const char *path, struct losses *ret_losses,
                              struct stepd_error *reterr)
{
    const bool standard = strcmp(path, "-") == 0;
    struct source source = {.name = standard ? "standard input" : path,
                            .file = standard ? stdin : fopen(path, "r")};
    if (source.file == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot read %s: %s", path,
                          strerror(errno));
    const enum stepd_status status = read_lines(&source, reterr);
    if (!standard)
        (void)fclose(source.file); /* it was read only */
    if (status == STEPD_OK)
        *ret_losses = source.losses;
    else
        losses_deinit(&source.losses);
    return status;
}

void losses_deinit(struct losses *losses)
{
    free(losses->at);
    *losses = (struct losses){.count = 0};
}
