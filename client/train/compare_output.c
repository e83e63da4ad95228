/* SPDX-License-Identifier: Apache-2.0
 *
 * An optimizer and what it was given are two columns: a recipe's first word and the rest of it.
 */
#include "client/train/compare_output.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "client/train/plot.h"
#include "proto/error.h"

#define VALUE_BYTES 48u

/* A recipe in words, cut in two. */
struct words {
    char text[RECIPE_TEXT_BYTES];
    const char *optimizer;
    const char *rest; /* "": it was given nothing */
};

static void put_into_words(const struct train_recipe *recipe, struct words *words)
{
    recipe_format(recipe, words->text, sizeof words->text);
    char *const blank = strchr(words->text, ' ');
    words->optimizer = words->text;
    words->rest = blank == NULL ? "" : blank + 1;
    if (blank != NULL)
        *blank = '\0';
}

static bool has_diverged(const struct compare_entry *entry)
{
    return entry->result.diverged_at != 0;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static enum stepd_status check_csv(FILE *csv, const char *path, struct stepd_error *reterr)
{
    if (fflush(csv) == 0 && ferror(csv) == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot write %s: %s", path,
                      strerror(errno));
}

enum stepd_status compare_csv_begin(FILE *csv, const char *path, struct stepd_error *reterr)
{
    (void)fputs("run,optimizer,hyperparameters,step,epoch,loss,smoothed\n", csv);
    return check_csv(csv, path, reterr);
}

/* A list has commas, so the field is quoted; no name or value of a recipe holds a quote. */
enum stepd_status compare_csv_append(FILE *csv, const char *path,
                                     const struct comparison *comparison,
                                     struct stepd_error *reterr)
{
    const struct compare_entry *const entry = &comparison->entry[comparison->count - 1];
    const struct curve *const curve = &entry->result.curve;
    struct curve_mean mean = {.weight = 0};
    struct words words;
    put_into_words(entry->recipe, &words);
    for (size_t i = 0; i < curve->count; i++) {
        const struct curve_point *const point = &curve->points[i];
        curve_mean_add(&mean, point->loss);
        (void)fprintf(csv, "%zu,%s,\"%s\",%" PRIu64 ",%" PRIu64 ",%.9g,%.6g\n", comparison->count,
                      words.optimizer, words.rest, point->step, point->epoch, point->loss,
                      mean.mean);
    }
    return check_csv(csv, path, reterr);
}

/* ---- Order ----------------------------------------------------------------------------------- */

static bool is_better(const struct compare_entry *a, const struct compare_entry *b)
{
    if (has_diverged(a) || has_diverged(b))
        return !has_diverged(a) && has_diverged(b);
    if (a->result.test_accuracy > b->result.test_accuracy)
        return true;
    return a->result.test_accuracy >= b->result.test_accuracy &&
           a->result.test_loss < b->result.test_loss;
}

void compare_rank(const struct comparison *comparison, size_t order[COMPARE_RUNS_MAX])
{
    for (size_t i = 0; i < comparison->count; i++) {
        size_t at = i;
        while (at > 0 && is_better(&comparison->entry[i], &comparison->entry[order[at - 1]])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
}

/* ---- The picture ----------------------------------------------------------------------------- */

static void describe_value(const struct train_result *result, char text[VALUE_BYTES])
{
    if (result->diverged_at != 0)
        (void)snprintf(text, VALUE_BYTES, "diverged");
    else
        (void)snprintf(text, VALUE_BYTES, "%.2f %%", 100 * result->test_accuracy);
}

enum stepd_status compare_plot(const char *path, const struct comparison *comparison,
                               struct stepd_error *reterr)
{
    struct plot_series series[COMPARE_RUNS_MAX];
    char label[COMPARE_RUNS_MAX][RECIPE_TEXT_BYTES];
    char value[COMPARE_RUNS_MAX][VALUE_BYTES];
    size_t order[COMPARE_RUNS_MAX];
    const struct train_options *const base = &comparison->options->base;
    char title[256];
    char note[256];
    compare_rank(comparison, order);
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compare_entry *const entry = &comparison->entry[order[i]];
        recipe_format(entry->recipe, label[i], sizeof label[i]);
        describe_value(&entry->result, value[i]);
        series[i] = (struct plot_series){
            .label = label[i],
            .value = value[i],
            .curve = &entry->result.curve,
            .diverged = has_diverged(entry),
        };
    }
    (void)snprintf(title, sizeof title, "%s by optimizer", base->model);
    (void)snprintf(note, sizeof note,
                   "%u worker%s, batches of %u, schedule %s; with each run's test accuracy",
                   base->world, base->world == 1 ? "" : "s", base->batch[0], base->schedule);
    return plot_write(path,
                      &(struct plot){
                          .title = title,
                          .note = note,
                          .series = series,
                          .count = comparison->count,
                          .log_scale = comparison->options->log_scale,
                      },
                      reterr);
}

/* ---- The table ------------------------------------------------------------------------------- */

static int wider(int width, const char *text)
{
    const int length = (int)strlen(text);
    return length > width ? length : width;
}

/* A loss that has grown without bounds is told by its size. */
static void print_loss(FILE *out, int loss_width, double loss)
{
    (void)fprintf(out, fabs(loss) < 1e5 ? "%*.4f  " : "%*.3e  ", loss_width, loss);
}

void compare_print_table(FILE *out, const struct comparison *comparison)
{
    static const char optimizer[] = "optimizer";
    static const char rest[] = "hyperparameters";
    size_t order[COMPARE_RUNS_MAX];
    struct words words;
    int width = (int)strlen(optimizer);
    int rest_width = (int)strlen(rest);
    compare_rank(comparison, order);
    for (size_t i = 0; i < comparison->count; i++) {
        put_into_words(comparison->entry[i].recipe, &words);
        width = wider(width, words.optimizer);
        rest_width = wider(rest_width, words.rest);
    }
    (void)fprintf(out, "%-*s  %-*s  train loss  test loss  test accuracy  seconds\n", width,
                  optimizer, rest_width, rest);
    for (size_t i = 0; i < comparison->count; i++) {
        const struct train_result *const result = &comparison->entry[order[i]].result;
        put_into_words(comparison->entry[order[i]].recipe, &words);
        (void)fprintf(out, "%-*s  %-*s  ", width, words.optimizer, rest_width, words.rest);
        if (result->diverged_at != 0) {
            (void)fprintf(out, "diverged at step %" PRIu64 "\n", result->diverged_at);
            continue;
        }
        print_loss(out, (int)strlen("train loss"), result->train_loss);
        print_loss(out, (int)strlen("test loss"), result->test_loss);
        (void)fprintf(out, "%13.4f  %7.1f\n", result->test_accuracy, result->seconds);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void print_string(FILE *out, const char *text)
{
    (void)fputc('"', out);
    for (const char *at = text; *at != '\0'; at++)
        if (*at == '"' || *at == '\\')
            (void)fprintf(out, "\\%c", *at);
        else if ((unsigned char)*at < 0x20)
            (void)fprintf(out, "\\u%04x", (unsigned)*at);
        else
            (void)fputc(*at, out);
    (void)fputc('"', out);
}

/* JSON has no NAN: what was not measured is null. */
static void print_number(FILE *out, const char *name, double value)
{
    if (isfinite(value))
        (void)fprintf(out, ", \"%s\": %.9g", name, value);
    else
        (void)fprintf(out, ", \"%s\": null", name);
}

static void print_run(FILE *out, size_t number, const struct compare_entry *entry)
{
    const struct train_result *const result = &entry->result;
    const bool diverged = has_diverged(entry);
    struct words words;
    put_into_words(entry->recipe, &words);
    (void)fprintf(out, "{\"run\": %zu, \"optimizer\": ", number);
    print_string(out, words.optimizer);
    (void)fputs(", \"hyperparameters\": ", out);
    print_string(out, words.rest);
    print_number(out, "steps", (double)result->steps);
    print_number(out, "diverged_at", diverged ? (double)result->diverged_at : (double)NAN);
    print_number(out, "train_loss", result->train_loss);
    print_number(out, "test_loss", diverged ? (double)NAN : result->test_loss);
    print_number(out, "test_accuracy", diverged ? (double)NAN : result->test_accuracy);
    print_number(out, "seconds", result->seconds);
    (void)fputc('}', out);
}

void compare_print_json(FILE *out, const struct comparison *comparison)
{
    size_t order[COMPARE_RUNS_MAX];
    compare_rank(comparison, order);
    (void)fputs("{\"model\": ", out);
    print_string(out, comparison->options->base.model);
    (void)fprintf(out, ", \"workers\": %u, \"runs\": [", comparison->options->base.world);
    for (size_t i = 0; i < comparison->count; i++) {
        (void)fputs(i == 0 ? "" : ", ", out);
        print_run(out, order[i] + 1, &comparison->entry[order[i]]);
    }
    (void)fputs("]}\n", out);
}
