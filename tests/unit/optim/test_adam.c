/* SPDX-License-Identifier: Apache-2.0
 *
 * Adam, AdamW and AMSGrad against their papers, in every form that is offered. Each rule below is
 * written as it is printed, with the letters of its source.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/optim/kernels.h"
#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/paper.h"

/* ---- The rules as printed -------------------------------------------------------------------- */

/* Kingma and Ba 2015, algorithm 1, with the gradient of weight_decay / 2 theta^2 (L2). */
static void algorithm_1(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    g += h->weight_decay * e->w;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    const double v_hat = e->b / (1.0 - pow(h->beta2, (double)step->t));
    e->w = e->w - step->lr * m_hat / (sqrt(v_hat) + h->eps);
}

/* The remark under it: "alpha_t = alpha sqrt(1 - beta2^t) / (1 - beta1^t) and theta_t = theta_t-1
 * - alpha_t m_t / (sqrt(v_t) + eps_hat)". */
static void remark(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double alpha_t = step->lr * sqrt(1.0 - pow(h->beta2, (double)step->t)) /
                           (1.0 - pow(h->beta1, (double)step->t));
    e->w = e->w - alpha_t * e->a / (sqrt(e->b) + h->eps);
}

/* Deep Learning, algorithm 8.7, as the lecture prints it: delta inside the root. */
static void algorithm_8_7(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double s_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    const double r_hat = e->b / (1.0 - pow(h->beta2, (double)step->t));
    e->w = e->w + -step->lr * s_hat / sqrt(r_hat + h->eps);
}

/* The lecture's simplified form: no bias correction, eps inside the root. */
static void simplified(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    e->w = e->w - step->lr / sqrt(e->b + h->eps) * e->a;
}

/* Loshchilov and Hutter 2019, algorithm 2: alpha is the rate before the schedule, eta_t the
 * schedule's multiplier. */
static void algorithm_2(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    const double alpha = h->lr;
    const double eta_t = step->lr / h->lr;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    const double v_hat = e->b / (1.0 - pow(h->beta2, (double)step->t));
    e->w = e->w - eta_t * (alpha * m_hat / (sqrt(v_hat) + h->eps) + h->weight_decay * e->w);
}

/* The same with PyTorch's decay, lr times weight_decay. */
static void decoupled(const struct optim_step *step, double g, struct paper_element *e)
{
    struct optim_hyper plain = *step->hyper;
    plain.weight_decay = 0.0;
    const double decay = step->lr * step->hyper->weight_decay * e->w;
    algorithm_1(&(struct optim_step){.hyper = &plain, .lr = step->lr, .t = step->t}, g, e);
    e->w -= decay;
}

/* Reddi, Kale and Kumar 2018, algorithm 2, with eps so that 0/0 cannot be. */
static void amsgrad(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    e->c = fmax(e->c, e->b);
    e->w = e->w - step->lr * e->a / (sqrt(e->c) + h->eps);
}

/* PyTorch's docs under Adam: the same, bias-corrected afterwards. */
static void amsgrad_raw(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    e->c = fmax(e->c, e->b);
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    const double v_hat = e->c / (1.0 - pow(h->beta2, (double)step->t));
    e->w = e->w - step->lr * m_hat / (sqrt(v_hat) + h->eps);
}

/* optax.amsgrad: the maximum of what is corrected. */
static void amsgrad_corrected(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    e->c = fmax(e->c, e->b / (1.0 - pow(h->beta2, (double)step->t)));
    e->w = e->w - step->lr * m_hat / (sqrt(e->c) + h->eps);
}

/* The same two with eps inside the root. */
static void amsgrad_raw_inside(const struct optim_step *step, double g, struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    e->c = fmax(e->c, e->b);
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    const double v_hat = e->c / (1.0 - pow(h->beta2, (double)step->t));
    e->w = e->w - step->lr * m_hat / sqrt(v_hat + h->eps);
}

static void amsgrad_corrected_inside(const struct optim_step *step, double g,
                                     struct paper_element *e)
{
    const struct optim_hyper *const h = step->hyper;
    e->a = h->beta1 * e->a + (1.0 - h->beta1) * g;
    e->b = h->beta2 * e->b + (1.0 - h->beta2) * g * g;
    const double m_hat = e->a / (1.0 - pow(h->beta1, (double)step->t));
    e->c = fmax(e->c, e->b / (1.0 - pow(h->beta2, (double)step->t)));
    e->w = e->w - step->lr * m_hat / sqrt(e->c + h->eps);
}

/* ---- Adam ------------------------------------------------------------------------------------ */

/* PyTorch's form; the betas are so that the moments forget within the test. */
static struct optim_hyper quick(const char *optimizer)
{
    struct optim_hyper hyper = paper_hyper(optimizer, "torch");
    hyper.lr = 0.005;
    hyper.beta1 = 0.8;
    hyper.beta2 = 0.95;
    hyper.eps = 1e-5;
    return hyper;
}

