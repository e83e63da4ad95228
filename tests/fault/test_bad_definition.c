/* SPDX-License-Identifier: Apache-2.0
 *
 * What control must refuse: definitions that cannot be or differ from what is defined, and what is
 * not its business.
 */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"

/* Sends DefineJob with the row's group. */
static void send_one_group(struct scene *scene, const struct stepd_group *group)
{
    struct stepd_message message = peer_define_job(&scene->bad);
    message.body.define_job.group = group;
    wire_send(scene->bad.control, &message, NULL, 0);
}

/* The same, whose optimizer and setting the row chooses. */
static void send_group(struct scene *scene, const char *optimizer, const char *name, double value)
{
    const struct stepd_setting setting = {.name = name, .values = 1, .value = &value};
    const struct stepd_group group = {
        .name = "all",
        .match = "*",
        .optimizer = optimizer,
        .settings = {.count = 1, .at = &setting},
        .schedule = "",
    };
    send_one_group(scene, &group);
}

/* The same of sgd, with settings that the row chooses. */
static void send_settings(struct scene *scene, const struct stepd_setting *settings, size_t count)
{
    const struct stepd_group group = {
        .match = "*", .optimizer = "sgd", .settings = {.count = count, .at = settings}};
    send_one_group(scene, &group);
}

static void send_negative_learning_rate(struct scene *scene)
{
    send_group(scene, "sgd", "lr", -0.1);
}

static void send_unknown_setting(struct scene *scene)
{
    send_group(scene, "sgd", "weight_decoy", 0.1);
}

static void send_unknown_optimizer(struct scene *scene)
{
    send_group(scene, "adamx", "lr", 0.1);
}

static void send_infinite_setting(struct scene *scene)
{
    send_group(scene, "sgd", "lr", (double)INFINITY);
}

static void send_word_for_a_number(struct scene *scene)
{
    static const struct stepd_setting setting = {.name = "lr", .word = "fast"};
    send_settings(scene, &setting, 1);
}

static void send_unknown_word(struct scene *scene)
{
    static const struct stepd_setting setting = {.name = "preset", .word = "lectern"};
    send_settings(scene, &setting, 1);
}

static void send_word_beside_a_number(struct scene *scene)
{
    static const double value = 1;
    static const struct stepd_setting setting = {
        .name = "lr", .word = "fast", .values = 1, .value = &value};
    send_settings(scene, &setting, 1);
}

static void send_setting_twice(struct scene *scene)
{
    static const double value = 1;
    static const struct stepd_setting settings[2] = {{.name = "lr", .values = 1, .value = &value},
                                                     {.name = "lr", .values = 1, .value = &value}};
    send_settings(scene, settings, 2);
}

static void send_phases_that_go_back(struct scene *scene)
{
    static const struct stepd_phase phases[2] = {{.from = 9, .optimizer = "adam"},
                                                 {.from = 9, .optimizer = "sgd"}};
    const struct stepd_group group = {
        .match = "*", .optimizer = "sgd", .phases = 2, .phase = phases};
    send_one_group(scene, &group);
}

static void send_phase_of_no_optimizer(struct scene *scene)
{
    static const struct stepd_phase phase = {.from = 9, .optimizer = "adan"};
    const struct stepd_group group = {
        .match = "*", .optimizer = "sgd", .phases = 1, .phase = &phase};
    send_one_group(scene, &group);
}

static void send_parts_without_a_schedule(struct scene *scene)
{
    static const struct stepd_schedule_part part = {.kind = "constant"};
    const struct stepd_group group = {
        .match = "*", .optimizer = "sgd", .schedule_parts = 1, .schedule_part = &part};
    send_one_group(scene, &group);
}

static void send_sequential_without_parts(struct scene *scene)
{
    const struct stepd_group group = {.match = "*", .optimizer = "sgd", .schedule = "sequential"};
    send_one_group(scene, &group);
}

