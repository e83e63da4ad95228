/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that is shared, as a process sees it that was sent the descriptor and means no good.
 */
#include "server/net/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BYTES = 3 * 4096 };

static struct shared_budget budget = {.bytes = 4 * BYTES, .descriptors = 4};

static void *map(int fd, int protection)
{
    return mmap(NULL, BYTES, protection, MAP_SHARED, fd, /* offset= */ 0);
}

static void unmap(void *at)
{
    assert_int_equal(munmap(at, BYTES), 0);
}

/* As much as it allows, to whoever writes it; given back in full. */
static void budget__used_up__gives_no_more_until_some_is_back(void **state)
{
    struct shared_budget tight = {.bytes = 2 * BYTES, .descriptors = 1};
    (void)state;
    struct shared_memory *const ours = shared_memory_create(BYTES, SHARED_MEMORY_OURS, &tight);
    struct shared_memory *theirs = shared_memory_create(BYTES, SHARED_MEMORY_THEIRS, &tight);
    assert_non_null(ours);
    assert_non_null(theirs);
    assert_null(shared_memory_create(1, SHARED_MEMORY_OURS, &tight));
    assert_null(shared_memory_create(BYTES + 1, SHARED_MEMORY_THEIRS, &tight));
    theirs = shared_memory_destroy(theirs);
    theirs = shared_memory_create(2 * BYTES, SHARED_MEMORY_THEIRS, &tight);
    assert_non_null(theirs);
    (void)shared_memory_destroy(theirs);
    (void)shared_memory_destroy(ours);
    assert_int_equal(tight.bytes_used, 0);
    assert_int_equal(tight.descriptors_used, 0);
}

/* One that is sealed off from the descriptors goes on to be what is mapped. */
static void close_descriptor__of_what_is_mapped__leaves_the_memory(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_OURS, &budget);
    assert_non_null(memory);
    const int fd = memory->fd;
    shared_memory_close_descriptor(memory);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    memory->memory.at[BYTES - 1] = 7;
    assert_int_equal(memory->memory.at[BYTES - 1], 7);
    (void)shared_memory_destroy(memory);
}

/* Not until processes are ended for it. */
static void create__more_than_the_machine_has__is_none(void **state)
{
    struct shared_budget wide = {.bytes = UINT64_MAX, .descriptors = 1};
    const size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    (void)state;
    assert_null(shared_memory_create(machine, SHARED_MEMORY_OURS, &wide));
    assert_null(shared_memory_create(machine, SHARED_MEMORY_THEIRS, &wide));
    assert_int_equal(wide.bytes_used, 0);
}

static void assert_size_is_kept(enum shared_memory_writer writer)
{
    struct shared_memory *const memory = shared_memory_create(BYTES, writer, &budget);
    struct stat file;
    assert_non_null(memory);
    assert_int_equal(ftruncate(memory->fd, BYTES - 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(memory->fd, BYTES + 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(memory->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fstat(memory->fd, &file), 0);
    assert_int_equal(file.st_size, BYTES);
    (void)shared_memory_destroy(memory);
}

static void shared_memory__of_either_kind__keeps_its_size_and_its_seals(void **state)
{
    (void)state;
    assert_size_is_kept(SHARED_MEMORY_OURS);
    assert_size_is_kept(SHARED_MEMORY_THEIRS);
}

/* What could not be had later would end whoever touches it. */
static void shared_memory__made__has_all_its_pages(void **state)
{
    (void)state;
    for (int writer = SHARED_MEMORY_OURS; writer <= SHARED_MEMORY_THEIRS; writer++) {
        struct shared_memory *const memory =
            shared_memory_create(BYTES, (enum shared_memory_writer)writer, &budget);
        struct stat file;
        assert_non_null(memory);
        assert_int_equal(fstat(memory->fd, &file), 0);
        assert_true(file.st_blocks * 512 >= BYTES);
        for (size_t i = 0; i < BYTES; i++)
            assert_int_equal(memory->memory.at[i], 0);
        (void)shared_memory_destroy(memory);
    }
}

static void shared_memory__ours__is_seen_but_not_changed_by_others(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_OURS, &budget);
    assert_non_null(memory);
    assert_ptr_equal(map(memory->fd, PROT_READ | PROT_WRITE), MAP_FAILED);
    assert_int_equal(errno, EPERM);
    const uint8_t *const theirs = map(memory->fd, PROT_READ);
    assert_ptr_not_equal(theirs, MAP_FAILED);
    assert_int_equal(mprotect((void *)(uintptr_t)theirs, BYTES, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(pwrite(memory->fd, "x", 1, 0), -1);
    assert_int_equal(fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES),
                     -1);
    memory->memory.at[BYTES - 1] = 7;
    assert_int_equal(theirs[BYTES - 1], 7);
    assert_int_equal(theirs[0], 0);
    unmap((void *)(uintptr_t)theirs);
    (void)shared_memory_destroy(memory);
}

static void shared_memory__theirs__is_what_they_write(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_THEIRS, &budget);
    assert_non_null(memory);
    uint8_t *const theirs = map(memory->fd, PROT_READ | PROT_WRITE);
    assert_ptr_not_equal(theirs, MAP_FAILED);
    theirs[4096] = 9;
    assert_int_equal(memory->memory.at[4096], 9);
    unmap(theirs);
    (void)shared_memory_destroy(memory);
}

/* A hole is filled again by who reads it. */
static void shared_memory__theirs_with_a_hole_made_by_them__is_read_as_zeros(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_THEIRS, &budget);
    assert_non_null(memory);
    assert_int_equal(pwrite(memory->fd, "x", 1, 0), 1);
    assert_int_equal(memory->memory.at[0], 'x');
    assert_int_equal(fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES),
                     0);
    assert_int_equal(memory->memory.at[0], 0);
    assert_int_equal(memory->memory.at[BYTES - 1], 0);
    (void)shared_memory_destroy(memory);
}

