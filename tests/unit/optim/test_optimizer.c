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

static const struct optim_hyper_spec *spec_of(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return &optimizer->hyper[i];
    }
    fail_msg("%s has no %s", optimizer->name, name);
    return NULL;
}

/* Sets a value, by its word where it has one. */
static enum stepd_status set_value(const struct optimizer *optimizer,
                                   const struct optim_hyper_spec *spec, double value,
                                   struct optim_hyper *hyper)
{
    if (spec->word != NULL)
        return optimizer_hyper_set_word(optimizer, spec->name, spec->word[(size_t)value], hyper,
                                        NULL);
    return optimizer_hyper_set(optimizer, spec->name, value, hyper, NULL);
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

/* What a row of a scope must have, and what it must not. */
static void assert_scope(const struct optimizer *optimizer)
{
    const bool element = optimizer->scope == OPTIM_SCOPE_ELEMENT;
    assert_true((optimizer->whole == NULL) == element);
    assert_true(optimizer->scratch == NULL || !element);
    assert_true(optimizer->check_shape == NULL || !element);
    assert_true(optimizer->prepare == NULL || element);
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        const bool available = kernels_available((enum optim_isa)isa);
        if (available)
            assert_true((optimizer->step[isa] != NULL) == element);
        if (available && optimizer->looks_ahead != NULL)
            assert_non_null(optimizer->lookahead[isa]);
    }
}

static void table__each_row__is_complete(void **state)
{
    (void)state;
    assert_true(optimizer_count() > 0);
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        assert_ptr_equal(find(optimizer->name), optimizer);
        assert_true(optimizer->source != NULL && strlen(optimizer->source) > 0);
        assert_true(optimizer->scalars <= OPTIMIZER_SCALARS_MAX);
        assert_scope(optimizer);
    }
}

static void table__each_check__has_its_rules_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        const bool checks = optimizer->check != NULL || optimizer->check_shape != NULL;
        assert_int_equal(checks, optimizer->rules != NULL);
    }
}

static void table__each_slot__has_a_name_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        const size_t slots = optimizer_slots(optimizer);
        for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
            const struct optim_slot_spec *const slot = &optimizer->slot[k];
            assert_true((slot->name != NULL) == (k < slots));
            assert_true(slot->floats == NULL || optimizer->scope != OPTIM_SCOPE_ELEMENT);
            for (size_t m = 0; m < k && k < slots; m++)
                assert_string_not_equal(slot->name, optimizer->slot[m].name);
        }
    }
}

static void table__each_hyperparameter__has_a_default_in_its_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer, &hyper);
        for (size_t h = 0; h < optimizer->hypers; h++) {
            const struct optim_hyper_spec *const spec = &optimizer->hyper[h];
            assert_true(spec->least < spec->most);
            assert_true(!spec->whole || spec->fallback == floor(spec->fallback));
            assert_true(spec->word == NULL || spec->whole);
            assert_int_equal(set_value(optimizer, spec, spec->fallback, &hyper), STEPD_OK);
        }
        assert_int_equal(optimizer_hyper_check(optimizer, &hyper, NULL), STEPD_OK);
    }
}

static void table__each_word__can_be_set_by_that_word(void **state)
{
    (void)state;
    size_t words = 0;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer, &hyper);
        for (size_t h = 0; h < optimizer->hypers; h++) {
            const struct optim_hyper_spec *const spec = &optimizer->hyper[h];
            for (double value = spec->least; spec->word != NULL && value <= spec->most; value++) {
                assert_int_equal(set_value(optimizer, spec, value, &hyper), STEPD_OK);
                assert_true(optimizer_hyper_get(spec, &hyper) == value);
                words++;
            }
        }
    }
    assert_true(words > 0);
}

/* What the preset pins is known to the row, in its range, and differs from the default. */
static void assert_pinned(const struct optimizer *optimizer)
{
    struct optim_hyper torch;
    struct optim_hyper lecture;
    assert_int_equal(optimizer_preset(optimizer, "torch", &torch, NULL), STEPD_OK);
    for (size_t k = 0; k < OPTIMIZER_FIXED_MAX && optimizer->lecture[k].name != NULL; k++) {
        const struct optim_fixed *const fixed = &optimizer->lecture[k];
        const struct optim_hyper_spec *const spec = spec_of(optimizer, fixed->name);
        assert_int_equal(set_value(optimizer, spec, fixed->value, &torch), STEPD_OK);
        assert_true(fixed->value != spec->fallback);
    }
    assert_int_equal(optimizer_preset(optimizer, "lecture", &lecture, NULL), STEPD_OK);
    assert_memory_equal(&lecture, &torch, sizeof lecture);
    assert_int_equal(optimizer_hyper_check(optimizer, &lecture, NULL), STEPD_OK);
}

