/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of optimizers: that each row is whole, and what becomes of names and values as peers
 * and files may get them wrong.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "server/optim/optimizer.h"

static const struct optimizer *find(const char *name)
{
    const struct optimizer *optimizer = NULL;
    assert_int_equal(optimizer_find(name, &optimizer, NULL), STEPD_OK);
    return optimizer;
}

/* The value of a hyperparameter of a row by its name. */
static double value_of(const struct optimizer *optimizer, const char *name,
                       const struct optim_hyper *hyper)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return optimizer_hyper_get(&optimizer->hyper[i], hyper);
    }
    fail_msg("%s has no %s", optimizer->name, name);
    return NAN;
}

static void refuse(const char *optimizer, const char *name, double value, const char *text)
{
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find(optimizer), &hyper);
    const struct optim_hyper before = hyper;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(optimizer_hyper_set(find(optimizer), name, value, &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text);
    assert_memory_equal(&hyper, &before, sizeof before);
}

static void table__each_row__is_complete(void **state)
{
    (void)state;
    assert_int_equal(optimizer_count(), 5);
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        assert_ptr_equal(find(optimizer->name), optimizer);
        assert_non_null(optimizer->source);
        assert_true(optimizer_slots(optimizer) <= OPTIMIZER_SLOTS_MAX);
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
            assert_true((optimizer->slot[k].name != NULL) == (k < optimizer_slots(optimizer)));
        for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
            if (kernels_available((enum optim_isa)isa))
                assert_non_null(optimizer->step[isa]);
        }
    }
}

static void table__each_hyperparameter__has_its_own_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        for (size_t a = 0; a < optimizer->hypers; a++) {
            assert_true(optimizer->hyper[a].offset <= sizeof(struct optim_hyper) - sizeof(double));
            for (size_t b = 0; b < a; b++) {
                assert_int_not_equal(optimizer->hyper[a].offset, optimizer->hyper[b].offset);
                assert_string_not_equal(optimizer->hyper[a].name, optimizer->hyper[b].name);
            }
        }
    }
}

static void find__unknown_name__names_the_nearest(void **state)
{
    (void)state;
    const struct optimizer *optimizer = NULL;
    struct stepd_error error;
    assert_int_equal(optimizer_find("AdamW", &optimizer, &error), STEPD_NOT_FOUND);
    assert_int_equal(error.code, STEPD_NOT_FOUND);
    assert_string_equal(error.text, "unknown optimizer 'AdamW': did you mean 'adamw'?");
    assert_int_equal(optimizer_find("lbfgs", &optimizer, &error), STEPD_NOT_FOUND);
    assert_string_equal(
        error.text, "unknown optimizer 'lbfgs': known are sgd, momentum, nesterov, adam, adamw");
    assert_null(optimizer);
}

static void defaults__each_row__are_those_of_pytorch(void **state)
{
    (void)state;

    static const struct {
        const char *optimizer;
        const char *name;
        double value;
    } rows[] = {
        {"sgd", "lr", 1e-3},          {"sgd", "weight_decay", 0.0},
        {"momentum", "lr", 1e-3},     {"momentum", "momentum", 0.9},
        {"momentum", "dampening", 0}, {"momentum", "weight_decay", 0.0},
        {"nesterov", "lr", 1e-3},     {"nesterov", "momentum", 0.9},
        {"adam", "lr", 1e-3},         {"adam", "beta1", 0.9},
        {"adam", "beta2", 0.999},     {"adam", "eps", 1e-8},
        {"adam", "weight_decay", 0},  {"adamw", "weight_decay", 1e-2},
        {"adamw", "lr", 1e-3},        {"adamw", "eps", 1e-8},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct optim_hyper hyper;
        optimizer_hyper_defaults(find(rows[i].optimizer), &hyper);
        assert_true(value_of(find(rows[i].optimizer), rows[i].name, &hyper) == rows[i].value);
    }
}

