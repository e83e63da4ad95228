/* SPDX-License-Identifier: Apache-2.0
 *
 * Defaults, environment and flags: who wins over whom, and what is refused with which code.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/schema.h"
#include "tests/unit/config/loading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What is loaded, and the code and text that refuse it. */
struct bad_layer {
    struct loading loading;
    enum stepd_status code;
    const char *error;
};

static const struct config_origin *origin_of(const struct config *config, const char *key)
{
    const size_t index = schema_find_key(key);
    assert_true(index < CONFIG_KEYS);
    return &config->origin[index];
}

static void config__nothing_given__has_the_documented_defaults(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(loading_run(&(struct loading){.yaml = NULL}, &config, &error), STEPD_OK);
    assert_int_equal(config.action, CONFIG_RUN);
    assert_string_equal(config.file, "");
    assert_string_equal(config.listen, "127.0.0.1:7070");
    assert_string_equal(config.unix_path, "");
    assert_string_equal(config.port_file, "");
    assert_int_equal(config.shards, 1);
    assert_false(config.insecure);
    assert_int_equal(config.log_level, LOG_INFO);
    assert_string_equal(config.isa, "auto");
    assert_int_equal(config.memory_max_bytes, 0);
    assert_int_equal(config.shared_max_bytes, 0);
    assert_int_equal(config.frame_max_bytes, 64u << 20);
    assert_int_equal(config.connections_max, 1024);
    assert_int_equal(config.hello_timeout_ms, 10000);
    assert_int_equal(config.lease_ms, 60000);
    assert_int_equal(config.wait_max_ms, 300000);
    assert_int_equal(config.write_timeout_ms, 30000);
    assert_int_equal(config.read_timeout_ms, 30000);
    assert_int_equal(config.busy_poll_us, 0);
    assert_string_equal(config.tcp_congestion, "auto");
    assert_int_equal(config.slice_elements, 262144);
    assert_int_equal(config.jobs, 0);
    config_deinit(&config);
}

static void config__all_layers_given__the_later_one_wins(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading loading = {
        .yaml = "connections_max: 2\nlease_ms: 20\n\nwait_max_ms: 200\n",
        .environment = {"HOME=/", "STEPD_LEASE_MS=30", "STEPD_WAIT_MAX_MS=300", "STEP=1"},
        .flag = {"--wait-max-ms", "400"},
    };
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_OK);
    assert_int_equal(config.shards, 1);
    assert_int_equal(config.connections_max, 2);
    assert_int_equal(config.lease_ms, 30);
    assert_int_equal(config.wait_max_ms, 400);
    assert_int_equal(origin_of(&config, "shards")->source, CONFIG_DEFAULT);
    assert_int_equal(origin_of(&config, "connections_max")->source, CONFIG_FILE);
    assert_int_equal(origin_of(&config, "connections_max")->line, 1);
    assert_int_equal(origin_of(&config, "lease_ms")->source, CONFIG_ENVIRONMENT);
    assert_int_equal(origin_of(&config, "wait_max_ms")->source, CONFIG_FLAG);
    config_deinit(&config);
}

static void flags__in_every_form__are_taken(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading loading = {
        .flag = {"--insecure", "--unix", "s=1", "--shards=3", "--shards", "4", "--port-file="},
    };
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_OK);
    assert_true(config.insecure);
    assert_string_equal(config.unix_path, "s=1");
    assert_int_equal(config.shards, 4);
    assert_string_equal(config.port_file, "");
    config_deinit(&config);
}

static void flags__switch_given_as_false__wins_over_the_file(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading loading = {.yaml = "insecure: true\n", .flag = {"--insecure=false"}};
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_OK);
    assert_false(config.insecure);
    config_deinit(&config);
}

static void flags__commands__become_actions(void **state)
{
    (void)state;

    static const struct {
        const char *flag;
        enum config_action action;
    } commands[] = {
        {"--print-config", CONFIG_PRINT}, {"--check-config", CONFIG_CHECK},
        {"--help", CONFIG_HELP},          {"-h", CONFIG_HELP},
        {"--version", CONFIG_VERSION},
    };

    for (size_t i = 0; i < COUNT(commands); i++) {
        struct config config;
        const struct loading loading = {.flag = {commands[i].flag}};
        assert_int_equal(loading_run(&loading, &config, NULL), STEPD_OK);
        assert_int_equal(config.action, commands[i].action);
        config_deinit(&config);
    }
}

