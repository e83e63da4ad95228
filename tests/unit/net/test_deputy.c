/* SPDX-License-Identifier: Apache-2.0
 *
 * A member daemon's deputy, which dials a control that the test makes up, on a port of loopback.
 */
#include "server/net/deputy.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "far_daemon.h"
#include "proto/error.h"
#include "server/net/socket.h"

enum { LEASE_MS = 60000, TIMEOUT_MS = 30000, PLACE = 1, SHARDS = 3, FIRST = 2, GUARD_S = 10 };

struct scene {
    uv_loop_t uv;
    struct kept_log log;
    struct deputy *deputy; /* owned */
    int listener;
    char control[32];
    struct far_daemon *far; /* owned; control's end of the newest connection */
    bool busy;              /* something of the last reign is still read */
    enum stepd_status sees;
    size_t resets;
    bool has_reign; /* since the last reset */
    struct deputy_reign reign;
    struct stepd_error why;
    size_t orders;
    enum order_kind order;
    size_t notes;
    enum peer_note_kind note;
};

static struct scene scene;

/* ---- The owner ------------------------------------------------------------------------------- */

static void on_reset(void *owner, const struct deputy_reign *reign, const struct stepd_error *why)
{
    (void)owner;
    scene.resets++;
    scene.has_reign = reign != NULL;
    if (reign != NULL)
        scene.reign = *reign;
    scene.why = *why;
}

static bool on_ready(void *owner)
{
    (void)owner;
    return !scene.busy;
}

static void on_order(void *owner, struct order *order)
{
    (void)owner;
    scene.orders++;
    scene.order = order->kind;
    (void)order_destroy(order);
}

static void on_note(void *owner, const struct peer_note *note)
{
    (void)owner;
    scene.notes++;
    scene.note = note->kind;
}

static enum stepd_status on_sees(void *owner, const char *probe, struct stepd_error *reterr)
{
    (void)owner;
    assert_string_equal(probe, "probe-7");
    return scene.sees == STEPD_OK ? STEPD_OK : stepd_fail(reterr, scene.sees, "another folder");
}

static const struct job *on_job(void *owner, const char *name)
{
    (void)owner;
    (void)name;
    return NULL;
}

static void on_gone(void *owner, bool known)
{
    (void)owner;
    (void)known;
}

/* ---- The scene ------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval guard = {.tv_sec = GUARD_S};
    socklen_t bytes = sizeof address;
    (void)state;
    scene = (struct scene){.sees = STEPD_OK};
    kept_log_init(&scene.log);
    assert_int_equal(uv_loop_init(&scene.uv), 0);
    scene.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(scene.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(scene.listener, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(setsockopt(scene.listener, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof guard), 0);
    assert_int_equal(listen(scene.listener, 4), 0);
    (void)snprintf(scene.control, sizeof scene.control, "127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    const struct deputy_options options = {
        .uv = &scene.uv,
        .log = &scene.log.log,
        .version = "1.0.0",
        .control = scene.control,
        .address = "me:2",
        .token = "secret",
        .place = PLACE,
        .shards = SHARDS,
        .instance = {9},
        .tcp_congestion = SOCKET_CONGESTION_AUTO,
        .lease_ms = LEASE_MS,
        .write_timeout_ms = TIMEOUT_MS,
        .read_timeout_ms = TIMEOUT_MS,
        .frame_max_bytes = 1 << 20,
        .io = {.reset = on_reset,
               .ready = on_ready,
               .order = on_order,
               .note = on_note,
               .sees = on_sees,
               .job = on_job,
               .gone = on_gone},
    };
    scene.deputy = deputy_create(&options);
    assert_non_null(scene.deputy);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    deputy_cut(scene.deputy);
    while (deputy_connections(scene.deputy) > 0)
        (void)uv_run(&scene.uv, UV_RUN_ONCE);
    far_turn(&scene.uv);
    (void)deputy_destroy(scene.deputy);
    (void)far_daemon_destroy(scene.far);
    (void)close(scene.listener);
    assert_int_equal(uv_loop_close(&scene.uv), 0);
    kept_log_deinit(&scene.log);
    return 0;
}

/* A tick so much later than now. */
static void tick(uint64_t after_ms)
{
    uv_update_time(&scene.uv);
    deputy_tick(scene.deputy, uv_now(&scene.uv) + after_ms);
    far_turn(&scene.uv);
}

