/* SPDX-License-Identifier: Apache-2.0
 *
 * An optimizer and what it was given are two columns: a recipe's first word and the rest of it. The
 * mode is a column for programs always, and for people where it differs.
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

/* A run in words: its recipe, cut in two, and its mode. */
struct words {
    char text[RECIPE_TEXT_BYTES];
    const char *optimizer;
    const char *rest; /* "": it was given nothing */
    char mode[TRAIN_MODE_TEXT_BYTES];
};

static void put_into_words(const struct compare_job *job, struct words *words)
{
    recipe_format(&job->recipe, words->text, sizeof words->text);
    train_mode_format(&job->mode, words->mode, sizeof words->mode);
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
    (void)fputs("run,optimizer,hyperparameters,mode,step,epoch,loss,smoothed\n", csv);
    return check_csv(csv, path, reterr);
}

/* A list has commas, so these fields are quoted; no name or value of a setting holds a quote. */
enum stepd_status compare_csv_append(FILE *csv, const char *path,
                                     const struct comparison *comparison,
                                     struct stepd_error *reterr)
{
    const struct compare_entry *const entry = &comparison->entry[comparison->count - 1];
    const struct curve *const curve = &entry->result.curve;
    struct curve_mean mean = {.weight = 0};
    struct words words;
    put_into_words(entry->job, &words);
    for (size_t i = 0; i < curve->count; i++) {
        const struct curve_point *const point = &curve->points[i];
        curve_mean_add(&mean, point->loss);
        (void)fprintf(csv, "%zu,%s,\"%s\",\"%s\",%" PRIu64 ",%" PRIu64 ",%.9g,%.6g\n",
                      comparison->count, words.optimizer, words.rest, words.mode, point->step,
                      point->epoch, point->loss, mean.mean);
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

double compare_gain(const struct comparison *comparison, size_t run)
{
    const struct compare_entry *const entry = &comparison->entry[run];
    const struct compare_entry *const first =
        &comparison->entry[run - run % comparison->options->modes];
    if (has_diverged(entry) || has_diverged(first))
        return NAN;
    return first->result.seconds / fmax(entry->result.seconds, 1e-9);
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
    char label[COMPARE_RUNS_MAX][COMPARE_TEXT_BYTES];
    char value[COMPARE_RUNS_MAX][VALUE_BYTES];
    size_t order[COMPARE_RUNS_MAX];
    const struct compare_options *const options = comparison->options;
    const struct train_options *const base = &options->base;
    char title[256];
    char note[256];
    compare_rank(comparison, order);
    for (size_t i = 0; i < comparison->count; i++) {
        const struct compare_entry *const entry = &comparison->entry[order[i]];
        compare_options_describe(options, order[i], label[i], sizeof label[i]);
        describe_value(&entry->result, value[i]);
        series[i] = (struct plot_series){
            .label = label[i],
            .value = value[i],
            .curve = &entry->result.curve,
            .diverged = has_diverged(entry),
        };
    }
    (void)snprintf(title, sizeof title, "%s by %s", base->model,
                   options->modes == 1               ? "optimizer"
                   : options->runs == options->modes ? "mode"
                                                     : "optimizer and mode");
    (void)snprintf(note, sizeof note,
                   "%u worker%s, batches of %u, schedule %s; with each run's test accuracy",
                   base->world, base->world == 1 ? "" : "s", base->batch[0], base->schedule);
    return plot_write(path,
                      &(struct plot){
                          .title = title,
                          .note = note,
                          .series = series,
                          .count = comparison->count,
                          .log_scale = options->log_scale,
                          .by_time = options->by_time,
                      },
                      reterr);
}

/* ---- The table ------------------------------------------------------------------------------- */

static const char head_optimizer[] = "optimizer";
static const char head_rest[] = "hyperparameters";
static const char head_mode[] = "mode";

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

/* How wide the columns of texts are. */
struct widths {
    int optimizer;
    int rest;
    int mode; /* 0: there is none */
};

static struct widths measure_columns(const struct comparison *comparison)
{
    struct widths widths = {
        .optimizer = wider(0, head_optimizer),
        .rest = wider(0, head_rest),
        .mode = comparison->options->modes > 1 ? wider(0, head_mode) : 0,
    };
    for (size_t i = 0; i < comparison->count; i++) {
        struct words words;
        put_into_words(comparison->entry[i].job, &words);
        widths.optimizer = wider(widths.optimizer, words.optimizer);
        widths.rest = wider(widths.rest, words.rest);
        if (widths.mode > 0)
            widths.mode = wider(widths.mode, words.mode);
    }
    return widths;
}

static void print_texts(FILE *out, const struct widths *widths, const char *optimizer,
                        const char *rest, const char *mode)
{
    (void)fprintf(out, "%-*s  %-*s  ", widths->optimizer, optimizer, widths->rest, rest);
    if (widths->mode > 0)
        (void)fprintf(out, "%-*s  ", widths->mode, mode);
}

static void print_gain(FILE *out, double gain)
{
    if (isnan(gain)) /* of two, the first has diverged */
        (void)fprintf(out, "  %6s", "-");
    else
        (void)fprintf(out, "  %6.2f", gain);
}

void compare_print_table(FILE *out, const struct comparison *comparison)
{
    size_t order[COMPARE_RUNS_MAX];
    const struct widths widths = measure_columns(comparison);
    compare_rank(comparison, order);
    print_texts(out, &widths, head_optimizer, head_rest, head_mode);
    (void)fprintf(out, "train loss  test loss  test accuracy  seconds%s\n",
                  widths.mode > 0 ? "    gain" : "");
    for (size_t i = 0; i < comparison->count; i++) {
        const struct train_result *const result = &comparison->entry[order[i]].result;
        struct words words;
        put_into_words(comparison->entry[order[i]].job, &words);
        print_texts(out, &widths, words.optimizer, words.rest, words.mode);
        if (result->diverged_at != 0) {
            (void)fprintf(out, "diverged at step %" PRIu64 "\n", result->diverged_at);
            continue;
        }
        print_loss(out, (int)strlen("train loss"), result->train_loss);
        print_loss(out, (int)strlen("test loss"), result->test_loss);
        (void)fprintf(out, "%13.4f  %7.1f", result->test_accuracy, result->seconds);
        if (widths.mode > 0)
            print_gain(out, compare_gain(comparison, order[i]));
        (void)fputc('\n', out);
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

static void print_steps(FILE *out, const struct comparison *comparison, size_t run)
{
    (void)fputs(", \"worker_steps\": [", out);
    for (uint32_t rank = 0; rank < comparison->options->base.world; rank++)
        (void)fprintf(out, "%s%" PRIu64, rank == 0 ? "" : ", ", comparison->entry[run].steps[rank]);
    (void)fputc(']', out);
}

static void print_run(FILE *out, const struct comparison *comparison, size_t run)
{
    const struct compare_entry *const entry = &comparison->entry[run];
    const struct train_result *const result = &entry->result;
    const bool diverged = has_diverged(entry);
    struct words words;
    put_into_words(entry->job, &words);
    (void)fprintf(out, "{\"run\": %zu, \"optimizer\": ", run + 1);
    print_string(out, words.optimizer);
    (void)fputs(", \"hyperparameters\": ", out);
    print_string(out, words.rest);
    (void)fputs(", \"mode\": ", out);
    print_string(out, words.mode);
    print_number(out, "steps", (double)result->steps);
    print_steps(out, comparison, run);
    print_number(out, "diverged_at", diverged ? (double)result->diverged_at : (double)NAN);
    print_number(out, "train_loss", result->train_loss);
    print_number(out, "test_loss", diverged ? (double)NAN : result->test_loss);
    print_number(out, "test_accuracy", diverged ? (double)NAN : result->test_accuracy);
    print_number(out, "seconds", result->seconds);
    if (comparison->options->modes > 1)
        print_number(out, "gain", compare_gain(comparison, run));
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
        print_run(out, comparison, order[i]);
    }
    (void)fputs("]}\n", out);
}