static void table__each_lecture_preset__pins_what_the_row_knows(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++)
        assert_pinned(optimizer_at(i));
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
    assert_int_equal(optimizer_find("gradient", &optimizer, &error), STEPD_NOT_FOUND);
    const char *const known = "unknown optimizer 'gradient': known are sgd, momentum, nesterov, ";
    assert_memory_equal(error.text, known, strlen(known));
    assert_null(optimizer);
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
    refuse(
        "nesterov", "dampening", 0.0,
        "nesterov has no hyperparameter 'dampening': known are lr, weight_decay, momentum, form");
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
            const enum stepd_status at_least = set_value(optimizer, spec, spec->least, &hyper);
            assert_int_equal(at_least, spec->least_open ? STEPD_INVALID_ARGUMENT : STEPD_OK);
            const enum stepd_status at_most = set_value(optimizer, spec, spec->most, &hyper);
            assert_int_equal(at_most, spec->most_open ? STEPD_INVALID_ARGUMENT : STEPD_OK);
        }
    }
}

static void set__word__names_the_nearest(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find("nesterov"), &hyper);
    const struct optim_hyper before = hyper;
    struct stepd_error error;
    assert_int_equal(optimizer_hyper_set_word(find("nesterov"), "form", "interm", &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "hyperparameter 'form' of nesterov cannot be 'interm': did you "
                                    "mean 'interim'?");
    assert_int_equal(optimizer_hyper_set_word(find("nesterov"), "lr", "big", &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "hyperparameter 'lr' of nesterov is a number, not 'big'");
    assert_memory_equal(&hyper, &before, sizeof before);
    refuse("nesterov", "form", 1.0,
           "hyperparameter 'form' of nesterov is a word such as 'torch', not 1");
}

static void set__word_of_another_row__is_refused(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find("momentum"), &hyper);
    struct stepd_error error;
    assert_int_equal(optimizer_hyper_set_word(find("momentum"), "form", "interim", &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(
        error.text,
        "hyperparameter 'form' of momentum cannot be 'interim': known are torch, classic");
}

static void set__list__sets_each_of_its_numbers(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find("rprop"), &hyper);
    assert_int_equal(
        optimizer_hyper_set_list(find("rprop"), "etas", 2, (double[]){0.25, 1.5}, &hyper, NULL),
        STEPD_OK);
    assert_int_equal(optimizer_hyper_set_list(find("rprop"), "step_sizes", 2, (double[]){1e-3, 2.0},
                                              &hyper, NULL),
                     STEPD_OK);
    assert_true(hyper.etaminus == 0.25 && hyper.etaplus == 1.5);
    assert_true(hyper.step_min == 1e-3 && hyper.step_max == 2.0);
}

static void set__list_of_another_length__says_how_many(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(find("rprop"), &hyper);
    struct stepd_error error;
    assert_int_equal(optimizer_hyper_set_list(find("rprop"), "etas", 3, (double[]){0.5, 1.2, 1.3},
                                              &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "etas of rprop takes 2 numbers, not 3");
    assert_int_equal(optimizer_hyper_set(find("rprop"), "etas", 0.5, &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "etas of rprop takes 2 numbers, not 1");
}

static void check__values_that_exclude_each_other__says_why(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    struct stepd_error error;
    optimizer_hyper_defaults(find("rprop"), &hyper);
    hyper.step_min = 51.0;
    assert_int_equal(optimizer_hyper_check(find("rprop"), &hyper, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text,
                        "step_min of rprop is 51, above step_max, 50: no step would be both");
    optimizer_hyper_defaults(find("ftrl"), &hyper);
    hyper.beta = 0.0;
    assert_int_equal(optimizer_hyper_check(find("ftrl"), &hyper, &error), STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "one of beta, l2 and initial_accumulator_value of ftrl must be "
                                    "at least 1e-06: a tiny gradient would divide by 0");
    hyper.l2 = 0.5;
    assert_int_equal(optimizer_hyper_check(find("ftrl"), &hyper, &error), STEPD_OK);
}

static void preset__unknown__names_the_known(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    struct stepd_error error;
    assert_int_equal(optimizer_preset(find("sgd"), "keras", &hyper, &error),
                     STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, "unknown preset 'keras': it is torch or lecture");
}

static void slots__of_hyperparameters_that_need_them_not__are_not_used(void **state)
{
    (void)state;
    const struct optimizer *const rmsprop = find("rmsprop");
    const struct optim_shape shape = {.dims = 1, .dim = (uint64_t[]){5}, .elements = 5};
    struct optim_hyper hyper;
    optimizer_hyper_defaults(rmsprop, &hyper);
    assert_int_equal(optimizer_slot_floats(rmsprop, 0, &hyper, 1, &shape), 5);
    assert_int_equal(optimizer_slot_floats(rmsprop, 1, &hyper, 1, &shape), 0);
    assert_int_equal(optimizer_slot_floats(rmsprop, 2, &hyper, 1, &shape), 0);
    hyper.centered = 1.0;
    hyper.momentum = 0.5;
    assert_int_equal(optimizer_slot_floats(rmsprop, 1, &hyper, 1, &shape), 5);
    assert_int_equal(optimizer_slot_floats(rmsprop, 2, &hyper, 1, &shape), 5);
}

static void set__beyond_the_range__is_refused_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer, &hyper);
        for (size_t h = 0; h < optimizer->hypers; h++) {
            const struct optim_hyper_spec *const spec = &optimizer->hyper[h];
            const double values[] = {NAN, INFINITY, -INFINITY, nextafter(spec->least, -INFINITY),
                                     nextafter(spec->most, INFINITY)};
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++)
                assert_int_equal(
                    optimizer_hyper_set(optimizer, spec->name, values[v], &hyper, NULL),
                    STEPD_INVALID_ARGUMENT);
        }
    }
}