/* The deputy dials, when it has rested, and says Join. */
static const struct stepd_join *await_join(void)
{
    scene.far = far_daemon_destroy(scene.far);
    tick(TIMEOUT_MS);
    const int fd = accept(scene.listener, NULL, NULL);
    assert_true(fd >= 0);
    scene.far = far_daemon_create(&scene.uv, fd);
    for (int turns = 0; turns < 1000 && !far_hears(scene.far); turns++)
        (void)uv_run(&scene.uv, UV_RUN_ONCE); /* the thread that has dialled says so */
    assert_int_equal(scene.far->message.kind, STEPD_MESSAGE_JOIN);
    return &scene.far->message.body.join;
}

static void say_joined(uint64_t reign, uint32_t first, uint32_t shards)
{
    const struct stepd_message message = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_JOINED,
        .body.joined = {.reign = reign,
                        .first_shard = first,
                        .shards = shards,
                        .expects = 1,
                        .probe = "probe-7"},
    };
    far_say(scene.far, &message, NULL, 0);
}

/* It has joined, and control has heard what it has seen of its folder. */
static void join(uint64_t reign)
{
    (void)await_join();
    say_joined(reign, FIRST, FIRST + SHARDS);
    assert_true(deputy_has_joined(scene.deputy));
    (void)far_expect(scene.far, STEPD_MESSAGE_LETTER);
}

static void hang_up(void)
{
    assert_int_equal(shutdown(scene.far->fd, SHUT_WR), 0);
    far_turn(&scene.uv);
    assert_false(deputy_has_joined(scene.deputy));
}

static struct peer_bytes *pack_close(uint32_t first)
{
    struct order *const order = order_create(ORDER_JOB_CLOSE, "j");
    struct peer_bytes *bytes = NULL;
    assert_int_equal(peer_order_pack(order, first, SHARDS, &bytes, NULL), STEPD_OK);
    (void)order_destroy(order);
    return bytes;
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void join__for_the_first_time__says_who_it_is(void **state)
{
    (void)state;
    const struct stepd_join *const said = await_join();
    assert_int_equal(said->protocol, STEPD_PROTOCOL_VERSION);
    assert_string_equal(said->version, "1.0.0");
    assert_string_equal(said->address, "me:2");
    assert_int_equal(said->place, PLACE);
    assert_int_equal(said->shards, SHARDS);
    assert_int_equal(said->instance.at[0], 9);
    assert_int_equal(said->reign, 0);
    assert_int_equal(said->token.count, 6);
    assert_memory_equal(said->token.at, "secret", 6);
    assert_false(deputy_has_joined(scene.deputy));
}

static void join__answered__gives_its_shards_to_the_reign(void **state)
{
    struct peer_letter letter;
    (void)state;
    join(77);
    assert_int_equal(scene.resets, 1);
    assert_true(scene.has_reign);
    assert_int_equal(scene.reign.first, FIRST);
    assert_int_equal(scene.reign.total, FIRST + SHARDS);
    kept_log_expect(&scene.log, "event=joined");
    assert_int_equal(
        peer_letter_unpack(scene.far->payload, scene.far->payload_bytes, &letter, NULL), STEPD_OK);
    assert_int_equal(letter.note.kind, PEER_NOTE_PROBED);
    assert_int_equal(letter.note.error.code, STEPD_OK);
    peer_letter_deinit(&letter);
}

static void join__it_sees_another_folder__tells_control(void **state)
{
    struct peer_letter letter;
    (void)state;
    scene.sees = STEPD_FAILED_PRECONDITION;
    join(77);
    assert_int_equal(
        peer_letter_unpack(scene.far->payload, scene.far->payload_bytes, &letter, NULL), STEPD_OK);
    assert_string_equal(letter.note.error.text, "another folder");
    peer_letter_deinit(&letter);
    kept_log_expect(&scene.log, "event=not_joined");
}

static void join__refused__says_so_once_and_comes_again(void **state)
{
    const struct stepd_message refusal = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_FAILED_PRECONDITION, .text = "install one version on all"},
    };
    (void)state;
    for (int attempt = 0; attempt < 3; attempt++) {
        (void)await_join();
        far_say(scene.far, &refusal, NULL, 0);
        far_expect_end(scene.far);
    }
    assert_int_equal(kept_log_count(&scene.log, "event=not_joined"), 1);
    kept_log_expect(&scene.log, "install one version on all");
    assert_int_equal(scene.resets, 0);
}

static void join__given_shards_that_there_are_not__refuses_them(void **state)
{
    (void)state;
    (void)await_join();
    say_joined(77, FIRST, FIRST + SHARDS - 1);
    assert_false(deputy_has_joined(scene.deputy));
    assert_int_equal(scene.resets, 0);
    far_expect_refusal(scene.far, STEPD_INVALID_ARGUMENT, "control counts 4 shards in all");
}

