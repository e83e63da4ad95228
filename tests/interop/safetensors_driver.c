/* SPDX-License-Identifier: Apache-2.0
 *
 * What safetensors.py has done by stepd's own code:
 *
 *     safetensors_driver copy IN OUT     reads a file, and writes its tensors behind a head of ours
 *     safetensors_driver floats IN OUT   writes the floats of all tensors that have some
 *     safetensors_driver job FOLDER      writes the files of a job with slices of its tensors in
 * two shards, as one daemon does and as two do
 *
 * A file that is refused ends it with 1, and with the reason in the standard output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/persist/portion.h"
#include "tests/unit/persist/shares.h"

#define FILE_MAX_BYTES (1u << 20)

_Noreturn static void give_up(const char *what, const char *why)
{
    printf("%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void write_file(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *const file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, n, file) != n || fclose(file) != 0)
        give_up(path, "cannot be written");
}

struct input {
    uint8_t *bytes; /* owned */
    size_t n;
    struct safetensors head;
};

static struct input read_file(const char *path)
{
    struct input input = {.bytes = malloc(FILE_MAX_BYTES)};
    struct stepd_error error = {.code = STEPD_OK};
    size_t json = 0;
    FILE *const file = fopen(path, "rb");
    if (file == NULL || input.bytes == NULL)
        give_up(path, "cannot be read");
    input.n = fread(input.bytes, 1, FILE_MAX_BYTES, file);
    (void)fclose(file);
    if (safetensors_json_bytes(input.bytes, input.n, &json, &error) != STEPD_OK ||
        safetensors_decode(input.bytes + SAFETENSORS_LENGTH_BYTES, json, input.n, &input.head,
                           &error) != STEPD_OK)
        give_up(path, error.text);
    return input;
}

static void input_deinit(struct input *input)
{
    safetensors_deinit(&input->head);
    free(input->bytes);
}

static void copy(const char *from, const char *to)
{
    struct input input = read_file(from);
    struct stepd_error error = {.code = STEPD_OK};
    uint8_t *head = NULL;
    size_t n = 0;
    if (safetensors_encode(input.head.tensor, input.head.tensors, input.head.text, &head, &n,
                           &error) != STEPD_OK)
        give_up(from, error.text);
    const size_t bytes = input.n - input.head.begins_at;
    uint8_t *const file = realloc(head, n + bytes);
    if (file == NULL)
        give_up(to, "no memory");
    memcpy(file + n, input.bytes + input.head.begins_at, bytes);
    write_file(to, file, n + bytes);
    free(file);
    input_deinit(&input);
}

static void widen(const char *from, const char *to)
{
    struct input input = read_file(from);
    float *const floats = malloc(2 * (input.n + 1) * sizeof *floats);
    size_t n = 0;
    if (floats == NULL)
        give_up(from, "no memory");
    for (size_t i = 0; i < input.head.tensors; i++) {
        const struct safetensors_tensor *const tensor = &input.head.tensor[i];
        if (!safetensors_is_real(tensor->dtype))
            continue;
        safetensors_widen(tensor->dtype, safetensors_elements(tensor),
                          input.bytes + input.head.begins_at + tensor->begin, floats + n);
        n += safetensors_elements(tensor);
    }
    write_file(to, (const uint8_t *)floats, n * sizeof *floats);
    free(floats);
    input_deinit(&input);
}

/* The two files of a map, as a daemon's of so many. */
static void write_arrays(const struct arrays *arrays, const char *folder, uint32_t index,
                         uint32_t daemons)
{
    for (int f = 0; f < (int)ARRAYS_FILES; f++) {
        const struct portion_file_name name = portion_file((enum arrays_file)f, index, daemons);
        char path[4096];
        size_t n = 0;
        uint8_t *const bytes = shares_write(arrays, (enum arrays_file)f, &n);
        (void)snprintf(path, sizeof path, "%s/%s", folder, name.text);
        write_file(path, bytes, n);
        free(bytes);
    }
}

static void write_job(const char *folder)
{
    struct shares shares;
    shares_setup_group(&shares, "adam", "ema_decay=0.5");
    shares.made[1][STEPD_EMA] = true;
    shares_take(&shares);
    struct arrays *arrays = shares_map(&shares);
    write_arrays(arrays, folder, 0, 1);
    (void)arrays_destroy(arrays);
    for (uint32_t i = 0; i < SHARES; i++) {
        const struct job_state *const share = shares.share[i];
        assert_int_equal(arrays_create_portion(&share, 1, &arrays, NULL), STEPD_OK);
        write_arrays(arrays, folder, i, SHARES);
        (void)arrays_destroy(arrays);
    }
    shares_teardown(&shares);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "floats") == 0)
        widen(argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "job") == 0)
        write_job(argv[2]);
    else
        return 2;
    return EXIT_SUCCESS;
}
