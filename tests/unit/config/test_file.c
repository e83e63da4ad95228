/* SPDX-License-Identifier: Apache-2.0
 *
 * Files as people and fuzzers write them: each bad one is refused with its line and its cause.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/document.h"
#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A file that is refused, and what the error says. */
struct bad_file {
    const char *yaml;
    const char *error;
};

static void assert_refused(const char *yaml, size_t n, const char *error)
{
    struct config config = {.file = NULL};
    struct stepd_error caught = {.code = STEPD_OK};
    const struct loading loading = {.yaml = yaml, .yaml_bytes = n};
    assert_int_equal(loading_run(&loading, &config, &caught), STEPD_FAILED_PRECONDITION);
    assert_int_equal(caught.code, STEPD_FAILED_PRECONDITION);
    loading_assert_holds(caught.text, error);
    assert_null(config.file);
}

static void file__every_key_given__is_taken(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml("listen: '[::1]:0'\n"
                                      "unix_path: /run/stepd.sock\n"
                                      "port_file: \"port\"\n"
                                      "shards: 64\n"
                                      "insecure: true\n"
                                      "log_level: debug\n"
                                      "isa: v3\n"
                                      "memory_max_bytes: 2 GiB\n"
                                      "shared_max_bytes: 3 GiB\n"
                                      "frame_max_bytes: 1MiB\n"
                                      "connections_max: 7\n"
                                      "hello_timeout_ms: 11\n"
                                      "lease_ms: 12\n"
                                      "wait_max_ms: 13\n"
                                      "write_timeout_ms: 14\n"
                                      "read_timeout_ms: 16\n"
                                      "busy_poll_us: 17\n"
                                      "tcp_congestion: reno\n"
                                      "slice_elements: 256\n"
                                      "checkpoint_dir: /var/lib/stepd\n"
                                      "checkpoint_every_steps: 18\n"
                                      "checkpoint_every_s: 19\n"
                                      "checkpoint_keep: 20\n"
                                      "checkpoint_on_exit: false\n"
                                      "resume: never\n"
                                      "peers: [a, 'b:1', '[::1]:2']\n"
                                      "peer: 2\n"
                                      "advertise: c:3\n"
                                      "peer_lease_ms: 21000\n"
                                      "peer_token_file: token\n"
                                      "peer_ca: ca.pem\n"
                                      "jobs: []\n",
                                      &config, &error),
                     STEPD_OK);
    assert_string_equal(config.listen, "[::1]:0");
    assert_string_equal(config.unix_path, "/run/stepd.sock");
    assert_string_equal(config.port_file, "port");
    assert_int_equal(config.shards, 64);
    assert_true(config.insecure);
    assert_int_equal(config.log_level, LOG_DEBUG);
    assert_string_equal(config.isa, "v3");
    assert_int_equal(config.memory_max_bytes, UINT64_C(2) << 30);
    assert_int_equal(config.shared_max_bytes, UINT64_C(3) << 30);
    assert_int_equal(config.frame_max_bytes, 1u << 20);
    assert_int_equal(config.connections_max, 7);
    assert_int_equal(config.hello_timeout_ms, 11);
    assert_int_equal(config.lease_ms, 12);
    assert_int_equal(config.wait_max_ms, 13);
    assert_int_equal(config.write_timeout_ms, 14);
    assert_int_equal(config.read_timeout_ms, 16);
    assert_int_equal(config.busy_poll_us, 17);
    assert_string_equal(config.tcp_congestion, "reno");
    assert_int_equal(config.slice_elements, 256);
    assert_string_equal(config.checkpoint_dir, "/var/lib/stepd");
    assert_int_equal(config.checkpoint_every_steps, 18);
    assert_int_equal(config.checkpoint_every_s, 19);
    assert_int_equal(config.checkpoint_keep, 20);
    assert_false(config.checkpoint_on_exit);
    assert_string_equal(config.resume, "never");
    assert_string_equal(config.peers, "a,b:1,[::1]:2");
    assert_int_equal(config.peer, 2);
    assert_string_equal(config.advertise, "c:3");
    assert_int_equal(config.peer_lease_ms, 21000);
    assert_string_equal(config.peer_token_file, "token");
    assert_string_equal(config.peer_ca, "ca.pem");
    assert_int_equal(config.jobs, 0);
    config_deinit(&config);
}