static void adam__eps_outside__follows_algorithm_1(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adam", "torch");
    paper_follow("adam", &hyper, algorithm_1);
    hyper.beta1 = 0.0;
    hyper.beta2 = 0.0;
    paper_follow("adam", &hyper, algorithm_1);
    hyper = quick("adam");
    hyper.weight_decay = PAPER_L2;
    paper_follow("adam", &hyper, algorithm_1);
}

static void adam__cycled_momentum__is_corrected_by_the_present_beta1(void **state)
{
    (void)state;
    const struct optim_hyper hyper = quick("adam");
    paper_follow_cycled("adam", &hyper, algorithm_1);
}

static void adam__eps_hat__follows_the_remark(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("adam");
    hyper.eps_mode = OPTIM_EPS_HAT;
    paper_follow("adam", &hyper, remark);
}

static void adam__lecture_preset__follows_algorithm_8_7(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adam", "lecture");
    paper_follow("adam", &hyper, algorithm_8_7);
    hyper.beta2 = 0.95;
    paper_follow("adam", &hyper, algorithm_8_7);
}

static void adam__without_bias_correction__is_the_simplified_form(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adam", "lecture");
    hyper.bias_correction = 0.0;
    paper_follow("adam", &hyper, simplified);
}

static void adam__decoupled_decay__is_adamw(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("adam");
    hyper.weight_decay = 0.3;
    hyper.decay = OPTIM_DECAY_LR;
    paper_follow("adam", &hyper, decoupled);
}

/* ---- AdamW ----------------------------------------------------------------------------------- */

static void adamw__decoupled_lr__shrinks_by_rate_times_decay(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adamw", "torch");
    paper_follow("adamw", &hyper, decoupled);
    hyper = quick("adamw");
    hyper.weight_decay = 0.5;
    paper_follow("adamw", &hyper, decoupled);
}

static void adamw__lecture_preset__follows_algorithm_2(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adamw", "lecture");
    hyper.weight_decay = 0.002;
    paper_follow("adamw", &hyper, algorithm_2);
    hyper.lr = 0.01;
    hyper.beta2 = 0.9;
    paper_follow("adamw", &hyper, algorithm_2);
}

/* The remark of adam.c: what one calls weight_decay the other calls lr * weight_decay. */
static void adamw__constant_rate__differs_from_the_paper_by_a_factor_of_lr(void **state)
{
    (void)state;
    const struct optim_hyper torch = paper_hyper("adamw", "torch");
    const struct optim_hyper lecture = paper_hyper("adamw", "lecture");
    assert_true(lecture.weight_decay == torch.lr * torch.weight_decay);
}

/* With no rate before the schedule there is no multiplier. */
static void adamw__rate_of_zero__moves_nothing(void **state)
{
    (void)state;
    const struct optimizer *adamw = NULL;
    assert_int_equal(optimizer_find("adamw", &adamw, NULL), STEPD_OK);
    struct optim_hyper hyper = paper_hyper("adamw", "lecture");
    hyper.weight_decay = 0.1;
    hyper.lr = 0.0;
    float w = 0.75f;
    const float g = 1.0f;
    float m = 0.0f;
    float v = 0.0f;
    float *const slot[OPTIMIZER_SLOTS_MAX] = {&m, &v};
    const struct optim_step step = {.hyper = &hyper, .lr = 0.0, .t = 1};
    adamw->step[kernels_choose()](&step, 1, &w, &g, slot);
    assert_int_equal(numbers_bits(w), numbers_bits(0.75f));
}

/* ---- AMSGrad --------------------------------------------------------------------------------- */

static void amsgrad__raw_maximum__is_corrected_afterwards(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("amsgrad");
    paper_follow("amsgrad", &hyper, amsgrad_raw);
    hyper.eps_mode = OPTIM_EPS_INSIDE;
    paper_follow("amsgrad", &hyper, amsgrad_raw_inside);
}

static void amsgrad__corrected_maximum__is_corrected_before(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("amsgrad");
    hyper.amsgrad_max = OPTIM_MAX_CORRECTED;
    paper_follow("amsgrad", &hyper, amsgrad_corrected);
    hyper.eps_mode = OPTIM_EPS_INSIDE;
    paper_follow("amsgrad", &hyper, amsgrad_corrected_inside);
}

static void amsgrad__without_bias_correction__follows_the_paper(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("amsgrad");
    hyper.bias_correction = 0.0;
    paper_follow("amsgrad", &hyper, amsgrad);
    hyper.amsgrad_max = OPTIM_MAX_CORRECTED;
    paper_follow("amsgrad", &hyper, amsgrad);
}

static void adam__amsgrad__is_the_row_of_that_name(void **state)
{
    (void)state;
    struct optim_hyper hyper = quick("adam");
    hyper.amsgrad = 1.0;
    paper_follow("adam", &hyper, amsgrad_raw);
    hyper = quick("adamw");
    hyper.weight_decay = 0.0;
    hyper.amsgrad = 1.0;
    paper_follow("adamw", &hyper, amsgrad_raw);
}

