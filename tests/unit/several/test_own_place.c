/* SPDX-License-Identifier: Apache-2.0
 *
 * How a daemon finds itself in the list that all of them have. Addresses are numbers, so that no
 * resolver is asked: this machine's loopback, and those that RFC 5737 keeps for documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/own_place.h"

static enum stepd_status find(const struct config *config, uint32_t *ret_place,
                              struct stepd_error *reterr)
{
    static struct peers peers;
    assert_int_equal(peers_read(config, &peers, reterr), STEPD_OK);
    return own_place_find(config, &peers, ret_place, reterr);
}

static void assert_place(const struct config *config, uint32_t wanted)
{
    uint32_t place = UINT32_MAX;
    struct stepd_error error = {.text = ""};
    if (find(config, &place, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    assert_int_equal(place, wanted);
}

static void assert_refused(const struct config *config, const char *text)
{
    uint32_t place = 0;
    struct stepd_error error;
    assert_int_equal(find(config, &place, &error), STEPD_FAILED_PRECONDITION);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
}

static struct config config_of(const char *peers, const char *listen)
{
    return (struct config){
        .peers = peers, .listen = listen, .advertise = "", .peer = CONFIG_PEER_AUTO};
}

static void place__given__is_believed(void **state)
{
    (void)state;
    struct config config = config_of("127.0.0.1:1,203.0.113.1:1", "127.0.0.1:1");
    config.peer = 1;
    assert_place(&config, 1);
    config.peer = 2;
    assert_refused(&config, "peer is 2, and peers has 2: the first is 0");
}

static void place__advertised_address_in_the_list__is_that_one(void **state)
{
    (void)state;
    struct config config = config_of("127.0.0.1:1,203.0.113.1,203.0.113.2:7", "127.0.0.1:1");
    config.advertise = "203.0.113.1";
    assert_place(&config, 1);
    config.advertise = "203.0.113.2:7";
    assert_place(&config, 2);
}

static void place__listens_as_an_entry_says__is_that_one(void **state)
{
    (void)state;
    const struct config config = config_of("127.0.0.1:1,127.0.0.1:2", "127.0.0.1:2");
    assert_place(&config, 1);
}

static void place__one_of_the_hosts_addresses__is_that_one(void **state)
{
    (void)state;
    const struct config config = config_of("203.0.113.1,127.0.0.1", "0.0.0.0:1");
    assert_place(&config, 1);
}

static void place__none_or_several__is_refused_with_the_remedy(void **state)
{
    (void)state;
    const struct config none = config_of("203.0.113.1,203.0.113.2", "0.0.0.0:1");
    const struct config several = config_of("127.0.0.1:1,127.0.0.1:2", "0.0.0.0:0");
    assert_refused(&none, "none of the 2 in the list");
    assert_refused(&none, "--peer N");
    assert_refused(&several, "could be 2 of the 2 in the list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(place__given__is_believed),
        cmocka_unit_test(place__advertised_address_in_the_list__is_that_one),
        cmocka_unit_test(place__listens_as_an_entry_says__is_that_one),
        cmocka_unit_test(place__one_of_the_hosts_addresses__is_that_one),
        cmocka_unit_test(place__none_or_several__is_refused_with_the_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
