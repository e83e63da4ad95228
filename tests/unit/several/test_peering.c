/* SPDX-License-Identifier: Apache-2.0
 *
 * What a daemon takes of its config about the others, and the file of the token that it shows: read
 * at the start, and again.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/peering.h"

/* A file in a place of its own, and what was found. */
struct scene {
    char path[32];
    char said[512]; /* to the log */
    FILE *stream;   /* into it */
    struct log log;
    struct peering peering;
};

static void write_token(const struct scene *scene, const char *text)
{
    FILE *const file = fopen(scene->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct scene *const scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    (void)snprintf(scene->path, sizeof scene->path, "/tmp/peering-XXXXXX");
    const int fd = mkstemp(scene->path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    scene->stream = fmemopen(scene->said, sizeof scene->said - 1, "w");
    assert_non_null(scene->stream);
    setbuf(scene->stream, NULL);
    log_init(&scene->log, scene->stream, LOG_INFO);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *const scene = *state;
    (void)unlink(scene->path);
    (void)fclose(scene->stream);
    free(scene);
    return 0;
}

static struct config config_of(const char *peers)
{
    return (struct config){.peers = peers,
                           .listen = "127.0.0.1:7070",
                           .advertise = "",
                           .peer = CONFIG_PEER_AUTO,
                           .peer_token_file = ""};
}

static void assert_refused(struct scene *scene, const struct config *config, const char *text)
{
    struct stepd_error error;
    assert_int_equal(peering_find(config, &scene->peering, &error), STEPD_FAILED_PRECONDITION);
    if (strstr(error.text, text) == NULL)
        fail_msg("'%s' is not in: %s", text, error.text);
}

static void peering__no_list__is_alone(void **state)
{
    struct scene *const scene = *state;
    struct config config = config_of("");
    struct stepd_error error;
    assert_int_equal(peering_find(&config, &scene->peering, &error), STEPD_OK);
    assert_true(peering_is_alone(&scene->peering));
    assert_false(peering_is_member(&scene->peering));
    config.peer = 1;
    assert_refused(scene, &config, "peer is 1, and peers names no daemons");
}

static void peering__list__has_its_place_and_the_address_that_others_use(void **state)
{
    struct scene *const scene = *state;
    struct config config = config_of("203.0.113.1,127.0.0.1");
    struct stepd_error error;
    assert_int_equal(peering_find(&config, &scene->peering, &error), STEPD_OK);
    assert_true(peering_is_member(&scene->peering));
    assert_int_equal(scene->peering.place, 1);
    assert_string_equal(scene->peering.address[0], "203.0.113.1:7070");
    assert_string_equal(scene->peering.advertise, "127.0.0.1:7070");
    config.peer = 0;
    config.advertise = "203.0.113.9:1";
    assert_int_equal(peering_find(&config, &scene->peering, &error), STEPD_OK);
    assert_false(peering_is_member(&scene->peering));
    assert_string_equal(scene->peering.advertise, "203.0.113.9:1");
    config.peer = 2;
    assert_refused(scene, &config, "peers has 2");
}

/* Where the file is only looked at, this need not be one of its hosts. */
static void peering__check_of_a_file__needs_no_place(void **state)
{
    struct scene *const scene = *state;
    struct config config = config_of("203.0.113.1,203.0.113.2");
    struct stepd_error error;
    assert_refused(scene, &config, "this daemon is none of the 2");
    config.action = CONFIG_CHECK;
    assert_int_equal(peering_find(&config, &scene->peering, &error), STEPD_OK);
}

static void token__first_line_of_the_file__is_shown(void **state)
{
    struct scene *const scene = *state;
    struct config config = config_of("127.0.0.1:7071,127.0.0.1:7070");
    struct stepd_error error;
    config.peer_token_file = scene->path;
    write_token(scene, "stepd_secret\r\nand a line more\n");
    assert_int_equal(peering_find(&config, &scene->peering, &error), STEPD_OK);
    assert_string_equal(scene->peering.token, "stepd_secret");
    write_token(scene, "\nstepd_secret\n");
    assert_refused(scene, &config, "its first line has no token");
    assert_int_equal(unlink(scene->path), 0);
    assert_refused(scene, &config, "peer_token_file: /tmp/peering-");
}

static void token__read_again__changes_when_the_file_has_another(void **state)
{
    struct scene *const scene = *state;
    bool changed = true;
    assert_true(peering_reload_token(&scene->peering, "", &scene->log, &changed));
    assert_false(changed);
    write_token(scene, "secret");
    assert_true(peering_reload_token(&scene->peering, scene->path, &scene->log, &changed));
    assert_true(changed);
    assert_non_null(strstr(scene->said, "event=peer_token_read"));
    assert_true(peering_reload_token(&scene->peering, scene->path, &scene->log, &changed));
    assert_false(changed);
    write_token(scene, "");
    assert_false(peering_reload_token(&scene->peering, scene->path, &scene->log, &changed));
    assert_false(changed);
    assert_string_equal(scene->peering.token, "secret");
    assert_non_null(strstr(scene->said, "event=reload_failed"));
    assert_null(strstr(scene->said, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(peering__no_list__is_alone),
        TEST(peering__list__has_its_place_and_the_address_that_others_use),
        TEST(peering__check_of_a_file__needs_no_place),
        TEST(token__first_line_of_the_file__is_shown),
        TEST(token__read_again__changes_when_the_file_has_another),
    };
    return cmocka_run_group_tests_name("peering", tests, NULL, NULL);
}
