/* SPDX-License-Identifier: Apache-2.0
 *
 * From the public structs of <stepd/client.h> to the messages that define a job. Pure.
 */
#ifndef CLIENT_LIB_CORE_DEFINITION_H
#define CLIENT_LIB_CORE_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>

#include <stepd/client.h>

#include "client/lib/core/layout.h"
#include "proto/arena.h"
#include "proto/message.h"

/* Enough for the lists of the largest job: groups with their settings, or one page of tensors. */
#define STEPD_DEFINITION_MAX_BYTES (4u << 20)

/*
 * The DefineJob of these options. *ret_define points into the arena and into job (both borrowed
 * while it is used). INVALID_ARGUMENT: a field is missing; the text names it.
 */
enum stepd_status stepd_definition_of_job(const struct stepd_job_options *job,
                                          struct stepd_arena *arena,
                                          struct stepd_define_job *ret_define,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The ChangeJob of these options; the same. */
enum stepd_status stepd_definition_of_change(const struct stepd_change_options *options,
                                             struct stepd_arena *arena,
                                             struct stepd_change_job *ret_change,
                                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Checks the list of tensors as far as that needs no server. has_values: this worker sends the
 * values of STEPD_TENSOR_VALUES. INVALID_ARGUMENT: the text names the tensor.
 */
enum stepd_status stepd_definition_check(const struct stepd_tensor *tensors, size_t count,
                                         bool has_values,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The page of DefineTensors that begins with tensors[first]: as many as surely fit into one
 * header. *ret_page points into the arena and into tensors. RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status stepd_definition_page(const struct stepd_tensor *tensors, size_t count,
                                        size_t first, struct stepd_arena *arena,
                                        struct stepd_define_tensors *ret_page,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Is the layout the one of these tensors? INTERNAL: the text names the first difference. */
enum stepd_status stepd_definition_match(const struct stepd_layout_table *layout,
                                         const struct stepd_tensor *tensors, size_t count,
                                         struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
