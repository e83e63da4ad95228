/* SPDX-License-Identifier: Apache-2.0
 *
 * Models of dense layers: every gradient agrees with central differences of the loss, gradients of
 * a batch are the weighted mean of those of its parts, and specs that make no sense are refused by
 * name.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/batch.h"
#include "client/train/model.h"

#define INPUTS  ((size_t)6)
#define CLASSES ((size_t)5)
#define BATCH   ((size_t)7)

static const struct model_task task = {
    .image = {.channels = 1, .height = 2, .width = 3},
    .classes = CLASSES,
};

/* A number in [-1, 1), the same on every machine. */
static float noise(uint64_t seed, uint64_t index)
{
    return (float)((double)(batch_mix(seed ^ batch_mix(index)) >> 11) * 0x1p-52 - 1.0);
}

static struct model *make(const char *spec, uint8_t *labels)
{
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create(spec, &task, BATCH, &model, &error), STEPD_OK);
    for (size_t l = 0; l < model->layers; l++) {
        struct layer *const layer = &model->layer[l];
        for (size_t i = 0; i < layer->outputs * layer->inputs; i++)
            layer->weight[i] = noise(2 * l, i);
        for (size_t i = 0; i < layer->outputs; i++)
            layer->bias[i] = noise(2 * l + 1, i);
    }
    for (size_t i = 0; i < BATCH * INPUTS; i++)
        model_input(model)[i] = noise(99, i);
    for (size_t i = 0; i < BATCH; i++)
        labels[i] = (uint8_t)(i % CLASSES);
    return model;
}

static double loss_of(struct model *model, const uint8_t *labels, size_t batch)
{
    for (size_t l = 0; l < model->layers; l++)
        model_forward(model, l, batch);
    return model_loss(model, labels, batch);
}

static void compute_gradients(struct model *model, const uint8_t *labels, size_t batch)
{
    (void)loss_of(model, labels, batch);
    for (size_t l = model->layers; l-- > 0;)
        model_backward(model, l, batch);
    for (size_t l = 0; l < model->layers; l++)
        model_gradients(model, l, batch);
}

/* Checks `count` gradients against (loss(w + h) - loss(w - h)) / 2h. The losses are computed in
 * float, so they are off by about 1e-7, and the difference by 1e-7 / 2h. */
static void check_differences(struct model *model, const uint8_t *labels, float *w,
                              const float *gradient, size_t count)
{
    const float h = 1.0f / 256;
    for (size_t i = 0; i < count; i++) {
        const float analytic = gradient[i];
        const float before = w[i];
        w[i] = before + h;
        const double above = loss_of(model, labels, BATCH);
        w[i] = before - h;
        const double below = loss_of(model, labels, BATCH);
        w[i] = before;
        const double numeric = (above - below) / (2.0 * (double)h);
        if (fabs(numeric - (double)analytic) > 5e-4 + 5e-3 * fabs(numeric))
            fail_msg("gradient %zu is %g, differences say %g", i, (double)analytic, numeric);
    }
}

static void check_all_gradients(const char *spec)
{
    uint8_t labels[BATCH];
    struct model *model = make(spec, labels);
    compute_gradients(model, labels, BATCH);
    for (size_t l = 0; l < model->layers; l++) {
        const struct layer *const layer = &model->layer[l];
        check_differences(model, labels, layer->weight, layer->weight_grad,
                          layer->outputs * layer->inputs);
        check_differences(model, labels, layer->bias, layer->bias_grad, layer->outputs);
    }
    model_destroy(model);
}

static void model_backward__linear__agrees_with_differences(void **state)
{
    (void)state;
    check_all_gradients("linear");
}

static void model_backward__softmax__agrees_with_differences(void **state)
{
    (void)state;
    check_all_gradients("softmax");
}

static void model_backward__mlp__agrees_with_differences(void **state)
{
    (void)state;
    check_all_gradients("mlp:6-9-8-5");
}

/* Whose gradients were sent first has new weights while those of others are computed. */
static void model_gradients__in_any_order_and_with_new_weights__are_the_same(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make("mlp:6-9-8-5", labels);
    float first[3][9 * 9];
    compute_gradients(model, labels, BATCH);
    for (size_t l = 0; l < 3; l++)
        memcpy(first[l], model->layer[l].weight_grad,
               layer_weights(&model->layer[l]) * sizeof(float));
    (void)loss_of(model, labels, BATCH);
    for (size_t l = 3; l-- > 0;) {
        model_backward(model, l, BATCH);
        for (size_t i = 0; i < layer_weights(&model->layer[l]); i++)
            model->layer[l].weight[i] = NAN;
    }
    for (size_t l = 3; l-- > 0;)
        model_gradients(model, l, BATCH);
    for (size_t l = 0; l < 3; l++)
        assert_memory_equal(first[l], model->layer[l].weight_grad,
                            layer_weights(&model->layer[l]) * sizeof(float));
    model_destroy(model);
}