static void file__says_nothing__leaves_the_defaults(void **state)
{
    (void)state;
    static const char *const files[] = {"", "\n\n", "# only a comment\n", "---\n", "~\n"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run_yaml(files[i], &config, &error), STEPD_OK);
        assert_string_equal(config.listen, "127.0.0.1:7070");
        assert_int_equal(config.origin[0].source, CONFIG_DEFAULT);
        config_deinit(&config);
    }
}

static void file__byte_order_mark_and_crlf__are_taken(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run_yaml("\xEF\xBB\xBFshards: 2\r\nisa: v4\r\n", &config, &error),
                     STEPD_OK);
    assert_int_equal(config.shards, 2);
    assert_string_equal(config.isa, "v4");
    config_deinit(&config);
}

static void file__wrong__is_refused_with_line_and_cause(void **state)
{
    (void)state;
    static const struct bad_file files[] = {
        {"listen: 'h:1'\nshard: 2\n", ":2: unknown key \"shard\": did you mean 'shards'?"},
        {"\n\nzzzzzzzz: 2\n", ":3: unknown key \"zzzzzzzz\": known are listen"},
        {"job: []\n", ":1: unknown key \"job\": did you mean 'jobs'?"},
        {"shards: 1\nisa: v3\nshards: 2\n", ":3: key \"shards\" stands twice, first in line 1"},
        {"shards: 0\n", ":1: shards: \"0\" is not a whole number from 1 to 64"},
        {"shards: 65\n", "from 1 to 64"},
        {"shards: -1\n", "from 1 to 64"},
        {"shards: 1.5\n", "from 1 to 64"},
        {"shards: 0x10\n", "from 1 to 64"},
        {"shards: 4294967297\n", "from 1 to 64"},
        {"shards: 18446744073709551617\n", "from 1 to 64"}, /* 2^64 + 1 */
        {"shards: 92233720368547758087\n", "from 1 to 64"}, /* 10 * 2^63 + 7 */
        {"shards:\n", ":1: shards is nothing and must be a plain value"},
        {"shards: [1]\n", ":1: shards is a list and must be a plain value"},
        {"shards: {a: 1}\n", "shards is a map"},
        {"insecure: yes\n", "\"yes\" is not true or false"},
        {"log_level: inf\n", "\"inf\" is not known: did you mean 'info'?"},
        {"isa: avx512\n", "is not known: "},
        {"tcp_congestion: Reno\n", "\"Reno\" is not a name of lower-case letters"},
        {"tcp_congestion: a_name_too_long_\n", "is not a name of lower-case letters"},
        {"tcp_congestion: ''\n", "is not a name of lower-case letters"},
        {"memory_max_bytes: 1GB\n", "is not a number of bytes (as 64MiB) from 0 to 1048576GiB"},
        {"memory_max_bytes: 99999999999GiB\n", "is not a number of bytes"},
        {"memory_max_bytes: 17179869184GiB\n", "is not a number of bytes"}, /* 2^64 bytes */
        {"frame_max_bytes: 1KiB\n", "from 128KiB to 1GiB"},
        {"frame_max_bytes: 131071\n", "from 128KiB to 1GiB"},
        {"listen: 7070\n", "\"7070\" is not host:port"},
        {"listen: ':7070'\n", "is not host:port"},
        {"listen: '::1:7070'\n", "is not host:port"},
        {"listen: '[::1]'\n", "is not host:port"},
        {"listen: '[]:1'\n", "is not host:port"},
        {"listen: 'localhost:65536'\n", "is not host:port"},
        {"listen: 'local host:1'\n", "is not host:port"},
        {"listen: 'localhost:'\n", "is not host:port"},
        {"listen: \"a\\nb:1\"\n", "\"a\\nb:1\" is not host:port"},
        {"port_file: \"a\\x07\"\n", "is not UTF-8 without control characters"},
        {"slice_elements: 8388608\nframe_max_bytes: 1MiB\n", "holds at most"},
        {"- listen\n", ":1: the file is a list and must be a map"},
        {"listen\n", ":1: the file is a plain value and must be a map"},
        {"a: [[[[[[[1]]]]]]]\n", ":1: unknown key \"a\""},
        {"a: [[[[[[[[[[1]]]]]]]]]]\n", ":1: lists and maps stand more than 10 deep"},
        {"a: b: c\n", ":1: "},
        {"shards: 1\n\tisa: v3\n", ":2: "},
        {"shards: [1\n", ":2: "},
        {"shards: \"1\n", ": "},
        {"shards: !!int 1\n", ":1: tags"},
        {"jobs: !!seq []\n", ":1: tags"},
        {"isa: v3\nshards: &a 1\n", ":2: anchors (&name) are not understood here"},
        {"jobs: &a []\n", ":1: anchors"},
        {"jobs: &a {}\n", ":1: anchors"},
        {"&a shards: 1\n", ":1: anchors"},
        {"isa: v3\nshards: *a\n", ":2: aliases (*name) are not understood here: write the value"},
        {"*a : 1\n", ":1: aliases (*name) are not understood here"},
        {"isa: v3\n<<: *a\n", ":2: aliases (*name) are not understood here"},
        {"port_file: *.txt\n", ":1: an alias (*name) without a name: write the value out, or in "
                               "quotes if it is a text that begins with *"},
        {"<<: {shards: 1}\n", ":1: unknown key \"<<\""},
        {"{[a]: 1}\n", ":1: a key must be a plain word, not a list"},
        {"? {a: 1}\n: 2\n", ":1: a key must be a plain word, not a map"},
        {"shards: 1\n---\nshards: 2\n", ":2: a second document begins"},
        {"%YAML 1.1\n---\nshards: 1\n", ":1: directives (lines that begin with %) are not"},
        {"\xEF\xBB\xBF%YAML 1.1\n---\nshards: 1\n", ":1: directives"},
        {"shards: 1 # 5 %\n...\n%TAG ! a:\n---\n", ":3: directives"},
        {"shards: 1\r%TAG ! a:\n", "directives"},
        {"shards: 1\xC2\x85%TAG ! a:\n", "directives"},
        {"shards: 1\xE2\x80\xA8%TAG ! a:\n", "directives"},
        {"port_file: 100 %\nisa: %v3\n", ":2: while scanning for the next token"},
        {"port_file: \"a\\0b\"\n", ":1: a text contains a NUL"},
        {"shards: 1\nisa: \xFF\n", ":2: invalid leading UTF-8 octet: the file must be UTF-8"},
        {"shards: 1\nisa: \x01\n", ":2: control characters are not allowed"},
    };
    for (size_t i = 0; i < COUNT(files); i++)
        assert_refused(files[i].yaml, strlen(files[i].yaml), files[i].error);
}