static void join__what_it_has_is_still_read__waits(void **state)
{
    (void)state;
    scene.busy = true;
    (void)await_join();
    say_joined(77, FIRST, FIRST + SHARDS);
    far_expect_refusal(scene.far, STEPD_UNAVAILABLE, "still writes a checkpoint");
    assert_int_equal(scene.resets, 0);
    scene.busy = false;
    join(77);
    assert_int_equal(scene.resets, 1);
}

static void join__nobody_listens__says_why(void **state)
{
    (void)state;
    assert_int_equal(close(scene.listener), 0);
    tick(TIMEOUT_MS);
    while (deputy_connections(scene.deputy) > 0)
        (void)uv_run(&scene.uv, UV_RUN_ONCE);
    kept_log_expect(&scene.log, "event=not_joined");
    kept_log_expect(&scene.log, "Connection refused");
    scene.listener = dup(STDERR_FILENO); /* for tear_down */
}

/* ---- Letters --------------------------------------------------------------------------------- */

static void order__of_control__goes_to_the_shards(void **state)
{
    (void)state;
    join(77);
    far_say_letter(scene.far, 1, pack_close(FIRST));
    assert_int_equal(scene.orders, 1);
    assert_int_equal(scene.order, ORDER_JOB_CLOSE);
}

static void order__to_shards_of_others__makes_it_join_anew(void **state)
{
    (void)state;
    join(77);
    far_say_letter(scene.far, 1, pack_close(FIRST + 1));
    assert_int_equal(scene.orders, 0);
    far_expect_refusal(scene.far, STEPD_INVALID_ARGUMENT, "not those of this daemon");
    tick(0);
    kept_log_expect(&scene.log, "event=control_lost");
    assert_int_equal(await_join()->reign, 0);
}

/* ---- Losing control -------------------------------------------------------------------------- */

static void link__cut_and_made_again__goes_on(void **state)
{
    (void)state;
    join(77);
    far_say_letter(scene.far, 1, pack_close(FIRST));
    hang_up();
    const struct stepd_join *const said = await_join();
    assert_int_equal(said->reign, 77);
    assert_int_equal(said->expects, 2);
    say_joined(77, FIRST, FIRST + SHARDS);
    assert_true(deputy_has_joined(scene.deputy));
    assert_int_equal(scene.resets, 1);
    kept_log_expect(&scene.log, "event=link_back");
}

static void link__of_another_reign__makes_the_shards_forget(void **state)
{
    (void)state;
    join(77);
    hang_up();
    join(78);
    assert_int_equal(scene.resets, 2);
    assert_true(scene.has_reign);
    assert_non_null(strstr(scene.why.text, "another reign begins"));
}

static void link__cut_for_the_lease__makes_the_shards_forget_when_nothing_is_read(void **state)
{
    (void)state;
    join(77);
    hang_up();
    scene.busy = true;
    tick(LEASE_MS + 1000);
    kept_log_expect(&scene.log, "event=control_lost");
    assert_int_equal(scene.resets, 1);
    scene.busy = false;
    tick(LEASE_MS + 1000);
    assert_int_equal(scene.resets, 2);
    assert_false(scene.has_reign);
    assert_non_null(strstr(scene.why.text, "control of this server cannot be reached"));
}

static void tell__without_a_link__is_refused(void **state)
{
    const struct peer_note note = {.kind = PEER_NOTE_LEAVING, .text = ""};
    (void)state;
    assert_false(deputy_tell(scene.deputy, &note));
    join(77);
    assert_true(deputy_tell(scene.deputy, &note));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(join__for_the_first_time__says_who_it_is),
        TEST(join__answered__gives_its_shards_to_the_reign),
        TEST(join__it_sees_another_folder__tells_control),
        TEST(join__refused__says_so_once_and_comes_again),
        TEST(join__given_shards_that_there_are_not__refuses_them),
        TEST(join__what_it_has_is_still_read__waits),
        TEST(join__nobody_listens__says_why),
        TEST(order__of_control__goes_to_the_shards),
        TEST(order__to_shards_of_others__makes_it_join_anew),
        TEST(link__cut_and_made_again__goes_on),
        TEST(link__of_another_reign__makes_the_shards_forget),
        TEST(link__cut_for_the_lease__makes_the_shards_forget_when_nothing_is_read),
        TEST(tell__without_a_link__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
