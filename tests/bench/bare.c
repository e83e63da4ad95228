/* SPDX-License-Identifier: Apache-2.0
 *
 * Both sides move what goes now, and wait for the socket only where nothing does; where bytes go
 * one way only the socket itself is left to wait. The far side has each slice in the same megabyte,
 * which stays in cache from the socket to the loop, and sends the weights while they are there.
 *
 * WRITE_BYTES and WINDOW_BYTES are what is fastest over loopback: larger writes and reads lose what
 * has been in cache, smaller ones make more calls.
 */
#include "tests/bench/bare.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "proto/error.h"
#include "tests/bench/arrays.h"
#include "tests/bench/bare_kernel.h"

#define SLICE_BYTES  ((size_t)1 << 20) /* stepd's largest, by default */
#define WRITE_BYTES  ((size_t)1 << 20)
#define WINDOW_BYTES ((size_t)256 << 10)
#define FEW_BYTES    16u
#define WIRES_MAX    16u

static optim_step_fn *const bare_streams[OPTIM_ISA_COUNT] = OPTIM_EACH(bare_streams);

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* Bytes that go one way. */
struct flow {
    uint8_t *bytes;
    size_t done;
    size_t until;
    size_t window; /* 0: bytes are an array; otherwise all go through the first so many */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool failed(ssize_t moved)
{
    return moved == 0 || (moved < 0 && errno != EAGAIN && errno != EINTR);
}

static uint8_t *place_in(const struct flow *flow)
{
    return flow->bytes + (flow->window > 0 ? (size_t)0 : flow->done);
}

/* Both flows may be at their ends, but not at once. False: the other side is gone. */
static bool move(int fd, struct flow *out, struct flow *in)
{
    const size_t to_send = least(out->until - out->done, WRITE_BYTES);
    const size_t to_receive = least(in->until - in->done, WINDOW_BYTES);
    const int wait = to_send > 0 && to_receive > 0 ? MSG_DONTWAIT : 0;
    ssize_t sent = -1;
    ssize_t received = -1;
    if (to_send > 0) {
        sent = send(fd, place_in(out), to_send, wait | MSG_NOSIGNAL);
        if (failed(sent))
            return false;
    }
    if (to_receive > 0) {
        received = recv(fd, place_in(in), to_receive, wait);
        if (failed(received))
            return false;
    }
    out->done += sent > 0 ? (size_t)sent : 0;
    in->done += received > 0 ? (size_t)received : 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN | POLLOUT};
    return wait == 0 || sent > 0 || received > 0 || poll(&ready, 1, -1) > 0 || errno == EINTR;
}

static bool move_all(int fd, struct flow *out, struct flow *in)
{
    while (out->done < out->until || in->done < in->until)
        if (!move(fd, out, in))
            return false;
    return true;
}

static bool send_all(int fd, uint8_t *bytes, size_t count)
{
    struct flow out = {.bytes = bytes, .until = count};
    return move_all(fd, &out, &(struct flow){.until = 0});
}

static bool receive_all(int fd, uint8_t *bytes, size_t count, size_t window)
{
    struct flow in = {.bytes = bytes, .until = count, .window = window};
    return move_all(fd, &(struct flow){.until = 0}, &in);
}

/* ---- The far side ---------------------------------------------------------------------------- */

/* The fastest loop that this machine can run. */
static optim_step_fn *streams(void)
{
    optim_step_fn *found = NULL;
    for (int isa = 0; isa < OPTIM_ISA_COUNT; isa++)
        if (kernels_available((enum optim_isa)isa))
            found = bare_streams[isa];
    return found;
}

/* The gradient of a slice, which arrays->g begins with, works on the weights at `offset`. */
static void work_in(const struct arrays *arrays, optim_step_fn *step, size_t offset, size_t bytes)
{
    const size_t at = offset / sizeof(float);
    float *const slot[OPTIMIZER_SLOTS_MAX] = {arrays->slots[0] + at, arrays->slots[1] + at};
    step(/* step= */ NULL, bytes / sizeof(float), arrays->w + at, arrays->g, slot);
}

