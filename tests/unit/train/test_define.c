/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of a job, as a home that writes it down gets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/define.h"

#define TEXT_BYTES 512u

/* A home that knows only how to be defined. */
struct notebook {
    struct home home; /* first */
    bool defined;     /* with a job */
    size_t tensors;
    char optimizers[TEXT_BYTES];
    char schedule[TEXT_BYTES];
};

static void write_params(char *text, const struct stepd_param *params, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        if (params[i].word != NULL)
            (void)snprintf(text + used, TEXT_BYTES - used, " %s=%s", params[i].name,
                           params[i].word);
        else if (params[i].list == NULL)
            (void)snprintf(text + used, TEXT_BYTES - used, " %s=%g", params[i].name,
                           params[i].value);
        for (size_t k = 0; params[i].list != NULL && k < params[i].count; k++) {
            used = strlen(text);
            (void)snprintf(text + used, TEXT_BYTES - used, "%s%s%g", k == 0 ? " " : ",",
                           k == 0 ? "list=" : "", params[i].list[k]);
        }
    }
}

static enum stepd_status take_notes(struct home *home, const struct stepd_job_options *job,
                                    const struct stepd_tensor *tensors, size_t count,
                                    struct stepd_error *reterr)
{
    (void)reterr;
    struct notebook *const notes = (struct notebook *)home;
    assert_string_equal(tensors[0].name, "fc1.weight");
    notes->tensors = count;
    notes->defined = job != NULL;
    if (job == NULL)
        return STEPD_OK;
    assert_int_equal(job->groups_count, 1);
    const struct stepd_param_group *const group = &job->groups[0];
    (void)snprintf(notes->optimizers, TEXT_BYTES, "%s", group->optimizer);
    write_params(notes->optimizers, group->params, group->params_count);
    for (size_t i = 0; i < group->phases_count; i++) {
        const struct stepd_param_phase *const phase = &group->phases[i];
        const size_t used = strlen(notes->optimizers);
        (void)snprintf(notes->optimizers + used, TEXT_BYTES - used, "; %llu: %s",
                       (unsigned long long)phase->from, phase->optimizer);
        write_params(notes->optimizers, phase->params, phase->params_count);
    }
    (void)snprintf(notes->schedule, TEXT_BYTES, "%s", group->schedule);
    write_params(notes->schedule, group->schedule_params, group->schedule_params_count);
    return STEPD_OK;
}

static const struct home_kind notebook_kind = {.define = take_notes};

static struct notebook notes;
static struct train_options options;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    notes = (struct notebook){.home.kind = &notebook_kind};
    options = (struct train_options){
        .recipe = {.optimizer = "sgd"},
        .schedule = "constant",
        .world = 1,
    };
    return 0;
}

/* Defines a job whose workers take so many steps. */
static enum stepd_status define(uint64_t steps)
{
    const struct model_task task = {.image = {1, 1, 3}, .classes = 2};
    struct model *model;
    assert_int_equal(model_create("softmax", &task, 1, &model, &error), STEPD_OK);
    const enum stepd_status status = define_job(&notes.home, &options, model, steps, &error);
    model_destroy(model);
    return status;
}

static void read_recipe(const char *text)
{
    options.recipe = (struct train_recipe){.phases = 0};
    assert_int_equal(recipe_read(text, &options.recipe, &error), STEPD_OK);
}

static void read_schedule(const char *kind, const char *param)
{
    options.schedule = kind;
    assert_int_equal(params_read(param, strlen(param), &options.schedule_params, &error), STEPD_OK);
}

static void define_job__recipe__is_sent_with_all_its_settings(void **state)
{
    (void)state;
    read_recipe("adam lr=0.001 eps_mode=inside betas=0.8,0.95 then sgd from=300 lr=0.05 "
                "then lion from=400");
    assert_int_equal(define(10), STEPD_OK);
    assert_string_equal(notes.optimizers, "adam lr=0.001 eps_mode=inside list=0.8,0.95; "
                                          "300: sgd lr=0.05; 400: lion");
    assert_int_equal(notes.tensors, 2);
}

static void define_job__schedule__is_sent_with_all_its_settings(void **state)
{
    (void)state;
    read_schedule("multistep", "milestones=100,200");
    assert_int_equal(define(10), STEPD_OK);
    assert_string_equal(notes.schedule, "multistep list=100,200");
}

static void define_job__schedule_that_spans_the_run__is_told_its_length(void **state)
{
    (void)state;
    options.schedule = "cosine";
    assert_int_equal(define(240), STEPD_OK);
    assert_string_equal(notes.schedule, "cosine t_max=240");
    read_schedule("one_cycle", "max_lr=0.1");
    assert_int_equal(define(240), STEPD_OK);
    assert_string_equal(notes.schedule, "one_cycle max_lr=0.1 total_steps=240");
}

static void define_job__length_that_was_given__stays(void **state)
{
    (void)state;
    read_schedule("cosine", "T_max=100");
    assert_int_equal(define(240), STEPD_OK);
    assert_string_equal(notes.schedule, "cosine T_max=100");
}

static void define_job__warmup__is_no_part_of_the_span(void **state)
{
    (void)state;
    read_schedule("cosine", "warmup=40");
    assert_int_equal(define(240), STEPD_OK);
    assert_string_equal(notes.schedule, "cosine warmup=40 t_max=200");
}

static void define_job__async__spans_the_updates_of_all_workers(void **state)
{
    (void)state;
    options.schedule = "cosine";
    options.mode = STEPD_ASYNC;
    options.world = 2;
    assert_int_equal(define(7), STEPD_OK);
    assert_string_equal(notes.schedule, "cosine t_max=14");
}

static void define_job__optimizer_that_needs_a_hessian__is_refused(void **state)
{
    static const char *const recipes[] = {"newton damping=1", "sgd then newton from=3"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        read_recipe(recipes[i]);
        assert_int_equal(define(10), STEPD_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "'newton' needs second derivatives"));
        assert_false(notes.defined);
    }
}

static void define_job__optimizer_that_is_not_known__is_the_homes_to_judge(void **state)
{
    (void)state;
    read_recipe("adamx");
    assert_int_equal(define(10), STEPD_OK);
    assert_string_equal(notes.optimizers, "adamx");
}

static void define_job__server_defines_it__sends_the_tensors_alone(void **state)
{
    (void)state;
    options.defined = true;
    assert_int_equal(define(10), STEPD_OK);
    assert_false(notes.defined);
    assert_int_equal(notes.tensors, 2);
}

#define FRESH(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(define_job__recipe__is_sent_with_all_its_settings),
        FRESH(define_job__schedule__is_sent_with_all_its_settings),
        FRESH(define_job__schedule_that_spans_the_run__is_told_its_length),
        FRESH(define_job__length_that_was_given__stays),
        FRESH(define_job__warmup__is_no_part_of_the_span),
        FRESH(define_job__async__spans_the_updates_of_all_workers),
        FRESH(define_job__optimizer_that_needs_a_hessian__is_refused),
        FRESH(define_job__optimizer_that_is_not_known__is_the_homes_to_judge),
        FRESH(define_job__server_defines_it__sends_the_tensors_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
