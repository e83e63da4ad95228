/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd's side of the comparison of schedules with PyTorch: words on standard input, separated by
 * blanks and line ends, values on standard output.
 *
 *     schedule KIND              begins a schedule; what follows up to `steps` is about it
 *     numbers NAME COUNT X...    sets a parameter
 *     word NAME WORD
 *     part KIND                  begins a part of it; numbers and words are now the part's
 *     whole                      ends the part
 *     losses COUNT X...          the losses of the first COUNT rounds
 *     steps COUNT LR MOMENTUM    writes "lr momentum" of each step, momentum "-" where it is not
 *                                cycled; may stand several times
 *
 *     schedule_driver --list     "KIND PARAMETER..." for each kind
 *
 * What stepd refuses is said on stderr and ends the program with status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/schedule/schedule.h"

#define LOSSES_MAX 65536u
#define WORD_BYTES 128

struct driver {
    struct schedule schedule;
    struct schedule part;
    struct schedule *current; /* of the two above */
    size_t losses;
    double loss[LOSSES_MAX];
};

static void stop(const char *what, const char *text)
{
    (void)fprintf(stderr, "schedule_driver: %s: %s\n", what, text);
    exit(EXIT_FAILURE);
}

static void must(enum stepd_status status, const char *what, const struct stepd_error *error)
{
    if (status != STEPD_OK)
        stop(what, error->text);
}

static const char *word(char *ret_word)
{
    if (scanf("%127s", ret_word) != 1)
        stop("input", "ends too early");
    return ret_word;
}

static double number(void)
{
    double value;
    if (scanf("%lf", &value) != 1)
        stop("input", "a number is missing");
    return value;
}

static size_t numbers(size_t most, double *ret_numbers)
{
    const size_t count = (size_t)number();
    if (count > most)
        stop("input", "too many numbers");
    for (size_t i = 0; i < count; i++)
        ret_numbers[i] = number();
    return count;
}

static void begin(struct driver *driver)
{
    struct stepd_error error;
    char kind[WORD_BYTES];
    schedule_deinit(&driver->schedule);
    must(schedule_init(word(kind), &driver->schedule, &error), kind, &error);
    driver->current = &driver->schedule;
    driver->losses = 0;
}

static void begin_part(struct driver *driver)
{
    struct stepd_error error;
    char kind[WORD_BYTES];
    must(schedule_init(word(kind), &driver->part, &error), kind, &error);
    driver->current = &driver->part;
}

static void end_part(struct driver *driver)
{
    struct stepd_error error;
    must(schedule_add(&driver->schedule, &driver->part, &error), "part", &error);
    driver->current = &driver->schedule;
}

static void set_numbers(struct driver *driver)
{
    struct stepd_error error;
    char name[WORD_BYTES];
    double value[SCHEDULE_LIST_MAX];
    (void)word(name);
    const size_t values = numbers(SCHEDULE_LIST_MAX, value);
    must(schedule_set(driver->current, name, values, value, &error), name, &error);
}

static void set_word(struct driver *driver)
{
    struct stepd_error error;
    char name[WORD_BYTES];
    char value[WORD_BYTES];
    (void)word(name);
    must(schedule_set_word(driver->current, name, word(value), &error), name, &error);
}

static void write_steps(struct driver *driver)
{
    struct stepd_error error;
    struct schedule_state state = {.seen = false};
    const uint64_t steps = (uint64_t)number();
    const double lr = number();
    const struct schedule_value base = {.lr = lr, .momentum = number()};
    must(schedule_check(&driver->schedule, &error), driver->schedule.kind->name, &error);
    for (uint64_t step = 0; step < steps; step++) {
        const struct schedule_value value = schedule_at(&driver->schedule, base, step, &state);
        if (value.cycled)
            (void)printf("%.17g %.17g\n", value.lr, value.momentum);
        else
            (void)printf("%.17g -\n", value.lr);
        if (step < driver->losses)
            schedule_observe(&driver->schedule, &state, driver->loss[step]);
    }
}

static void obey(struct driver *driver, const char *command)
{
    if (strcmp(command, "schedule") == 0)
        begin(driver);
    else if (driver->current == NULL)
        stop(command, "comes before any schedule");
    else if (strcmp(command, "numbers") == 0)
        set_numbers(driver);
    else if (strcmp(command, "word") == 0)
        set_word(driver);
    else if (strcmp(command, "part") == 0)
        begin_part(driver);
    else if (strcmp(command, "whole") == 0)
        end_part(driver);
    else if (strcmp(command, "losses") == 0)
        driver->losses = numbers(LOSSES_MAX, driver->loss);
    else if (strcmp(command, "steps") == 0)
        write_steps(driver);
    else
        stop(command, "no such command");
}

static int list(void)
{
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *const kind = schedule_kind_at(i);
        (void)printf("%s", kind->name);
        for (size_t p = 0; p < kind->params; p++)
            (void)printf(" %s", kind->param[p].name);
        (void)printf("\n");
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct driver driver;
    char command[WORD_BYTES];
    if (argc > 1 && strcmp(argv[1], "--list") == 0)
        return list();
    while (scanf("%127s", command) == 1)
        obey(&driver, command);
    schedule_deinit(&driver.schedule);
    return EXIT_SUCCESS;
}
