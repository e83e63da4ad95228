/* SPDX-License-Identifier: Apache-2.0
 *
 * Input and output of the driver. Nothing here is fit for input from strangers: it comes from the
 * scripts of this folder, and is checked only as far as their mistakes need it.
 */
#include "tests/torch/driver_tensors.h"

#include <stdlib.h>
#include <string.h>

bool driver_complain(const char *what, const char *text)
{
    (void)fprintf(stderr, "torch_driver: %s: %s\n", what, text);
    return false;
}

static bool allocate(struct driver_tensors *tensors, size_t t)
{
    tensors->weights[t] = calloc(tensors->elements[t], sizeof(float));
    tensors->grad[t] = calloc(tensors->elements[t], sizeof(float));
    if (tensors->extras[t] > 0)
        tensors->extra[t] = calloc(tensors->extras[t], sizeof(float));
    return tensors->weights[t] != NULL && tensors->grad[t] != NULL &&
           (tensors->extras[t] == 0 || tensors->extra[t] != NULL);
}

static bool parse_line(struct driver_tensors *tensors, char *line)
{
    const size_t t = tensors->count;
    char *rest = NULL;
    const char *const name = strtok_r(line, " \n", &rest);
    const char *word = strtok_r(NULL, " \n", &rest);
    if (t == DRIVER_TENSORS_MAX || name == NULL || word == NULL)
        return driver_complain("tensor", "too many of them, or a line that is none");
    (void)snprintf(tensors->name[t], sizeof tensors->name[t], "%s", name);
    tensors->extras[t] = strtoull(word, NULL, 10);
    tensors->elements[t] = 1;
    size_t dims = 0;
    while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
        if (dims == STEPD_DIMS_MAX)
            return driver_complain(name, "too many dimensions");
        tensors->shape[t][dims] = strtoull(word, NULL, 10);
        tensors->elements[t] *= tensors->shape[t][dims++];
    }
    tensors->def[t] = (struct stepd_tensor_def){
        .name = tensors->name[t],
        .dims = dims,
        .shape = tensors->shape[t],
        .init = {.kind = STEPD_INIT_VALUES},
        .group = "",
    };
    tensors->count++;
    return allocate(tensors, t) || driver_complain(name, "no memory");
}

bool driver_read_tensors(FILE *input, struct driver_tensors *tensors)
{
    char line[DRIVER_LINE_MAX_BYTES];
    while (fgets(line, sizeof line, input) != NULL && line[0] != '\n') {
        if (!parse_line(tensors, line))
            return false;
    }
    return tensors->count > 0 || driver_complain("input", "no tensors");
}

bool driver_read_floats(FILE *input, size_t count, float *ret_at)
{
    return fread(ret_at, sizeof *ret_at, count, input) == count ||
           driver_complain("input", "it ends too early");
}

bool driver_read_weights(FILE *input, const struct driver_tensors *tensors)
{
    for (size_t t = 0; t < tensors->count; t++) {
        if (!driver_read_floats(input, tensors->elements[t], tensors->weights[t]))
            return false;
    }
    return true;
}

bool driver_read_gradients(FILE *input, const struct driver_tensors *tensors)
{
    for (size_t t = 0; t < tensors->count; t++) {
        if (!driver_read_floats(input, tensors->elements[t], tensors->grad[t]))
            return false;
        if (tensors->extras[t] > 0 &&
            !driver_read_floats(input, tensors->extras[t], tensors->extra[t]))
            return false;
    }
    return true;
}

bool driver_write(FILE *output, const void *at, size_t size, size_t count)
{
    return fwrite(at, size, count, output) == count || driver_complain("output", "nobody reads it");
}

void driver_release_tensors(struct driver_tensors *tensors)
{
    for (size_t t = 0; t < tensors->count; t++) {
        free(tensors->weights[t]);
        free(tensors->grad[t]);
        free(tensors->extra[t]);
    }
}