static void send_defaults_with_a_name(struct scene *scene)
{
    struct stepd_message message = peer_define_job(&scene->bad);
    message.body.define_job.defaults.name = "all";
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_unknown_default(struct scene *scene)
{
    static const double value = 1;
    static const struct stepd_setting setting = {
        .name = "weight_decoy", .values = 1, .value = &value};
    struct stepd_message message = peer_define_job(&scene->bad);
    message.body.define_job.defaults.settings = (struct stepd_settings){.count = 1, .at = &setting};
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_job_without_workers(struct scene *scene)
{
    struct stepd_message message = peer_define_job(&scene->bad);
    message.body.define_job.workers = 0;
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_other_definition(struct scene *scene)
{
    struct stepd_message message = peer_define_job(&scene->bad);
    message.body.define_job.workers = 2;
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_tensors_without_a_job(struct scene *scene)
{
    const struct stepd_message message = peer_define_tensors(&scene->bad);
    wire_send(scene->bad.control, &message, NULL, 0);
}

/* Sends DefineTensors with `w` of another shape. */
static void send_shape(struct scene *scene, const uint64_t *shape, size_t dims)
{
    struct stepd_message message = peer_define_tensors(&scene->bad);
    struct stepd_tensor_def tensor = message.body.define_tensors.tensor[0];
    tensor.shape = shape;
    tensor.dims = dims;
    message.body.define_tensors.tensor = &tensor;
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_other_shape(struct scene *scene)
{
    send_shape(scene, (const uint64_t[]){2, 3}, 2);
}

/* Defines the job, so that the row is about tensors alone. */
static void define_job_first(struct scene *scene)
{
    const struct stepd_message message = peer_define_job(&scene->bad);
    wire_send(scene->bad.control, &message, NULL, 0);
    assert_int_equal(wire_receive(scene->bad.control)->kind, STEPD_MESSAGE_JOB_DEFINED);
}

static void send_shape_with_zero(struct scene *scene)
{
    define_job_first(scene);
    send_shape(scene, (const uint64_t[]){4, 0}, 2);
}

static void send_shape_that_overflows(struct scene *scene)
{
    define_job_first(scene);
    send_shape(scene, (const uint64_t[]){UINT64_C(1) << 33, UINT64_C(1) << 33}, 2);
}

static void send_shape_beyond_memory(struct scene *scene)
{
    define_job_first(scene);
    send_shape(scene, (const uint64_t[]){UINT64_C(1) << 36}, 1);
}

static void send_tensor_twice(struct scene *scene)
{
    define_job_first(scene);
    struct stepd_message message = peer_define_tensors(&scene->bad);
    static const uint64_t other_shape[] = {2, 3};
    struct stepd_tensor_def tensor[2] = {message.body.define_tensors.tensor[0],
                                         message.body.define_tensors.tensor[0]};
    tensor[1].shape = other_shape;
    tensor[1].dims = 2;
    message.body.define_tensors.tensor = tensor;
    message.body.define_tensors.tensors = 2;
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_payload_to_control(struct scene *scene)
{
    const struct stepd_message message = peer_define_tensors(&scene->bad);
    wire_send(scene->bad.control, &message, peer_ones(), PEER_ELEMENTS * sizeof(float));
}

static void send_push_to_control(struct scene *scene)
{
    struct stepd_message message = peer_push(&scene->bad);
    message.body.push.examples = 0;
    wire_send(scene->bad.control, &message, NULL, 0);
}

static void send_question_about_no_job(struct scene *scene)
{
    const struct stepd_message message = {
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_GET_GROUPS,
        .body.get_groups = {.job = "nowhere"},
    };
    wire_send(scene->bad.control, &message, NULL, 0);
}

static const struct row rows[] = {
    {.name = "negative_learning_rate",
     .sender = JOINED,
     .send = send_negative_learning_rate,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "lr"},
    {.name = "unknown_setting",
     .sender = JOINED,
     .send = send_unknown_setting,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "weight_decay"},
    {.name = "unknown_optimizer",
     .sender = JOINED,
     .send = send_unknown_optimizer,
     .code = STEPD_NOT_FOUND,
     .text = "'adam'"},
    {.name = "infinite_setting",
     .sender = JOINED,
     .send = send_infinite_setting,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "finite",
     .closes = true},
    {.name = "word_for_a_number",
     .sender = JOINED,
     .send = send_word_for_a_number,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "'lr' of sgd is a number, not 'fast'"},
    {.name = "unknown_word",
     .sender = JOINED,
     .send = send_unknown_word,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "torch or lecture"},
    {.name = "word_beside_a_number",
     .sender = JOINED,
     .send = send_word_beside_a_number,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "numbers or a word, not both",
     .closes = true},
    {.name = "setting_twice",
     .sender = JOINED,
     .send = send_setting_twice,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "lr is set twice"},
    {.name = "phases_that_go_back",
     .sender = JOINED,
     .send = send_phases_that_go_back,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "define_job.groups[0].phases[1].from: 9 is not above 9",
     .closes = true},
    {.name = "phase_of_no_optimizer",
     .sender = JOINED,
     .send = send_phase_of_no_optimizer,
     .code = STEPD_NOT_FOUND,
     .text = "the phase from 9 on"},
    {.name = "parts_without_a_schedule",
     .sender = JOINED,
     .send = send_parts_without_a_schedule,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "parts of a schedule, but no schedule"},
    {.name = "sequential_without_parts",
     .sender = JOINED,
     .send = send_sequential_without_parts,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "schedule sequential"},
    {.name = "defaults_with_a_name",
     .sender = JOINED,
     .send = send_defaults_with_a_name,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "define_job.defaults.name: it belongs to a group",
     .closes = true},
    {.name = "unknown_default",
     .sender = JOINED,
     .send = send_unknown_default,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "weight_decay"},
    {.name = "job_without_workers",
     .sender = JOINED,
     .send = send_job_without_workers,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "workers"},
    {.name = "tensors_of_an_undefined_job",
     .sender = JOINED,
     .send = send_tensors_without_a_job,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "job 'bad' is not defined"},
    {.name = "shape_with_zero",
     .sender = JOINED,
     .send = send_shape_with_zero,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "'w'"},
    {.name = "shape_that_overflows",
     .sender = JOINED,
     .send = send_shape_that_overflows,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "'w'"},
    {.name = "shape_beyond_memory",
     .sender = JOINED,
     .send = send_shape_beyond_memory,
     .code = STEPD_RESOURCE_EXHAUSTED,
     .text = "MiB",
     .spoils = true},
    {.name = "tensor_twice",
     .sender = JOINED,
     .send = send_tensor_twice,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "'w'"},
    {.name = "question_about_no_job",
     .sender = JOINED,
     .send = send_question_about_no_job,
     .code = STEPD_NOT_FOUND,
     .text = "'nowhere'"},
    {.name = "other_definition",
     .sender = DEFINER,
     .send = send_other_definition,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "workers"},
    {.name = "other_shape",
     .sender = DEFINER,
     .send = send_other_shape,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "2x3"},
    {.name = "payload_to_control",
     .sender = DEFINER,
     .send = send_payload_to_control,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "payload",
     .closes = true},
    {.name = "push_to_control",
     .sender = DEFINER,
     .send = send_push_to_control,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "shard"},
};

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_definition", rows, sizeof rows / sizeof rows[0]);
}