static void shared_memory__destroyed__stays_with_who_holds_the_descriptor(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_OURS, &budget);
    assert_non_null(memory);
    const int held = fcntl(memory->fd, F_DUPFD_CLOEXEC, 0);
    const uint8_t *const mapped = map(held, PROT_READ);
    assert_true(held >= 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    memory->memory.at[5] = 5;
    assert_null(shared_memory_destroy(memory));
    assert_int_equal(mapped[5], 5);
    unmap((void *)(uintptr_t)mapped);
    const uint8_t *const again = map(held, PROT_READ);
    assert_ptr_not_equal(again, MAP_FAILED);
    assert_int_equal(again[5], 5);
    unmap((void *)(uintptr_t)again);
    assert_int_equal(close(held), 0);
}

/* An exec must not hand it to whoever comes after us. */
static void shared_memory__descriptor__is_closed_on_exec(void **state)
{
    (void)state;
    struct shared_memory *const memory = shared_memory_create(BYTES, SHARED_MEMORY_OURS, &budget);
    assert_non_null(memory);
    assert_true((fcntl(memory->fd, F_GETFD) & FD_CLOEXEC) != 0);
    (void)shared_memory_destroy(memory);
}

/* Makes it with so little of a resource that it cannot be made; nothing may be left of it. */
static void assert_not_made(__rlimit_resource_t resource, size_t bytes,
                            enum shared_memory_writer writer)
{
    struct rlimit before;
    assert_int_equal(getrlimit(resource, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(resource, &none), 0);
    struct shared_memory *const memory = shared_memory_create(bytes, writer, &budget);
    assert_int_equal(setrlimit(resource, &before), 0);
    assert_null(memory);
}

static void shared_memory__that_cannot_be_had__is_null_and_leaves_nothing(void **state)
{
    (void)state;
    const int before = dup(0);
    assert_int_equal(close(before), 0);
    assert_null(
        shared_memory_create(SIZE_MAX, SHARED_MEMORY_THEIRS, &budget)); /* no length of a file */
    assert_not_made(RLIMIT_NOFILE, BYTES, SHARED_MEMORY_OURS);
    assert_not_made(RLIMIT_AS, BYTES, SHARED_MEMORY_OURS);
    assert_not_made(RLIMIT_AS, BYTES, SHARED_MEMORY_THEIRS);
    const int after = dup(0);
    assert_int_equal(close(after), 0);
    assert_int_equal(before, after);
}

static void shared_memory__null__is_fine_to_destroy(void **state)
{
    (void)state;
    assert_null(shared_memory_destroy(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget__used_up__gives_no_more_until_some_is_back),
        cmocka_unit_test(close_descriptor__of_what_is_mapped__leaves_the_memory),
        cmocka_unit_test(create__more_than_the_machine_has__is_none),
        cmocka_unit_test(shared_memory__of_either_kind__keeps_its_size_and_its_seals),
        cmocka_unit_test(shared_memory__made__has_all_its_pages),
        cmocka_unit_test(shared_memory__ours__is_seen_but_not_changed_by_others),
        cmocka_unit_test(shared_memory__theirs__is_what_they_write),
        cmocka_unit_test(shared_memory__theirs_with_a_hole_made_by_them__is_read_as_zeros),
        cmocka_unit_test(shared_memory__destroyed__stays_with_who_holds_the_descriptor),
        cmocka_unit_test(shared_memory__descriptor__is_closed_on_exec),
        cmocka_unit_test(shared_memory__that_cannot_be_had__is_null_and_leaves_nothing),
        cmocka_unit_test(shared_memory__null__is_fine_to_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