/* Receives a gradient and works it in; where `back`, sends the weights that have come of it. */
static bool take_gradient(int fd, const struct arrays *arrays, optim_step_fn *step, bool back)
{
    const size_t bytes = arrays->n * sizeof(float);
    struct flow out = {.bytes = (uint8_t *)arrays->w};
    for (size_t offset = 0; offset < bytes; offset += SLICE_BYTES) {
        struct flow in = {
            .bytes = (uint8_t *)arrays->g,
            .until = least(bytes - offset, SLICE_BYTES),
        };
        while (in.done < in.until)
            if (!move(fd, &out, &in))
                return false;
        if (step != NULL)
            work_in(arrays, step, offset, in.until);
        out.until += back ? in.until : 0;
    }
    return move_all(fd, &out, &(struct flow){.until = 0});
}

static bool serve(int fd, enum bare_work work, const struct arrays *arrays)
{
    const size_t bytes = arrays->n * sizeof(float);
    uint8_t few[FEW_BYTES] = {0};
    switch (work) {
    case BARE_PUSH:
        return take_gradient(fd, arrays, streams(), /* back= */ false) &&
               send_all(fd, few, sizeof few);
    case BARE_PULL:
        return receive_all(fd, few, sizeof few, /* window= */ 0) &&
               send_all(fd, (uint8_t *)arrays->w, bytes);
    case BARE_STEP: return take_gradient(fd, arrays, streams(), /* back= */ true);
    case BARE_KEEP:
        return receive_all(fd, (uint8_t *)arrays->g, bytes, /* window= */ 0) &&
               send_all(fd, few, sizeof few);
    case BARE_RAW_PUSH:
        return receive_all(fd, (uint8_t *)arrays->g, bytes, WINDOW_BYTES) &&
               send_all(fd, few, sizeof few);
    case BARE_RAW_STEP: return take_gradient(fd, arrays, /* step= */ NULL, /* back= */ true);
    }
    return false;
}

void bare_serve(const struct wire *wire, size_t wires, const void *plan)
{
    const struct bare_plan *const bare = plan;
    struct stepd_error error;
    struct arrays arrays;
    struct pollfd ready[WIRES_MAX];
    if (wires > WIRES_MAX || arrays_init(bare->bytes / sizeof(float), &arrays, &error) != STEPD_OK)
        return;
    for (size_t i = 0; i < wires; i++)
        ready[i] = (struct pollfd){.fd = wire[i].far, .events = POLLIN};
    while (poll(ready, wires, -1) > 0)
        for (size_t i = 0; i < wires; i++)
            if (ready[i].revents != 0 && !serve(wire[i].far, bare->works[i], &arrays))
                return;
}

/* ---- The near side --------------------------------------------------------------------------- */

enum stepd_status bare_ask(const struct wire *wire, enum bare_work work, const void *grad,
                           void *weights, size_t bytes, struct stepd_error *reterr)
{
    uint8_t few[FEW_BYTES] = {0};
    struct flow out = {.bytes = (uint8_t *)(uintptr_t)grad, .until = bytes};
    struct flow in = {.bytes = weights, .until = bytes};
    if (work == BARE_PULL)
        out = (struct flow){.bytes = few, .until = sizeof few};
    if (work == BARE_PUSH || work == BARE_KEEP || work == BARE_RAW_PUSH)
        in = (struct flow){.bytes = few, .until = sizeof few};
    /* Where only one way has much to move, nothing can come before it has ended. */
    const bool both = work == BARE_STEP || work == BARE_RAW_STEP;
    struct flow none = {.until = 0};
    if ((both || move_all(wire->near, &out, &none)) && move_all(wire->near, &out, &in))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "the bare peer is gone");
}