static void flags__help_before_a_wrong_config__still_helps(void **state)
{
    (void)state;
    struct config config;
    const struct loading loading = {
        .environment = {"STEPD_SHARDS=many"},
        .flag = {"--config", "/nowhere", "--help", "--nonsense"},
    };
    assert_int_equal(loading_run(&loading, &config, NULL), STEPD_OK);
    assert_int_equal(config.action, CONFIG_HELP);
    config_deinit(&config);
}

static void environment__names_the_file__and_the_flag_wins(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading named = {.environment = {"STEPD_CONFIG=/nowhere/at/all"}};
    assert_int_equal(loading_run(&named, &config, &error), STEPD_FAILED_PRECONDITION);
    loading_assert_holds(error.text, "/nowhere/at/all: No such file");
    const struct loading both = {
        .yaml = "shards: 5\n",
        .environment = {"STEPD_CONFIG=/nowhere/at/all"},
    };
    assert_int_equal(loading_run(&both, &config, &error), STEPD_OK);
    assert_int_equal(config.shards, 5);
    config_deinit(&config);
}

static void environment__variables_of_kubernetes__are_ignored(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading loading = {
        .environment = {"STEPD_PORT=tcp://10.0.0.1:7070", "STEPD_SERVICE_HOST=10.0.0.1",
                        "STEPD_SERVICE_PORT=7070", "STEPD_SERVICE_PORT_GRPC=7070",
                        "STEPD_PORT_7070_TCP_ADDR=10.0.0.1", "STEPD_METRICS_PORT=x",
                        "STEPD_PORT_FILE=p"},
    };
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_OK);
    assert_string_equal(config.port_file, "p");
    config_deinit(&config);
}

static void environment__of_a_worker__is_none_of_the_daemon_s(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    const struct loading loadings[] = {
        {.environment = {"STEPD_ADDRESS=127.0.0.1:1", "STEPD_RANK=0", "STEPD_LOCAL_RANK=0",
                         "STEPD_WORLD=4", "STEPD_TOKEN=secret"}},
        {.environment = {"STEPD_CA=a", "STEPD_CLIENT_CERT=c", "STEPD_CLIENT_KEY=k",
                         "STEPD_SERVER_NAME=n"}},
    };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(loading_run(&loadings[i], &config, &error), STEPD_OK);
        config_deinit(&config);
    }
}

static void layers__wrong__are_refused_with_the_code_for_their_exit(void **state)
{
    (void)state;
    static const struct bad_layer layers[] = {
        {{.flag = {"--shard", "2"}}, STEPD_INVALID_ARGUMENT, "\"--shard\": did you mean 'shards'?"},
        {{.flag = {"--shard=2"}}, STEPD_INVALID_ARGUMENT, "\"--shard\": did you mean 'shards'?"},
        {{.flag = {"--print-confg"}}, STEPD_INVALID_ARGUMENT, "did you mean 'print-config'?"},
        {{.flag = {"--"}}, STEPD_INVALID_ARGUMENT, "unknown flag \"--\""},
        {{.flag = {"shards"}}, STEPD_INVALID_ARGUMENT, "\"shards\" is no flag"},
        {{.flag = {"-s"}}, STEPD_INVALID_ARGUMENT, "\"-s\" is no flag"},
        {{.flag = {"--shards"}}, STEPD_INVALID_ARGUMENT, "--shards needs a value: --shards N"},
        {{.flag = {"--unix", "--insecure"}}, STEPD_INVALID_ARGUMENT, "--unix needs a value"},
        {{.flag = {"--config"}}, STEPD_INVALID_ARGUMENT, "--config needs a value: --config FILE"},
        {{.flag = {"--config="}}, STEPD_INVALID_ARGUMENT, "--config: the path must be"},
        {{.flag = {"--help=1"}}, STEPD_INVALID_ARGUMENT, "--help takes no value"},
        {{.flag = {"--shards", "0"}}, STEPD_INVALID_ARGUMENT, "--shards: \"0\" is not a whole"},
        {{.flag = {"--insecure=maybe"}}, STEPD_INVALID_ARGUMENT, "--insecure: \"maybe\" is not"},
        {{.flag = {"--unix", "\xFF"}}, STEPD_INVALID_ARGUMENT, "\"\\xff\" is not UTF-8"},
        {{.environment = {"STEPD_SHARDS=0"}},
         STEPD_FAILED_PRECONDITION,
         "environment: STEPD_SHARDS: \"0\" is not a whole number"},
        {{.environment = {"STEPD_SHARDS"}},
         STEPD_FAILED_PRECONDITION,
         "\"\" is not a whole number"},
        {{.environment = {"STEPD_SHARD=1"}},
         STEPD_FAILED_PRECONDITION,
         "unknown variable \"STEPD_SHARD\": did you mean 'STEPD_SHARDS'?"},
        {{.environment = {"STEPD_UNIX=/x"}}, STEPD_FAILED_PRECONDITION, "unknown variable"},
        {{.environment = {"STEPD_PORT_FILES=x"}}, STEPD_FAILED_PRECONDITION, "'STEPD_PORT_FILE'"},
        {{.environment = {"STEPD_CONFIG="}}, STEPD_FAILED_PRECONDITION, "STEPD_CONFIG: the path"},
    };
    for (size_t i = 0; i < COUNT(layers); i++) {
        struct config config = {.file = NULL};
        struct stepd_error error = {.code = STEPD_OK};
        assert_int_equal(loading_run(&layers[i].loading, &config, &error), layers[i].code);
        loading_assert_holds(error.text, layers[i].error);
        assert_null(config.file);
    }
}

