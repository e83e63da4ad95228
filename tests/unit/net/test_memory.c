/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a shard, control's host and a whole server while the n-th allocation fails, for every n
 * until none fails any more: each failure is RESOURCE_EXHAUSTED and leaves nothing behind. That
 * nothing is freed twice or lost is for the address sanitizer to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/control_host.h"
#include "server/net/server.h"
#include "server/net/shard.h"
#include "tests/lib/scarcity.h"

enum { FRAME_MAX_BYTES = 8 << 20, SHARDS = 2 };

static enum stepd_status make_shard(void)
{
    const struct shard_options options = {.core = {.frame_max_bytes = FRAME_MAX_BYTES}};
    struct shard *shard = NULL;
    const enum stepd_status status = shard_create(&options, &shard);
    assert_int_equal(shard != NULL, status == STEPD_OK);
    shard_destroy(shard);
    return status;
}

static enum stepd_status make_host(void)
{
    uv_loop_t uv;
    assert_int_equal(uv_loop_init(&uv), 0);
    const struct control_host_options options = {
        .uv = &uv,
        .control = {.shards = SHARDS, .frame_max_bytes = FRAME_MAX_BYTES, .jobs_max = 1},
    };
    struct control_host *host = NULL;
    const enum stepd_status status = control_host_create(&options, &host);
    assert_int_equal(host != NULL, status == STEPD_OK);
    control_host_destroy(host);
    assert_int_equal(uv_loop_close(&uv), 0);
    return status;
}

static enum stepd_status make_server(void)
{
    const struct server_options options = {
        .listen = "127.0.0.1:0",
        .unix_path = "",
        .tls_cert = "",
        .tls_key = "",
        .tls_client_ca = "",
        .port_file = "",
        .tcp_congestion = "auto",
        .shards = SHARDS,
        .frame_max_bytes = FRAME_MAX_BYTES,
        .slice_elements = 256,
        .jobs_max = 1,
        .version = "0",
    };
    struct server *server = NULL;
    const enum stepd_status status = server_create(&options, &server, NULL);
    assert_int_equal(server != NULL, status == STEPD_OK);
    server_destroy(server);
    return status;
}

/* Returns how many allocations had to succeed. */
static size_t fail_each_allocation(enum stepd_status (*make)(void))
{
    for (size_t allocations = 0;; allocations++) {
        scarcity_from(allocations);
        const enum stepd_status status = make();
        scarcity_from(SCARCITY_NEVER);
        if (status == STEPD_OK)
            return allocations;
        assert_int_equal(status, STEPD_RESOURCE_EXHAUSTED);
    }
}

static void shard__any_allocation_fails__leaves_nothing(void **state)
{
    (void)state;
    assert_in_range(fail_each_allocation(make_shard), 5, 100);
}

static void control_host__any_allocation_fails__leaves_nothing(void **state)
{
    (void)state;
    assert_in_range(fail_each_allocation(make_host), 5, 100);
}

static void server__any_allocation_fails__leaves_nothing(void **state)
{
    (void)state;
    assert_in_range(fail_each_allocation(make_server), 15, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shard__any_allocation_fails__leaves_nothing),
        cmocka_unit_test(control_host__any_allocation_fails__leaves_nothing),
        cmocka_unit_test(server__any_allocation_fails__leaves_nothing),
    };
    return cmocka_run_group_tests_name("net_memory", tests, NULL, NULL);
}