static void model_backward__batch_in_two_parts__means_add_up_to_the_whole(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make("mlp:6-9-5", labels);
    const struct layer *const layer = &model->layer[0];
    float whole[9 * INPUTS];
    float front[9 * INPUTS];
    compute_gradients(model, labels, BATCH);
    memcpy(whole, layer->weight_grad, sizeof whole);
    compute_gradients(model, labels, 3);
    memcpy(front, layer->weight_grad, sizeof front);
    memmove(model_input(model), model_input(model) + 3 * INPUTS, 4 * INPUTS * sizeof(float));
    compute_gradients(model, labels + 3, 4);
    for (size_t i = 0; i < 9 * INPUTS; i++) {
        const float mean = (3 * front[i] + 4 * layer->weight_grad[i]) / 7;
        assert_true(fabsf(mean - whole[i]) < 1e-6f);
    }
    model_destroy(model);
}

static void model_loss__zero_weights__is_what_ignorance_costs(void **state)
{
    (void)state;
    uint8_t labels[BATCH] = {0};
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("softmax", &task, BATCH, &model, &error), STEPD_OK);
    assert_true(fabs(loss_of(model, labels, BATCH) - log((double)CLASSES)) < 1e-6);
    model_destroy(model);
    assert_int_equal(model_create("linear", &task, BATCH, &model, &error), STEPD_OK);
    assert_true(fabs(loss_of(model, labels, BATCH) - 1.0 / (double)CLASSES) < 1e-6);
    model_destroy(model);
}

static void model_loss__huge_scores__stays_finite(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make("softmax", labels);
    for (size_t i = 0; i < CLASSES; i++)
        model->layer[0].bias[i] = 1e30f * (float)i;
    assert_true(isfinite(loss_of(model, labels, BATCH)));
    model_destroy(model);
}

static void model_correct__scores__counts_labels_on_top(void **state)
{
    (void)state;
    uint8_t labels[BATCH];
    struct model *model = make("softmax", labels);
    memset(model->layer[0].weight, 0, CLASSES * INPUTS * sizeof(float));
    for (size_t i = 0; i < CLASSES; i++)
        model->layer[0].bias[i] = i == 1 ? 1.0f : 0.0f;
    (void)loss_of(model, labels, BATCH);
    assert_int_equal(model_correct(model, labels, BATCH), 2); /* labels 0 1 2 3 4 0 1 */
    model_destroy(model);
}

static void model_create__mlp__has_its_layers_and_parameters(void **state)
{
    (void)state;
    const struct model_task images = {.image = {1, 28, 28}, .classes = 10};
    struct model *model;
    struct stepd_error error;
    assert_int_equal(model_create("mlp:784-1000-1000-10", &images, 1, &model, &error), STEPD_OK);
    assert_int_equal(model->layers, 3);
    assert_true(model->layer[0].relu && model->layer[1].relu && !model->layer[2].relu);
    assert_int_equal(model_parameters(model), 785000 + 1001000 + 10010);
    model_destroy(model);
}

static void model_create__senseless_spec__is_refused_with_its_reason(void **state)
{
    (void)state;

    static const struct {
        const char *spec;
        const char *reason;
    } cases[] = {
        {"", "unknown model ''"},
        {"mlps", "unknown model 'mlps'"},
        {"forest", "known are linear, softmax, mlp:A-B-...-Z and cnn:C-D-..."},
        {"mlp:", "expected a width at ''"},
        {"mlp:6", "at least two widths"},
        {"mlp:6-", "expected a width at ''"},
        {"mlp:6--5", "expected a width at '-5'"},
        {"mlp:6-x-5", "expected a width at 'x-5'"},
        {"mlp:6,5", "expected '-' between numbers at ',5'"},
        {"mlp:6-0-5", "width 0 is not between"},
        {"mlp:6-65537-5", "width 65537 is not between"},
        {"mlp:6-99999999999999999999-5", "is not between"},
        {"mlp:7-5", "takes 7 inputs, but an example has 6"},
        {"mlp:6-4", "tells 4 classes apart, but the data has 5"},
        {"mlp:6-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-5",
         "more than 32 layers"},
        {"cnn:", "expected a number of channels at ''"},
        {"cnn:4-0", "number of channels 0 is not between"},
        {"cnn:4-8", "of 2x3 nothing is left for the one with 8 channels"},
        {"cnn:1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
         "more than 32 layers"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model *model;
        struct stepd_error error;
        assert_int_equal(model_create(cases[i].spec, &task, BATCH, &model, &error),
                         STEPD_INVALID_ARGUMENT);
        if (strstr(error.text, cases[i].reason) == NULL)
            fail_msg("'%s' says: %s", cases[i].spec, error.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_backward__linear__agrees_with_differences),
        cmocka_unit_test(model_backward__softmax__agrees_with_differences),
        cmocka_unit_test(model_backward__mlp__agrees_with_differences),
        cmocka_unit_test(model_gradients__in_any_order_and_with_new_weights__are_the_same),
        cmocka_unit_test(model_backward__batch_in_two_parts__means_add_up_to_the_whole),
        cmocka_unit_test(model_loss__zero_weights__is_what_ignorance_costs),
        cmocka_unit_test(model_loss__huge_scores__stays_finite),
        cmocka_unit_test(model_correct__scores__counts_labels_on_top),
        cmocka_unit_test(model_create__mlp__has_its_layers_and_parameters),
        cmocka_unit_test(model_create__senseless_spec__is_refused_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