static void momentum__of_a_row_with_moments__is_beta1_or_momentum(void **state)
{
    static const struct {
        const char *optimizer;
        size_t offset;
    } cases[] = {
        {"adamw", offsetof(struct optim_hyper, beta1)},
        {"nesterov", offsetof(struct optim_hyper, momentum)},
        {"lion", offsetof(struct optim_hyper, beta1)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct optim_hyper hyper;
        const double *const at = optimizer_momentum(find(cases[i].optimizer), &hyper);
        assert_ptr_equal(at, (const char *)&hyper + cases[i].offset);
    }
}

static void momentum__of_a_row_without__is_none(void **state)
{
    (void)state;
    struct optim_hyper hyper;
    assert_null(optimizer_momentum(find("sgd"), &hyper));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__each_row__is_complete),
        cmocka_unit_test(table__each_check__has_its_rules_in_words),
        cmocka_unit_test(table__each_slot__has_a_name_of_its_own),
        cmocka_unit_test(table__each_hyperparameter__has_its_own_place),
        cmocka_unit_test(table__each_hyperparameter__has_a_default_in_its_range),
        cmocka_unit_test(table__each_word__can_be_set_by_that_word),
        cmocka_unit_test(table__each_lecture_preset__pins_what_the_row_knows),
        cmocka_unit_test(find__unknown_name__names_the_nearest),
        cmocka_unit_test(set__known_name__changes_that_field_only),
        cmocka_unit_test(set__unknown_name__names_the_nearest),
        cmocka_unit_test(set__out_of_range__states_the_range),
        cmocka_unit_test(set__each_end_of_each_range__is_taken_unless_open),
        cmocka_unit_test(set__word__names_the_nearest),
        cmocka_unit_test(set__word_of_another_row__is_refused),
        cmocka_unit_test(set__list__sets_each_of_its_numbers),
        cmocka_unit_test(set__list_of_another_length__says_how_many),
        cmocka_unit_test(set__beyond_the_range__is_refused_everywhere),
        cmocka_unit_test(check__values_that_exclude_each_other__says_why),
        cmocka_unit_test(preset__unknown__names_the_known),
        cmocka_unit_test(momentum__of_a_row_with_moments__is_beta1_or_momentum),
        cmocka_unit_test(momentum__of_a_row_without__is_none),
        cmocka_unit_test(slots__of_hyperparameters_that_need_them_not__are_not_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
