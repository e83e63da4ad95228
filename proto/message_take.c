/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules for single values, and the words for breaking them. What a peer sent is never repeated
 * in an error unless it is a number: it may be anything.
 */
#include "proto/message_take.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "proto/utf8.h"

#define PLACE_DEPTH_MAX 6u

/* Writes "push.slices" or "define_tensors.tensors[3].name". */
static void describe(const struct stepd_place *at, char *text, size_t cap)
{
    const struct stepd_place *path[PLACE_DEPTH_MAX];
    size_t depth = 0;
    for (; at != NULL && depth < PLACE_DEPTH_MAX; at = at->above)
        path[depth++] = at;
    text[0] = '\0';
    while (depth > 0) {
        at = path[--depth];
        const size_t used = strlen(text);
        const char *dot = used > 0 ? "." : "";
        if (at->index == STEPD_PLACE_NO_INDEX)
            (void)snprintf(text + used, cap - used, "%s%s", dot, at->field);
        else
            (void)snprintf(text + used, cap - used, "%s%s[%zu]", dot, at->field, at->index);
    }
}

void stepd_take_refuse(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                       const char *fmt, ...)
{
    if (d->status != STEPD_OK)
        return;
    const struct stepd_place at = {.above = above, .field = field, .index = STEPD_PLACE_NO_INDEX};
    char where[128];
    char why[128];
    describe(field != NULL ? &at : above, where, sizeof where);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    d->status = stepd_fail(d->reterr, STEPD_INVALID_ARGUMENT, "%s: %s", where, why);
}

void *stepd_take_array(struct stepd_decoder *d, size_t count, size_t size)
{
    if (d->status != STEPD_OK)
        return NULL;
    void *array = stepd_arena_calloc(d->arena, count, size);
    if (array == NULL)
        d->status = stepd_fail(d->reterr, STEPD_RESOURCE_EXHAUSTED,
                               "the message takes too much memory; send smaller pages");
    return array;
}

const char *stepd_take_text(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, const ProtobufCBinaryData *text, size_t max_bytes)
{
    if (text->len > max_bytes) {
        stepd_take_refuse(d, above, field, "%zu bytes, but at most %zu may be", text->len,
                          max_bytes);
        return "";
    }
    if (!stepd_utf8_printable(text->data, text->len)) {
        stepd_take_refuse(d, above, field, "not UTF-8, or with a NUL or another control character");
        return "";
    }
    char *copy = stepd_take_array(d, text->len + 1, 1);
    if (copy == NULL)
        return "";
    if (text->len > 0)
        memcpy(copy, text->data, text->len);
    return copy;
}

const char *stepd_take_name(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, const ProtobufCBinaryData *name)
{
    return stepd_take_text(d, above, field, name, STEPD_NAME_MAX_BYTES);
}

const char *stepd_take_some_name(struct stepd_decoder *d, const struct stepd_place *above,
                                 const char *field, const ProtobufCBinaryData *name)
{
    if (name->len == 0)
        stepd_take_refuse(d, above, field, "empty");
    return stepd_take_name(d, above, field, name);
}

struct stepd_bytes stepd_take_id(struct stepd_decoder *d, const struct stepd_place *above,
                                 const char *field, const ProtobufCBinaryData *id, size_t bytes)
{
    if (id->len != 0 && id->len != bytes)
        stepd_take_refuse(d, above, field, "%zu bytes, but a %s has %zu", id->len, field, bytes);
    return (struct stepd_bytes){.count = id->len, .at = id->data};
}

int stepd_take_enum(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                    const ProtobufCEnumDescriptor *type, int number)
{
    if (protobuf_c_enum_descriptor_get_value(type, number) != NULL)
        return number;
    stepd_take_refuse(d, above, field, "%d is no %s", number, type->short_name);
    return 0;
}

enum stepd_dtype stepd_take_dtype(struct stepd_decoder *d, const struct stepd_place *above,
                                  const char *field, Stepd__V1__DType number)
{
    return (enum stepd_dtype)stepd_take_enum(d, above, field, &stepd__v1__dtype__descriptor,
                                             (int)number);
}

enum stepd_view stepd_take_view(struct stepd_decoder *d, const struct stepd_place *above,
                                const char *field, Stepd__V1__View number)
{
    return (enum stepd_view)stepd_take_enum(d, above, field, &stepd__v1__view__descriptor,
                                            (int)number);
}

enum stepd_mode stepd_take_mode(struct stepd_decoder *d, const struct stepd_place *above,
                                Stepd__V1__Mode number)
{
    return (enum stepd_mode)stepd_take_enum(d, above, "mode", &stepd__v1__mode__descriptor,
                                            (int)number);
}

double stepd_take_finite(struct stepd_decoder *d, const struct stepd_place *above,
                         const char *field, double value)
{
    if (!isfinite(value))
        stepd_take_refuse(d, above, field, "not a finite number");
    return value;
}

struct stepd_u32s stepd_take_slices(struct stepd_decoder *d, const struct stepd_place *above,
                                    size_t count, const uint32_t *slices)
{
    if (count == 0)
        stepd_take_refuse(d, above, "slices", "empty");
    return (struct stepd_u32s){.count = count, .at = slices};
}

void stepd_take_same_length(struct stepd_decoder *d, const struct stepd_place *above,
                            const char *field, size_t count, size_t wanted)
{
    if (count != wanted)
        stepd_take_refuse(d, above, field, "%zu elements, but %zu are wanted", count, wanted);
}

void stepd_take_at_most(struct stepd_decoder *d, const struct stepd_place *above, const char *field,
                        uint64_t value, uint64_t most)
{
    if (value > most)
        stepd_take_refuse(d, above, field, "%llu is above the limit of %llu",
                          (unsigned long long)value, (unsigned long long)most);
}
