/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of daemons that work together, as it is written and as it is understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/peers.h"
#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static enum stepd_status read(const char *list, const char *listen, struct peers *ret_peers,
                              struct stepd_error *reterr)
{
    const struct config config = {.peers = list, .listen = listen};
    return peers_read(&config, ret_peers, reterr);
}

static void peers__entries_without_a_port__have_that_of_listen(void **state)
{
    (void)state;
    struct peers peers;
    struct stepd_error error;
    assert_int_equal(read("a,b:1,[::1]:2,[::1]", "0.0.0.0:70", &peers, &error), STEPD_OK);
    assert_int_equal(peers.count, 4);
    assert_string_equal(peers.address[0], "a:70");
    assert_string_equal(peers.address[1], "b:1");
    assert_string_equal(peers.address[2], "[::1]:2");
    assert_string_equal(peers.address[3], "[::1]:70");
    assert_int_equal(peers_find(&peers, "B:1"), 1);
    assert_int_equal(peers_find(&peers, "b:2"), 4);
}

static void peers__an_empty_list__is_of_nobody(void **state)
{
    (void)state;
    struct peers peers;
    struct stepd_error error;
    assert_int_equal(read("", "0.0.0.0:70", &peers, &error), STEPD_OK);
    assert_int_equal(peers.count, 0);
}

static void peers__what_cannot_be__is_refused_with_the_remedy(void **state)
{
    (void)state;

    static const struct {
        const char *list;
        const char *listen;
        const char *error;
    } bad[] = {
        {"a,b,a", "h:1", "peers: a:1 stands there twice"},
        {"a,b:1", "h:0", "peers: a has no port, and listen has none to take: write a:PORT"},
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct peers peers;
        struct stepd_error error;
        assert_int_equal(read(bad[i].list, bad[i].listen, &peers, &error), STEPD_INVALID_ARGUMENT);
        assert_string_equal(error.text, bad[i].error);
    }
}

static void peers__a_host_name__is_that_of_an_entry_whole_or_by_its_first_label(void **state)
{
    (void)state;
    assert_true(peers_has_host("node1:7070", "node1"));
    assert_true(peers_has_host("node1:7070", "node1.cluster.example"));
    assert_true(peers_has_host("stepd-0.stepd.default.svc:7070", "stepd-0"));
    assert_false(peers_has_host("node1:7070", "node10"));
    assert_false(peers_has_host("node1.a:7070", "node1.b"));
    assert_false(peers_has_host("10.0.0.1:7070", "10"));
}

static void config__peers_in_each_layer__are_one_list(void **state)
{
    (void)state;
    static const struct loading loadings[] = {
        {.yaml = "peers: [a, \"b:7\"]\n"},
        {.yaml = "peers: a,b:7\n"},
        {.environment = {"STEPD_PEERS=a,b:7"}},
        {.flag = {"--peers", "a,b:7"}},
    };

    for (size_t i = 0; i < COUNT(loadings); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run(&loadings[i], &config, &error), STEPD_OK);
        assert_string_equal(config.peers, "a,b:7");
        assert_int_equal(config.peer, CONFIG_PEER_AUTO);
        config_deinit(&config);
    }
}

static void config__peers_that_are_no_addresses__are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "peers: 'a,,b'\n",  "peers: 'a,'\n",      "peers: 'a b'\n", "peers: [a, [b]]\n",
        "peers: ['a,b']\n", "peers: 'a:0'\n",     "peers: ':1'\n",  "peers: 'a:x'\n",
        "peers: '[]:1'\n",  "peers: {a: b}\n",    "peer: -1\n",     "peer: 64\n",
        "advertise: a:b\n", "advertise: 'a,b'\n",
    };

    for (size_t i = 0; i < COUNT(bad); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(bad[i], &config, &error), STEPD_FAILED_PRECONDITION);
        loading_assert_holds(error.text, ":1: ");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers__entries_without_a_port__have_that_of_listen),
        cmocka_unit_test(peers__an_empty_list__is_of_nobody),
        cmocka_unit_test(peers__what_cannot_be__is_refused_with_the_remedy),
        cmocka_unit_test(peers__a_host_name__is_that_of_an_entry_whole_or_by_its_first_label),
        cmocka_unit_test(config__peers_in_each_layer__are_one_list),
        cmocka_unit_test(config__peers_that_are_no_addresses__are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
