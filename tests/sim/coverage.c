/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/coverage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const things[] = {

#define X(NAME, what) what,
    COVERAGE_MAP(X)
#undef X
};

static const char *const views[STEPD_VIEWS] = {"training", "evaluation", "ema", "swa"};

/* What was never counted, in words. */
struct gaps {
    size_t count;
    char text[1024];
};

/* ---- Counting -------------------------------------------------------------------------------- */

void coverage_count(struct coverage *coverage, enum coverage_thing thing, uint64_t times)
{
    coverage->thing[thing] += times;
}

static size_t row_of(const struct optimizer *optimizer)
{
    size_t row = 0;
    while (optimizer_at(row) != optimizer)
        row++;
    assert_true(row < COVERAGE_OPTIMIZERS);
    return row;
}

static size_t kind_of(const struct schedule *schedule)
{
    size_t row = 0;
    while (schedule_kind_at(row) != schedule->kind)
        row++;
    assert_true(row < COVERAGE_KINDS);
    return row;
}

void coverage_update(struct coverage *coverage, const struct optimizer *optimizer,
                     const struct schedule *schedule)
{
    coverage->updates[row_of(optimizer)]++;
    coverage->rates[kind_of(schedule)]++;
    for (size_t i = 0; i < schedule->parts; i++)
        coverage->part_rates[kind_of(&schedule->part[i])]++;
}

void coverage_set(struct coverage *coverage, const struct optimizer *optimizer, size_t spec)
{
    assert_true(spec < COVERAGE_HYPERS);
    coverage->set[row_of(optimizer)][spec]++;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void print(const char *name, uint64_t count)
{
    print_message("  %s %llu", name, (unsigned long long)count);
}

/* A row, and behind it how often its least drawn hyperparameter was set. */
static void print_optimizer(const struct coverage *coverage, size_t row)
{
    const struct optimizer *optimizer = optimizer_at(row);
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < optimizer->hypers; i++)
        least = coverage->set[row][i] < least ? coverage->set[row][i] : least;
    print_message("  %s %llu/%llu", optimizer->name, (unsigned long long)coverage->updates[row],
                  (unsigned long long)least);
}

void coverage_print(const struct coverage *coverage)
{
    print_message("updates by optimizer / settings of its least drawn hyperparameter:\n");
    for (size_t i = 0; i < optimizer_count(); i++)
        print_optimizer(coverage, i);
    print_message("\nupdates by schedule:\n");
    for (size_t i = 0; i < schedule_kind_count(); i++)
        print(schedule_kind_at(i)->name, coverage->rates[i]);
    print_message("\nthe same as parts:\n");
    for (size_t i = 0; i < schedule_kind_count(); i++)
        print(schedule_kind_at(i)->name, coverage->part_rates[i]);
    print_message("\nslices pulled by view / apart from the weights:\n");
    for (size_t i = 0; i < STEPD_VIEWS; i++)
        print_message("  %s %llu/%llu", views[i], (unsigned long long)coverage->pulls[i],
                      (unsigned long long)coverage->apart[i]);
    print_message("\n");
    for (size_t i = 0; i < COVERAGE_THINGS; i++)
        print_message("  %llu %s\n", (unsigned long long)coverage->thing[i], things[i]);
    print_message("  %llu floats compared, of which %llu not finite\n",
                  (unsigned long long)coverage->floats, (unsigned long long)coverage->nonfinite);
}

/* ---- Checking -------------------------------------------------------------------------------- */

static void want(struct gaps *gaps, uint64_t count, const char *what, const char *of)
{
    if (count > 0)
        return;
    const size_t used = strlen(gaps->text);
    (void)snprintf(gaps->text + used, sizeof gaps->text - used, "%s%s%s%s",
                   gaps->count == 0 ? "" : "; ", what, of[0] == '\0' ? "" : " of ", of);
    gaps->count++;
}

static void want_optimizer(struct gaps *gaps, const struct coverage *coverage, size_t row)
{
    const struct optimizer *optimizer = optimizer_at(row);
    want(gaps, coverage->updates[row], optimizer->name, "");
    for (size_t i = 0; i < optimizer->hypers; i++)
        want(gaps, coverage->set[row][i], optimizer->hyper[i].name, optimizer->name);
}

void coverage_check(const struct coverage *coverage)
{
    struct gaps gaps = {.count = 0};
    for (size_t i = 0; i < optimizer_count(); i++)
        want_optimizer(&gaps, coverage, i);
    for (size_t i = 0; i < schedule_kind_count(); i++) {
        const struct schedule_kind *kind = schedule_kind_at(i);
        want(&gaps, coverage->rates[i], kind->name, "");
        if (!kind->takes_parts && !kind->wants_loss)
            want(&gaps, coverage->part_rates[i], kind->name, "parts");
    }
    for (size_t i = 0; i < STEPD_VIEWS; i++)
        want(&gaps, i == STEPD_EVALUATION ? coverage->pulls[i] : coverage->apart[i], "view",
             views[i]);
    for (size_t i = 0; i < COVERAGE_THINGS; i++)
        want(&gaps, coverage->thing[i], things[i], "");
    if (gaps.count > 0)
        fail_msg("never drawn: %s", gaps.text);
}
