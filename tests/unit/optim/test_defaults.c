/* SPDX-License-Identifier: Apache-2.0
 *
 * What a hyperparameter is when nobody sets it. tests/torch/defaults.py compares the rows that
 * PyTorch has with the installed one; the numbers here hold where there is none, and for the rows
 * that it lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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
    return 0.0;
}

struct default_value {
    const char *optimizer;
    const char *name;
    double value;
};

static void assert_defaults(const struct default_value *row, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        struct optim_hyper hyper;
        optimizer_hyper_defaults(find(row[i].optimizer), &hyper);
        if (value_of(find(row[i].optimizer), row[i].name, &hyper) != row[i].value)
            fail_msg("%s of %s is not %g", row[i].name, row[i].optimizer, row[i].value);
    }
}

static void defaults__each_row__are_those_of_pytorch(void **state)
{
    (void)state;

    static const struct default_value rows[] = {
        {"sgd", "lr", 1e-3},          {"sgd", "weight_decay", 0.0},
        {"momentum", "lr", 1e-3},     {"momentum", "momentum", 0.9},
        {"momentum", "dampening", 0}, {"momentum", "weight_decay", 0.0},
        {"nesterov", "lr", 1e-3},     {"nesterov", "momentum", 0.9},
        {"adam", "lr", 1e-3},         {"adam", "beta1", 0.9},
        {"adam", "beta2", 0.999},     {"adam", "eps", 1e-8},
        {"adam", "weight_decay", 0},  {"adamw", "weight_decay", 1e-2},
        {"adamw", "lr", 1e-3},        {"adamw", "eps", 1e-8},
        {"adagrad", "lr", 1e-2},      {"adagrad", "eps", 1e-10},
        {"adagrad", "lr_decay", 0},   {"adagrad", "initial_accumulator_value", 0},
        {"adadelta", "lr", 1.0},      {"adadelta", "rho", 0.9},
        {"adadelta", "eps", 1e-6},    {"adadelta", "weight_decay", 0},
        {"rmsprop", "lr", 1e-2},      {"rmsprop", "alpha", 0.99},
        {"rmsprop", "eps", 1e-8},     {"rmsprop", "momentum", 0.0},
        {"rmsprop", "centered", 0.0}, {"rmsprop", "eps_mode", OPTIM_EPS_OUTSIDE},
        {"asgd", "lr", 1e-2},         {"asgd", "lambd", 1e-4},
        {"asgd", "alpha", 0.75},      {"asgd", "t0", 1e6},
        {"rprop", "lr", 1e-2},        {"rprop", "etaminus", 0.5},
        {"rprop", "etaplus", 1.2},    {"rprop", "step_min", 1e-6},
        {"rprop", "step_max", 50.0},  {"momentum", "form", OPTIM_FORM_TORCH},
    };

    assert_defaults(rows, sizeof rows / sizeof rows[0]);
}

/* Of the authors' code, of MXNet, or of the paper, as their files say. */
static void defaults__rows_that_pytorch_lacks__are_those_of_their_sources(void **state)
{
    (void)state;

    static const struct default_value rows[] = {
        {"rmsprop_nesterov", "lr", 1e-3},
        {"rmsprop_nesterov", "rho", 0.9},
        {"rmsprop_nesterov", "eps", 1e-6},
        {"rmsprop_nesterov", "momentum", 0.9},
        {"rmsprop_nesterov", "weight_decay", 0},
        {"ftrl", "lr", 0.1},
        {"ftrl", "beta", 1},
        {"ftrl", "l1", 0},
        {"ftrl", "l2", 0},
        {"ftrl", "initial_accumulator_value", 0},
        {"lion", "lr", 1e-4},
        {"lion", "beta1", 0.9},
        {"lion", "beta2", 0.99},
        {"lion", "weight_decay", 0},
        {"adabound", "lr", 1e-3},
        {"adabound", "beta1", 0.9},
        {"adabound", "beta2", 0.999},
        {"adabound", "eps", 1e-8},
        {"adabound", "final_lr", 0.1},
        {"adabound", "gamma", 1e-3},
        {"adabound", "weight_decay", 0},
        {"adabound", "amsgrad", 0},
        {"amsbound", "lr", 1e-3},
        {"amsbound", "beta1", 0.9},
        {"amsbound", "beta2", 0.999},
        {"amsbound", "eps", 1e-8},
        {"amsbound", "final_lr", 0.1},
        {"amsbound", "gamma", 1e-3},
        {"amsbound", "weight_decay", 0},
        {"amsbound", "amsgrad", 1},
        {"lars", "lr", 0.1},
        {"lars", "momentum", 0.9},
        {"lars", "trust_coefficient", 1e-3},
        {"lars", "eps", 1e-8},
        {"lars", "weight_decay", 0},
        {"lamb", "lr", 1e-3},
        {"lamb", "beta1", 0.9},
        {"lamb", "beta2", 0.999},
        {"lamb", "eps", 1e-6},
        {"lamb", "weight_decay", 0},
        {"swats", "lr", 1e-3},
        {"swats", "beta1", 0.9},
        {"swats", "beta2", 0.999},
        {"swats", "eps", 1e-9},
        {"swats", "weight_decay", 0},
        {"lbfgs", "c1", 1e-4},
        {"newton", "lr", 1},
        {"newton", "damping", 0},
    };

    assert_defaults(rows, sizeof rows / sizeof rows[0]);
}

static void defaults__what_a_row_does_not_read__is_zero(void **state)
{
    (void)state;
    struct optim_hyper hyper = {.momentum = 7.0, .beta1 = 7.0, .eps = 7.0};
    optimizer_hyper_defaults(find("sgd"), &hyper);
    assert_true(hyper.momentum == 0.0 && hyper.beta1 == 0.0 && hyper.eps == 0.0);
    assert_true(hyper.lr == 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults__each_row__are_those_of_pytorch),
        cmocka_unit_test(defaults__rows_that_pytorch_lacks__are_those_of_their_sources),
        cmocka_unit_test(defaults__what_a_row_does_not_read__is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