static void file__utf_16__is_refused(void **state)
{
    (void)state;
    static const char utf16[] = "\xFF\xFEs\0h\0a\0r\0d\0s\0:\0 \0001\0\n";
    assert_refused(utf16, sizeof utf16, /* with its NUL, which ends the last character */
                   "the file must be UTF-8");
}

static void file__socket_path_of_107_bytes__is_the_longest(void **state)
{
    (void)state;
    char yaml[160];
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    (void)snprintf(yaml, sizeof yaml, "unix_path: /%0106d\n", 0);
    assert_int_equal(loading_run_yaml(yaml, &config, &error), STEPD_OK);
    assert_int_equal(strlen(config.unix_path), CONFIG_UNIX_PATH_MAX_BYTES);
    config_deinit(&config);
    (void)snprintf(yaml, sizeof yaml, "unix_path: /%0107d\n", 0);
    assert_refused(yaml, strlen(yaml), "the path is 108 bytes long; at most 107 are possible");
}

/* n bytes that repeat a text. The caller frees them with free(). */
static char *repeat(const char *text, size_t n)
{
    const size_t period = strlen(text);
    char *const bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = text[i % period];
    return bytes;
}

static void file__hostile_and_large__is_refused(void **state)
{
    (void)state;
    static const struct bad_file files[] = {
        {"[", "deep"},
        {"{", "a key must be a plain word"},
        {"- ", "deep"},
        {"? ", "a map"},
        {"[{a: ", "deep"},
        {"a\n", "the file is a plain value"},
        {"- a\n", "more than 1024 entries"},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        char *const yaml = repeat(files[i].yaml, DOCUMENT_MAX_BYTES);
        assert_refused(yaml, DOCUMENT_MAX_BYTES, files[i].error);
        free(yaml);
    }
}

