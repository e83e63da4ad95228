/* SPDX-License-Identifier: Apache-2.0
 *
 * Dialling on this machine's loopback. What the resolver says is the test's affair: the linker puts
 * __wrap_getaddrinfo in its place, which knows some names, and one that it never answers for.
 */
#include "server/net/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/net/socket.h"
#include "tls_peer.h"

#define SOON_MS  150u  /* a limit that is to be met */
#define GUARD_MS 10000 /* of what must not take long */
#define DRIP_MS  20
#define DRIPS    400 /* in all much longer than SOON_MS */

/* ---- The resolver ---------------------------------------------------------------------------- */

static sem_t asked; /* a lookup that is not answered has begun */
static sem_t never;

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res)
{
    if ((hints->ai_flags & AI_NUMERICHOST) != 0)
        return __real_getaddrinfo(node, service, hints, res);
    if (strcmp(node, "silent") == 0) {
        assert_int_equal(sem_post(&asked), 0);
        while (sem_wait(&never) != 0)
            ;
        return EAI_AGAIN;
    }
    if (strcmp(node, "unknown") == 0)
        return EAI_NONAME;
    const int failure = __real_getaddrinfo("127.0.0.1", service, hints, res);
    if (failure == 0 && strcmp(node, "two") == 0)
        return __real_getaddrinfo("127.0.0.2", service, hints, &(*res)->ai_next);
    return failure;
}

/* ---- Both ends ------------------------------------------------------------------------------- */

static uv_loop_t loop;

static struct {
    atomic_bool stop;
    bool done;
    struct caller *caller;
    struct stepd_error error;
} dialled;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    atomic_store(&dialled.stop, false);
    dialled.done = false;
    dialled.caller = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)caller_destroy(dialled.caller);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void on_done(void *owner, struct caller *caller, const struct stepd_error *error)
{
    (void)owner;
    assert_false(dialled.done);
    dialled.done = true;
    dialled.caller = caller;
    dialled.error = *error;
}

/* A socket of a loopback address, 127.0.0.<host>, which nobody listens on yet. port 0: any. */
static int bind_loopback(uint8_t host, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t bytes = sizeof address;
    const struct timeval guard = {.tv_sec = GUARD_MS / 1000};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof guard), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int listen_at(uint8_t host, uint16_t *port)
{
    const int fd = bind_loopback(host, port);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* One whose queue is full takes no connection, and says nothing. */
static int listen_full(uint16_t *port, int *ret_filler)
{
    const int listener = bind_loopback(1, port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(listen(listener, 0), 0);
    *ret_filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_filler, (struct sockaddr *)&address, sizeof address), 0);
    return listener;
}

static int accept_one(int listener)
{
    const int fd = accept(listener, NULL, NULL);
    const struct timeval guard = {.tv_sec = GUARD_MS / 1000};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof guard), 0);
    return fd;
}

static void start(const char *host, uint16_t port, const struct tls_client *tls,
                  struct dial_limits limits)
{
    char address[ADDRESS_TEXT_BYTES];
    (void)snprintf(address, sizeof address, "%s:%u", host, (unsigned)port);
    const struct dial_options options = {
        .uv = &loop,
        .address = address,
        .tls = tls,
        .tcp_congestion = SOCKET_CONGESTION_AUTO,
        .stop = &dialled.stop,
        .limits = limits,
        .done = on_done,
    };
    assert_int_equal(dial_start(&options), STEPD_OK);
}

/* Waits for the end, which comes well before the guard. */
static void finish(void)
{
    const uint64_t begun_ns = uv_hrtime();
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(dialled.done);
    assert_true((uv_hrtime() - begun_ns) / 1000000 < GUARD_MS / 2);
}

static const struct dial_limits usual;