/* torch.lerp has two branches, and a weight of 1/2 is the second's: g - (g - m) / 2. The other one
 * gives 1/2 + 2^-24 here. */
static void adam__beta1_of_a_half__averages_from_the_gradient(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adam", "torch");
    hyper.beta1 = 0.5;
    const struct optimizer *adam = NULL;
    assert_int_equal(optimizer_find("adam", &adam, NULL), STEPD_OK);
    float w = 1.0f, m = 1.0f, v = 1.0f;
    const float g = 0x3p-25f;
    const struct optim_step step = {.hyper = &hyper, .lr = 1e-3, .t = 2};
    adam->step[kernels_choose()](&step, 1, &w, &g, (float *[]){&m, &v, NULL});
    assert_true(m == 0.5f);
}

/* ---- The rows -------------------------------------------------------------------------------- */

static void adam__slot_of_the_maximum__is_there_for_amsgrad_only(void **state)
{
    (void)state;
    static const uint64_t dim[] = {7};
    const struct optim_shape shape = {.dims = 1, .dim = dim, .elements = 7};
    const struct optimizer *adam = NULL;
    assert_int_equal(optimizer_find("adam", &adam, NULL), STEPD_OK);
    struct optim_hyper hyper = paper_hyper("adam", "torch");
    assert_int_equal(optimizer_slots(adam), 3);
    assert_int_equal(optimizer_slot_floats(adam, 1, &hyper, 1, &shape), 7);
    assert_int_equal(optimizer_slot_floats(adam, 2, &hyper, 1, &shape), 0);
    hyper.amsgrad = 1.0;
    assert_int_equal(optimizer_slot_floats(adam, 2, &hyper, 1, &shape), 7);
}

static void assert_refused(const char *optimizer, const struct optim_hyper *hyper,
                           const char *because)
{
    const struct optimizer *row = NULL;
    assert_int_equal(optimizer_find(optimizer, &row, NULL), STEPD_OK);
    struct stepd_error error;
    assert_int_equal(optimizer_hyper_check(row, hyper, &error), STEPD_INVALID_ARGUMENT);
    if (strstr(error.text, because) == NULL)
        fail_msg("'%s' does not say '%s'", error.text, because);
}

static void adam__corrected_maximum_and_eps_hat__exclude_one_another(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("adam", "torch");
    hyper.amsgrad_max = OPTIM_MAX_CORRECTED;
    hyper.eps_mode = OPTIM_EPS_HAT;
    const struct optimizer *adam = NULL;
    assert_int_equal(optimizer_find("adam", &adam, NULL), STEPD_OK);
    assert_int_equal(optimizer_hyper_check(adam, &hyper, NULL), STEPD_OK);
    hyper.amsgrad = 1.0;
    assert_refused("adam", &hyper, "amsgrad_max 'corrected'");
    assert_refused("adamw", &hyper, "amsgrad_max 'corrected'");
    assert_refused("amsgrad", &hyper, "amsgrad_max 'corrected'");
}

static void amsgrad__switched_off__is_refused(void **state)
{
    (void)state;
    struct optim_hyper hyper = paper_hyper("amsgrad", "torch");
    hyper.amsgrad = 0.0;
    assert_refused("amsgrad", &hyper, "use that");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adam__eps_outside__follows_algorithm_1),
        cmocka_unit_test(adam__cycled_momentum__is_corrected_by_the_present_beta1),
        cmocka_unit_test(adam__eps_hat__follows_the_remark),
        cmocka_unit_test(adam__lecture_preset__follows_algorithm_8_7),
        cmocka_unit_test(adam__without_bias_correction__is_the_simplified_form),
        cmocka_unit_test(adam__decoupled_decay__is_adamw),
        cmocka_unit_test(adamw__decoupled_lr__shrinks_by_rate_times_decay),
        cmocka_unit_test(adamw__lecture_preset__follows_algorithm_2),
        cmocka_unit_test(adamw__constant_rate__differs_from_the_paper_by_a_factor_of_lr),
        cmocka_unit_test(adamw__rate_of_zero__moves_nothing),
        cmocka_unit_test(amsgrad__raw_maximum__is_corrected_afterwards),
        cmocka_unit_test(amsgrad__corrected_maximum__is_corrected_before),
        cmocka_unit_test(amsgrad__without_bias_correction__follows_the_paper),
        cmocka_unit_test(adam__amsgrad__is_the_row_of_that_name),
        cmocka_unit_test(adam__beta1_of_a_half__averages_from_the_gradient),
        cmocka_unit_test(adam__slot_of_the_maximum__is_there_for_amsgrad_only),
        cmocka_unit_test(adam__corrected_maximum_and_eps_hat__exclude_one_another),
        cmocka_unit_test(amsgrad__switched_off__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