static void environment__very_long_name__is_refused(void **state)
{
    (void)state;
    struct config config;
    struct stepd_error error = {.code = STEPD_OK};
    char variable[400];
    (void)snprintf(variable, sizeof variable, "STEPD_SHARDS_%0350d=1", 0);
    const struct loading loading = {.environment = {variable}};
    assert_int_equal(loading_run(&loading, &config, &error), STEPD_FAILED_PRECONDITION);
    loading_assert_holds(error.text, "unknown variable \"STEPD_SHARDS_000");
}

static void schema__every_row__is_whole_and_unlike_the_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        const struct schema_row *const row = schema_row_at(i);
        char name[SCHEMA_ENVIRONMENT_MAX_BYTES];
        schema_environment_name(row->key, name);
        assert_int_equal(strlen(name), strlen("STEPD_") + strlen(row->key));
        for (size_t j = strlen("STEPD_"); name[j] != '\0'; j++)
            assert_false(islower((unsigned char)name[j]));
        assert_non_null(row->doc);
        assert_null(strchr(row->flag, '_'));
        assert_int_equal(schema_find_key(row->key), i);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row->flag, schema_row_at(j)->flag);
            assert_int_not_equal(row->offset, schema_row_at(j)->offset);
        }
    }
    assert_int_equal(schema_find_key("no such key"), CONFIG_KEYS);
}

static void deinit__nothing_or_twice__does_nothing(void **state)
{
    (void)state;
    struct config config;
    config_deinit(NULL);
    assert_int_equal(loading_run(&(struct loading){.yaml = NULL}, &config, NULL), STEPD_OK);
    config_deinit(&config);
    config_deinit(&config);
    assert_int_equal(config.jobs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__nothing_given__has_the_documented_defaults),
        cmocka_unit_test(config__all_layers_given__the_later_one_wins),
        cmocka_unit_test(flags__in_every_form__are_taken),
        cmocka_unit_test(flags__switch_given_as_false__wins_over_the_file),
        cmocka_unit_test(flags__commands__become_actions),
        cmocka_unit_test(flags__help_before_a_wrong_config__still_helps),
        cmocka_unit_test(environment__names_the_file__and_the_flag_wins),
        cmocka_unit_test(environment__variables_of_kubernetes__are_ignored),
        cmocka_unit_test(environment__very_long_name__is_refused),
        cmocka_unit_test(environment__of_a_worker__is_none_of_the_daemon_s),
        cmocka_unit_test(layers__wrong__are_refused_with_the_code_for_their_exit),
        cmocka_unit_test(schema__every_row__is_whole_and_unlike_the_others),
        cmocka_unit_test(deinit__nothing_or_twice__does_nothing),
    };
    return cmocka_run_group_tests_name("config_layers", tests, NULL, NULL);
}