static void defaults__what_a_row_does_not_read__is_zero(void **state)
{
    (void)state;
    struct optim_hyper hyper = {.momentum = 7.0, .beta1 = 7.0, .eps = 7.0};
    optimizer_hyper_defaults(find("sgd"), &hyper);
    assert_true(hyper.momentum == 0.0 && hyper.beta1 == 0.0 && hyper.eps == 0.0);
    assert_true(hyper.lr == 1e-3);
}

static void set__known_name__changes_that_field_only(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find("adam"), &hyper);
    struct optim_hyper wanted = hyper;
    wanted.beta2 = 0.95;
    assert_int_equal(optimizer_hyper_set(find("adam"), "beta2", 0.95, &hyper, NULL), STEPD_OK);
    assert_memory_equal(&hyper, &wanted, sizeof wanted);
}

static void set__unknown_name__names_the_nearest(void **state)
{
    (void)state;
    refuse("adam", "beta_1", 0.9, "adam has no hyperparameter 'beta_1': did you mean 'beta1'?");
    refuse("sgd", "momentum", 0.9,
           "sgd has no hyperparameter 'momentum': known are lr, weight_decay");
    refuse("nesterov", "dampening", 0.0,
           "nesterov has no hyperparameter 'dampening': known are lr, weight_decay, momentum");
}

static void set__out_of_range__states_the_range(void **state)
{
    (void)state;
    refuse("adam", "beta1", 1.0, "hyperparameter 'beta1' of adam must be in [0, 1), and 1 is not");
    refuse("nesterov", "momentum", 0.0,
           "hyperparameter 'momentum' of nesterov must be in (0, 1), and 0 is not");
    refuse("momentum", "dampening", 1.5,
           "hyperparameter 'dampening' of momentum must be in [0, 1], and 1.5 is not");
    refuse("adamw", "eps", 0.0,
           "hyperparameter 'eps' of adamw must be in [1.17549e-38, 1], and 0 is not");
}

static void set__each_end_of_each_range__is_taken_unless_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer, &hyper);
        for (size_t h = 0; h < optimizer->hypers; h++) {
            const struct optim_hyper_spec *const spec = &optimizer->hyper[h];
            const enum stepd_status at_least =
                optimizer_hyper_set(optimizer, spec->name, spec->least, &hyper, NULL);
            assert_int_equal(at_least, spec->least_open ? STEPD_INVALID_ARGUMENT : STEPD_OK);
            const enum stepd_status at_most =
                optimizer_hyper_set(optimizer, spec->name, spec->most, &hyper, NULL);
            assert_int_equal(at_most, spec->most_open ? STEPD_INVALID_ARGUMENT : STEPD_OK);
        }
    }
}

static void set__not_a_number__is_refused_everywhere(void **state)
{
    (void)state;
    static const double values[] = {NAN, INFINITY, -INFINITY, -1e-300};
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer, &hyper);
        for (size_t h = 0; h < optimizer->hypers; h++) {
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++)
                assert_int_equal(optimizer_hyper_set(optimizer, optimizer->hyper[h].name, values[v],
                                                     &hyper, NULL),
                                 STEPD_INVALID_ARGUMENT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__each_row__is_complete),
        cmocka_unit_test(table__each_hyperparameter__has_its_own_place),
        cmocka_unit_test(find__unknown_name__names_the_nearest),
        cmocka_unit_test(defaults__each_row__are_those_of_pytorch),
        cmocka_unit_test(defaults__what_a_row_does_not_read__is_zero),
        cmocka_unit_test(set__known_name__changes_that_field_only),
        cmocka_unit_test(set__unknown_name__names_the_nearest),
        cmocka_unit_test(set__out_of_range__states_the_range),
        cmocka_unit_test(set__each_end_of_each_range__is_taken_unless_open),
        cmocka_unit_test(set__not_a_number__is_refused_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