static void file__above_1_mib__is_refused_unparsed(void **state)
{
    (void)state;
    char *const yaml = repeat("# comment\n", DOCUMENT_MAX_BYTES + 1);
    struct config config;
    assert_int_equal(loading_run(&(struct loading){.yaml = yaml, .yaml_bytes = DOCUMENT_MAX_BYTES},
                                 &config, NULL),
                     STEPD_OK);
    config_deinit(&config);
    assert_refused(yaml, DOCUMENT_MAX_BYTES + 1, "the file is larger than 1048576 bytes");
    free(yaml);
}

static void file__cut_anywhere__never_crashes(void **state)
{
    (void)state;
    static const char yaml[] = "listen: \"h:1\"\nshards: 2 # two\n"
                               "jobs:\n  - name: a\n    workers: 1\n    groups:\n"
                               "      - {name: g, match: '*', optimizer: sgd, betas: [0.9, 1],\n"
                               "         schedule: {kind: cosine, t_max: 10}}\n";
    for (size_t n = 1; n < sizeof yaml - 1; n++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        const struct loading loading = {.yaml = yaml, .yaml_bytes = n};
        const enum stepd_status status = loading_run(&loading, &config, &error);
        assert_true(status == STEPD_OK || status == STEPD_FAILED_PRECONDITION);
        if (status == STEPD_OK)
            config_deinit(&config);
    }
}

static void file__missing_or_a_folder__is_refused_with_its_name(void **state)
{
    (void)state;
    static const struct bad_file paths[] = {
        {"/nowhere/stepd.yaml", "/nowhere/stepd.yaml: No such file or directory"},
        {"/tmp", "/tmp: Is a directory"},
    };
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct config config;
        struct stepd_error error = {.code = STEPD_OK};
        const struct loading loading = {.flag = {"--config", paths[i].yaml}};
        assert_int_equal(loading_run(&loading, &config, &error), STEPD_FAILED_PRECONDITION);
        assert_string_equal(error.text, paths[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file__every_key_given__is_taken),
        cmocka_unit_test(file__says_nothing__leaves_the_defaults),
        cmocka_unit_test(file__byte_order_mark_and_crlf__are_taken),
        cmocka_unit_test(file__wrong__is_refused_with_line_and_cause),
        cmocka_unit_test(file__utf_16__is_refused),
        cmocka_unit_test(file__socket_path_of_107_bytes__is_the_longest),
        cmocka_unit_test(file__hostile_and_large__is_refused),
        cmocka_unit_test(file__above_1_mib__is_refused_unparsed),
        cmocka_unit_test(file__cut_anywhere__never_crashes),
        cmocka_unit_test(file__missing_or_a_folder__is_refused_with_its_name),
    };
    return cmocka_run_group_tests_name("config_file", tests, NULL, NULL);
}
