/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that a server has sent the descriptors of, from one that means no good too: what could be
 * taken away under our hands is not mapped.
 */
#include "client/lib/net/mapping.h"
#include "proto/place.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = STEPD_PLACE_BYTES, WEIGHTS = 2 * PAGE, GRADIENTS = PAGE };

static size_t open_descriptors(void)
{
    DIR *const dir = opendir("/proc/self/fd");
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

static int make_file(size_t bytes, int seals)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* A server's memory, and our mapping of it. */
struct scene {
    size_t descriptors;
    int fd[2]; /* ours to look at what the mapping does */
    struct stepd_mapping *mapping;
    struct stepd_shared shared;
};

static struct scene open_scene(void)
{
    struct scene scene = {.descriptors = open_descriptors()};
    struct stepd_error error;
    int fd[2];
    for (int i = 0; i < 2; i++) {
        fd[i] = make_file(i == 0 ? WEIGHTS : GRADIENTS, F_SEAL_SHRINK);
        scene.fd[i] = dup(fd[i]);
    }
    assert_int_equal(
        stepd_mapping_create(fd, WEIGHTS, GRADIENTS, &scene.mapping, &scene.shared, &error),
        STEPD_OK);
    return scene;
}

static void close_scene(struct scene *scene)
{
    assert_null(stepd_mapping_destroy(scene->mapping));
    for (int i = 0; i < 2; i++)
        assert_int_equal(close(scene->fd[i]), 0);
    assert_int_equal(open_descriptors(), scene->descriptors);
}

static void mapping__of_sealed_memory__reads_the_one_and_writes_the_other(void **state)
{
    (void)state;
    struct scene scene = open_scene();
    uint8_t byte = 7;
    assert_int_equal(pwrite(scene.fd[0], &byte, 1, PAGE), 1);
    assert_int_equal(scene.shared.weights[PAGE], 7);
    assert_int_equal(scene.shared.weights_bytes, WEIGHTS);
    scene.shared.gradients[5] = 8;
    assert_int_equal(pread(scene.fd[1], &byte, 1, 5), 1);
    assert_int_equal(byte, 8);
    assert_int_equal(scene.shared.gradients_bytes, GRADIENTS);
    close_scene(&scene);
}

/* It is refused, and both descriptors are closed. */
static void assert_refused(int weights, uint64_t weights_bytes, uint64_t gradients_bytes)
{
    const size_t before = open_descriptors();
    const int fd[2] = {weights, make_file(GRADIENTS, F_SEAL_SHRINK)};
    struct stepd_mapping *mapping = NULL;
    struct stepd_shared shared = {.weights = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(
        stepd_mapping_create(fd, weights_bytes, gradients_bytes, &mapping, &shared, &error),
        STEPD_INTERNAL);
    assert_non_null(strstr(error.text, "not as large as it says, or not sealed"));
    assert_null(mapping);
    assert_null(shared.weights);
    assert_int_equal(open_descriptors(), before - 1);
}

static void mapping__of_memory_that_can_shrink__is_refused(void **state)
{
    (void)state;
    assert_refused(make_file(WEIGHTS, F_SEAL_GROW), WEIGHTS, GRADIENTS);
}

static void mapping__of_less_than_was_said__is_refused(void **state)
{
    (void)state;
    assert_refused(make_file(WEIGHTS, F_SEAL_SHRINK), WEIGHTS + 1, GRADIENTS);
    assert_refused(make_file(WEIGHTS, F_SEAL_SHRINK), WEIGHTS, GRADIENTS + 1);
    assert_refused(make_file(WEIGHTS, F_SEAL_SHRINK), UINT64_MAX, GRADIENTS);
}

static void mapping__of_nothing__is_refused(void **state)
{
    (void)state;
    assert_refused(make_file(WEIGHTS, F_SEAL_SHRINK), WEIGHTS, 0);
}

static void mapping__of_what_is_no_memory__is_refused(void **state)
{
    (void)state;
    int pipe_of[2];
    assert_int_equal(pipe(pipe_of), 0);
    assert_refused(pipe_of[0], WEIGHTS, GRADIENTS);
    assert_int_equal(close(pipe_of[1]), 0);
    assert_refused(open("/dev/zero", O_RDWR | O_CLOEXEC), WEIGHTS, GRADIENTS);
}

static void show__of_weights__is_the_memory_itself_from_there_on(void **state)
{
    (void)state;
    struct scene scene = open_scene();
    uint8_t *const pages = stepd_mapping_take(2 * PAGE);
    uint8_t byte = 7;
    assert_non_null(pages);
    pages[PAGE] = 1;
    assert_true(
        scene.shared.show(scene.shared.owner, STEPD_SHOW_WEIGHTS, PAGE, PAGE, pages + PAGE));
    assert_int_equal(pages[PAGE], 0);
    assert_int_equal(pwrite(scene.fd[0], &byte, 1, PAGE), 1);
    assert_int_equal(pages[PAGE], 7);
    assert_int_equal(pages[0], 0);
    pages[0] = 2;
    assert_int_equal(scene.shared.weights[0], 0); /* the rest is as it was */
    stepd_mapping_return(pages, 2 * PAGE);
    close_scene(&scene);
}

static void show__of_gradients__writes_to_the_memory(void **state)
{
    (void)state;
    struct scene scene = open_scene();
    uint8_t *const pages = stepd_mapping_take(PAGE);
    assert_non_null(pages);
    assert_true(scene.shared.show(scene.shared.owner, STEPD_SHOW_GRADIENTS, 0, PAGE, pages));
    pages[9] = 9;
    assert_int_equal(scene.shared.gradients[9], 9);
    stepd_mapping_return(pages, PAGE);
    close_scene(&scene);
}

static void shown__when_the_mapping_is_gone__stays(void **state)
{
    (void)state;
    struct scene scene = open_scene();
    uint8_t *const pages = stepd_mapping_take(PAGE);
    const uint8_t byte = 7;
    assert_true(scene.shared.show(scene.shared.owner, STEPD_SHOW_WEIGHTS, PAGE, PAGE, pages));
    assert_int_equal(pwrite(scene.fd[0], &byte, 1, PAGE), 1);
    close_scene(&scene);
    assert_int_equal(pages[0], 7);
    stepd_mapping_return(pages, PAGE);
}

static void hide__of_what_was_shown__keeps_it_and_can_be_written(void **state)
{
    (void)state;
    struct scene scene = open_scene();
    uint8_t *const pages = stepd_mapping_take(2 * PAGE);
    uint8_t byte = 7;
    assert_true(scene.shared.show(scene.shared.owner, STEPD_SHOW_WEIGHTS, 0, PAGE, pages));
    assert_int_equal(pwrite(scene.fd[0], &byte, 1, 3), 1);
    pages[PAGE] = 5;
    stepd_mapping_hide(pages, PAGE);
    assert_int_equal(pages[3], 7);
    assert_int_equal(pages[PAGE], 5);
    pages[3] = 8;
    assert_int_equal(scene.shared.weights[3], 7);
    byte = 9;
    assert_int_equal(pwrite(scene.fd[0], &byte, 1, 3), 1);
    assert_int_equal(pages[3], 8);
    stepd_mapping_return(pages, 2 * PAGE);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping__of_sealed_memory__reads_the_one_and_writes_the_other),
        cmocka_unit_test(mapping__of_memory_that_can_shrink__is_refused),
        cmocka_unit_test(mapping__of_less_than_was_said__is_refused),
        cmocka_unit_test(mapping__of_nothing__is_refused),
        cmocka_unit_test(mapping__of_what_is_no_memory__is_refused),
        cmocka_unit_test(show__of_weights__is_the_memory_itself_from_there_on),
        cmocka_unit_test(show__of_gradients__writes_to_the_memory),
        cmocka_unit_test(shown__when_the_mapping_is_gone__stays),
        cmocka_unit_test(hide__of_what_was_shown__keeps_it_and_can_be_written),
    };
    return cmocka_run_group_tests_name("client/mapping", tests, NULL, NULL);
}