static void assert_failed(enum stepd_status code, const char *with)
{
    assert_null(dialled.caller);
    assert_int_equal(dialled.error.code, code);
    if (strstr(dialled.error.text, with) == NULL)
        fail_msg("'%s' has no '%s'", dialled.error.text, with);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

static void assert_connected_to(int listener, const char *peer)
{
    const int far = accept_one(listener);
    char byte = 0;
    finish();
    assert_non_null(dialled.caller);
    assert_string_equal(dialled.caller->peer, peer);
    assert_int_equal(send(dialled.caller->fd, "!", 1, 0), 1);
    assert_int_equal(recv(far, &byte, 1, 0), 1);
    assert_int_equal(byte, '!');
    (void)close(far);
}

static void dial__an_address_of_numbers__gives_a_connected_caller(void **state)
{
    uint16_t port = 0;
    char peer[32];
    const int listener = listen_at(1, &port);
    (void)state;
    start("127.0.0.1", port, NULL, usual);
    (void)snprintf(peer, sizeof peer, "127.0.0.1:%u", (unsigned)port);
    assert_connected_to(listener, peer);
    (void)close(listener);
}

static void dial__the_first_of_two_addresses_refuses__takes_the_second(void **state)
{
    uint16_t port = 0;
    char peer[32];
    const int refuses = bind_loopback(1, &port);
    const int listener = listen_at(2, &port);
    (void)state;
    start("two", port, NULL, usual);
    (void)snprintf(peer, sizeof peer, "127.0.0.2:%u", (unsigned)port);
    assert_connected_to(listener, peer);
    (void)close(listener);
    (void)close(refuses);
}

static void dial__the_first_of_two_addresses_is_silent__takes_the_second(void **state)
{
    uint16_t port = 0;
    char peer[32];
    int filler = -1;
    const int silent = listen_full(&port, &filler);
    const int listener = listen_at(2, &port);
    (void)state;
    start("two", port, NULL, (struct dial_limits){.connect_ms = SOON_MS});
    (void)snprintf(peer, sizeof peer, "127.0.0.2:%u", (unsigned)port);
    assert_connected_to(listener, peer);
    (void)close(filler);
    (void)close(listener);
    (void)close(silent);
}

static void dial__all_addresses_refuse__names_the_last_and_its_reason(void **state)
{
    uint16_t port = 0;
    char text[64];
    const int first = bind_loopback(1, &port);
    const int second = bind_loopback(2, &port);
    (void)state;
    start("two", port, NULL, usual);
    finish();
    (void)snprintf(text, sizeof text, "127.0.0.2:%u: Connection refused", (unsigned)port);
    assert_failed(STEPD_UNAVAILABLE, text);
    (void)close(first);
    (void)close(second);
}

static void dial__nobody_answers__ends_when_the_time_is_over(void **state)
{
    uint16_t port = 0;
    int filler = -1;
    const int listener = listen_full(&port, &filler);
    (void)state;
    start("127.0.0.1", port, NULL, (struct dial_limits){.connect_ms = SOON_MS});
    finish();
    assert_failed(STEPD_UNAVAILABLE, "no answer within 150 ms");
    (void)close(filler);
    (void)close(listener);
}

static void dial__given_up_while_it_connects__ends_at_once(void **state)
{
    uint16_t port = 0;
    int filler = -1;
    const int listener = listen_full(&port, &filler);
    (void)state;
    start("127.0.0.1", port, NULL, (struct dial_limits){.connect_ms = GUARD_MS});
    atomic_store(&dialled.stop, true);
    finish();
    assert_failed(STEPD_CANCELLED, "nobody wants it");
    (void)close(filler);
    (void)close(listener);
}

static void dial__no_address__says_what_is_wanted(void **state)
{
    (void)state;
    start("[::1", 1, NULL, usual);
    finish();
    assert_failed(STEPD_INVALID_ARGUMENT, "write host:port");
}

/* ---- Names ----------------------------------------------------------------------------------- */

static void dial__a_host_that_is_not_known__says_so(void **state)
{
    (void)state;
    start("unknown", 1, NULL, usual);
    finish();
    assert_failed(STEPD_UNAVAILABLE, "host unknown is not known");
}

static void dial__the_resolver_does_not_answer__ends_when_the_time_is_over(void **state)
{
    (void)state;
    start("silent", 1, NULL, (struct dial_limits){.lookup_ms = SOON_MS});
    finish();
    assert_failed(STEPD_UNAVAILABLE, "the resolver has not answered for 150 ms");
    assert_int_equal(sem_wait(&asked), 0);
    assert_int_equal(sem_post(&never), 0); /* it does, when nobody wants to know */
}

/* The lookup is still there when the process ends, where a sanitizer has nothing to complain of. */
static void dial__given_up_while_the_resolver_is_silent__ends_without_it(void **state)
{
    (void)state;
    start("silent", 1, NULL, usual);
    assert_int_equal(sem_wait(&asked), 0);
    atomic_store(&dialled.stop, true);
    finish();
    assert_failed(STEPD_CANCELLED, "nobody wants it");
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* The other end's part in a handshake, until both are through or it hears no more. */
static void answer_handshake(struct tls *tls, int fd)
{
    uint8_t bytes[4096];
    while (!tls_is_up(tls)) {
        const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        size_t n = 0;
        if (got <= 0)
            return;
        assert_true(tls_feed(tls, bytes, (size_t)got));
        (void)tls_read(tls, bytes, sizeof bytes, &n);
        const uint8_t *const output = tls_output(tls, &n);
        assert_int_equal(send(fd, output, n, MSG_NOSIGNAL), n);
        tls_output_gone(tls, n);
    }
}

static void dial_by_tls(const char *host, struct tls_peer *peer)
{
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    start(host, port, peer->client, usual);
    const int far = accept_one(listener);
    answer_handshake(peer->tls, far);
    finish();
    (void)close(far);
    (void)close(listener);
}

static void dial_tls__the_certificate_is_of_the_host__gives_a_caller_with_tls(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    (void)state;
    dial_by_tls("server", peer);
    assert_non_null(dialled.caller);
    assert_true(tls_is_up(dialled.caller->tls));
    tls_peer_destroy(peer);
}

static void dial_tls__the_certificate_is_of_another_host__is_refused(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    (void)state;
    dial_by_tls("other", peer);
    assert_failed(STEPD_UNAVAILABLE, "hostname mismatch");
    tls_peer_destroy(peer);
}

static void dial_tls__the_certificate_is_of_an_unknown_authority__is_refused(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    struct tls_peer *const other = tls_peer_create();
    struct tls_client *const ours = peer->client;
    (void)state;
    peer->client = other->client;
    dial_by_tls("server", peer);
    assert_failed(STEPD_UNAVAILABLE, "certificate");
    peer->client = ours;
    tls_peer_destroy(other);
    tls_peer_destroy(peer);
}

static void dial_tls__hung_up_on_in_the_handshake__says_so(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    (void)state;
    start("server", port, peer->client, usual);
    const int far = accept_one(listener);
    assert_int_equal(shutdown(far, SHUT_WR), 0);
    finish();
    assert_failed(STEPD_UNAVAILABLE, "hung up during the handshake");
    (void)close(far);
    (void)close(listener);
    tls_peer_destroy(peer);
}

static void dial_tls__the_other_end_is_silent__ends_when_the_time_is_over(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    (void)state;
    start("server", port, peer->client, (struct dial_limits){.handshake_ms = SOON_MS});
    finish();
    assert_failed(STEPD_UNAVAILABLE, "no answer within 150 ms");
    (void)close(listener);
    tls_peer_destroy(peer);
}

static void dial_tls__given_up_in_the_handshake__ends_at_once(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    (void)state;
    start("server", port, peer->client, (struct dial_limits){.handshake_ms = GUARD_MS});
    const int far = accept_one(listener);
    atomic_store(&dialled.stop, true);
    finish();
    assert_failed(STEPD_CANCELLED, "nobody wants it");
    (void)close(far);
    (void)close(listener);
    tls_peer_destroy(peer);
}

/* The longest record there is, a byte at a time, each well within the time that is waited. */
static void drip(int fd)
{
    static const uint8_t record[5] = {22, 3, 3, 0x3F, 0xFF};
    for (size_t i = 0; i < DRIPS && !dialled.done; i++) {
        const uint8_t byte = i < sizeof record ? record[i] : 0;
        struct pollfd hangs_up = {.fd = fd, .events = POLLRDHUP};
        if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
            break;
        (void)poll(&hangs_up, 1, DRIP_MS);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void dial_tls__bytes_drip_in__ends_when_the_time_is_over_all_the_same(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    (void)state;
    start("server", port, peer->client, (struct dial_limits){.handshake_ms = SOON_MS});
    const int far = accept_one(listener);
    drip(far);
    (void)close(far);
    finish();
    assert_failed(STEPD_UNAVAILABLE, "no answer within 150 ms");
    (void)close(listener);
    tls_peer_destroy(peer);
}

static void dial_tls__given_up_while_bytes_drip_in__ends_at_once(void **state)
{
    struct tls_peer *const peer = tls_peer_create();
    uint16_t port = 0;
    const int listener = listen_at(1, &port);
    (void)state;
    start("server", port, peer->client, (struct dial_limits){.handshake_ms = GUARD_MS});
    const int far = accept_one(listener);
    atomic_store(&dialled.stop, true);
    drip(far);
    (void)close(far);
    finish();
    assert_failed(STEPD_CANCELLED, "nobody wants it");
    (void)close(listener);
    tls_peer_destroy(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dial__an_address_of_numbers__gives_a_connected_caller),
        TEST(dial__the_first_of_two_addresses_refuses__takes_the_second),
        TEST(dial__the_first_of_two_addresses_is_silent__takes_the_second),
        TEST(dial__all_addresses_refuse__names_the_last_and_its_reason),
        TEST(dial__nobody_answers__ends_when_the_time_is_over),
        TEST(dial__given_up_while_it_connects__ends_at_once),
        TEST(dial__no_address__says_what_is_wanted),
        TEST(dial__a_host_that_is_not_known__says_so),
        TEST(dial__the_resolver_does_not_answer__ends_when_the_time_is_over),
        TEST(dial_tls__the_certificate_is_of_the_host__gives_a_caller_with_tls),
        TEST(dial_tls__the_certificate_is_of_another_host__is_refused),
        TEST(dial_tls__the_certificate_is_of_an_unknown_authority__is_refused),
        TEST(dial_tls__hung_up_on_in_the_handshake__says_so),
        TEST(dial_tls__the_other_end_is_silent__ends_when_the_time_is_over),
        TEST(dial_tls__given_up_in_the_handshake__ends_at_once),
        TEST(dial_tls__bytes_drip_in__ends_when_the_time_is_over_all_the_same),
        TEST(dial_tls__given_up_while_bytes_drip_in__ends_at_once),
        TEST(dial__given_up_while_the_resolver_is_silent__ends_without_it),
    };
    if (sem_init(&asked, 0, 0) != 0 || sem_init(&never, 0, 0) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
