/* SPDX-License-Identifier: Apache-2.0
 *
 * Flags and the launchers' environment: who goes before whom, and that every mistake is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/train/options.h"

#define WORDS_MOST 16u

static struct train_options options; /* 40 KiB: too much for a stack of tests */
static struct stepd_error error;

/* Parses words given as one text with blanks between them, and variables likewise. */
static enum stepd_status parse(const char *words, const char *variables)
{
    static char text[2][1024];
    char *list[2][WORDS_MOST] = {{NULL}};
    int count[2] = {0, 0};
    const char *const given[2] = {words, variables};
    list[0][count[0]++] = (char[]){"stepd-train"};
    for (size_t k = 0; k < 2; k++) {
        assert_true(strlen(given[k]) < sizeof text[k]);
        memcpy(text[k], given[k], strlen(given[k]) + 1);
        char *rest = NULL;
        for (char *word = strtok_r(text[k], " ", &rest); word != NULL;
             word = strtok_r(NULL, " ", &rest)) {
            assert_true(count[k] < (int)WORDS_MOST - 1);
            list[k][count[k]++] = word;
        }
    }
    return options_parse(count[0], list[0], list[1], &options, &error);
}

static void options_parse__nothing__gives_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("", ""), STEPD_OK);
    assert_string_equal(options.server, "127.0.0.1:7070");
    assert_string_equal(options.model, "mlp:784-1000-1000-10");
    assert_string_equal(options.data, "/usr/share/datasets/fashion-mnist");
    assert_string_equal(options.recipe.optimizer, "adamw");
    assert_int_equal(options.recipe.hyper.count, 0);
    assert_int_equal(options.mode, STEPD_SYNC);
    assert_int_equal(options.eval_view, STEPD_EVALUATION);
    assert_int_equal(options.batch[0], 128);
    assert_int_equal(options.rank, 0);
    assert_int_equal(options.world, 1);
    assert_false(options.local || options.json || options.quiet);
}

static void options_parse__flags__are_read_in_both_forms(void **state)
{
    (void)state;
    assert_int_equal(
        parse("--job=a --model softmax --mode async --steps 7 --lr=0.5 --beta1 0.8", ""), STEPD_OK);
    assert_string_equal(options.job, "a");
    assert_string_equal(options.model, "softmax");
    assert_int_equal(options.mode, STEPD_ASYNC);
    assert_int_equal(options.steps, 7);
    assert_true(params_number(&options.recipe.hyper, "lr", 0) == 0.5);
    assert_true(params_number(&options.recipe.hyper, "beta1", 0) == 0.8);
    assert_true(params_number(&options.recipe.hyper, "beta2", -1) == -1);
}

static void options_parse__parameters__are_kept_by_name_and_the_last_counts(void **state)
{
    (void)state;
    assert_int_equal(parse("--schedule-param t_max=100 --warmup 5 --schedule-param t_max=200 "
                           "--optimizer-param rho=0.9",
                           ""),
                     STEPD_OK);
    assert_int_equal(options.schedule_params.count, 2);
    assert_true(params_number(&options.schedule_params, "t_max", 0) == 200);
    assert_true(params_number(&options.schedule_params, "warmup", 0) == 5);
    assert_true(params_number(&options.recipe.hyper, "rho", 0) == 0.9);
}

static void options_parse__busy_polling__is_taken_in_microseconds(void **state)
{
    (void)state;
    assert_int_equal(parse("", ""), STEPD_OK);
    assert_int_equal(options.busy_poll_us, 0);
    assert_int_equal(parse("--busy-poll-us 50", ""), STEPD_OK);
    assert_int_equal(options.busy_poll_us, 50);
    assert_int_equal(parse("--busy-poll-us 100001", ""), STEPD_INVALID_ARGUMENT);
}

static void options_parse__words__are_taken_where_they_belong(void **state)
{
    (void)state;
    assert_int_equal(
        parse("--eval-view swa --push-dtype bf16 --pull-dtype f16 --mode async --no-overlap", ""),
        STEPD_OK);
    assert_int_equal(options.eval_view, STEPD_SWA);
    assert_true(options.no_overlap);
    assert_int_equal(options.push_dtype, STEPD_BF16);
    assert_int_equal(options.pull_dtype, STEPD_F16);
    assert_int_equal(options.mode, STEPD_ASYNC);
}

static void options_parse__phases__follow_the_optimizer_in_their_order(void **state)
{
    char *words[] = {(char[]){"stepd-train"},
                     (char[]){"--phase=sgd from=9 lr=0.5"},
                     (char[]){"--optimizer"},
                     (char[]){"adam"},
                     (char[]){"--phase"},
                     (char[]){"lion from=20"},
                     (char[]){"--optimizer-param"},
                     (char[]){"eps_mode=inside"},
                     NULL};
    char *const none[] = {NULL};
    char text[RECIPE_TEXT_BYTES];
    (void)state;
    assert_int_equal(options_parse(8, words, none, &options, &error), STEPD_OK);
    recipe_format(&options.recipe, text, sizeof text);
    assert_string_equal(text, "adam eps_mode=inside then sgd from=9 lr=0.5 then lion from=20");
    words[2] = (char[]){"--defined"};
    words[3] = NULL;
    assert_int_equal(options_parse(3, words, none, &options, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "--phase cannot be given with --defined"));
}

static void options_parse__address_in_environment__is_used_unless_a_flag_says_other(void **state)
{
    (void)state;
    assert_int_equal(parse("", "STEPD_ADDRESS=unix:/run/stepd"), STEPD_OK);
    assert_string_equal(options.server, "unix:/run/stepd");
    assert_int_equal(parse("--server host:1", "STEPD_ADDRESS=unix:/run/stepd"), STEPD_OK);
    assert_string_equal(options.server, "host:1");
}

static void options_parse__token_in_environment__is_shown(void **state)
{
    (void)state;
    assert_int_equal(parse("", ""), STEPD_OK);
    assert_null(options.token);
    assert_false(options.insecure);
    assert_int_equal(parse("--token-file f --insecure", "STEPD_TOKEN=t"), STEPD_OK);
    assert_string_equal(options.token, "t");
    assert_string_equal(options.token_file, "f");
    assert_true(options.insecure);
}

static void options_parse__tls_in_environment__is_for_addresses_of_tls(void **state)
{
    static const char variables[] =
        "STEPD_CA=a STEPD_CLIENT_CERT=c STEPD_CLIENT_KEY=k STEPD_SERVER_NAME=n";
    (void)state;
    assert_int_equal(parse("--server host:1", variables), STEPD_OK);
    assert_null(options.tls_ca);
    assert_int_equal(parse("--server tls:host:1 --tls-ca mine", variables), STEPD_OK);
    assert_string_equal(options.tls_ca, "mine");
    assert_string_equal(options.tls_cert, "c");
    assert_string_equal(options.tls_key, "k");
    assert_string_equal(options.tls_name, "n");
}

static void check_place(const char *words, const char *variables, int rank, unsigned world)
{
    assert_int_equal(parse(words, variables), STEPD_OK);
    assert_int_equal(options.rank, rank);
    assert_int_equal(options.world, world);
}

static void options_parse__launchers_pair__gives_rank_and_world(void **state)
{
    (void)state;
    check_place("", "STEPD_RANK=1 STEPD_WORLD=4", 1, 4);
    check_place("", "RANK=2 WORLD_SIZE=5", 2, 5);
    check_place("", "SLURM_PROCID=3 SLURM_NTASKS=6", 3, 6);
    check_place("", "OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=7", 4, 7);
}

static void options_parse__several_pairs__first_complete_one_wins(void **state)
{
    (void)state;
    check_place("", "OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=7 RANK=2 WORLD_SIZE=5", 2, 5);
    check_place("", "RANK=2 WORLD_SIZE=5 STEPD_RANK=1 STEPD_WORLD=4", 1, 4);
}

static void options_parse__flags_and_environment__flags_win(void **state)
{
    (void)state;
    check_place("--rank 0 --world 2", "RANK=7 WORLD_SIZE=8", 0, 2);
    check_place("--rank 0 --world 2", "RANK=x", 0, 2);
}

static void options_parse__world_without_rank__leaves_the_rank_to_the_server(void **state)
{
    (void)state;
    check_place("--world 4", "", TRAIN_RANK_ANY, 4);
}

static void options_parse__empty_variables__count_as_not_set(void **state)
{
    (void)state;
    check_place("", "STEPD_RANK= STEPD_WORLD= RANK=2 WORLD_SIZE=5", 2, 5);
}

static void options_parse__one_batch_size__holds_for_all_ranks(void **state)
{
    (void)state;
    assert_int_equal(parse("--world 3 --batch 50", ""), STEPD_OK);
    for (size_t rank = 0; rank < 3; rank++)
        assert_int_equal(options.batch[rank], 50);
}

static void options_parse__batch_list__gives_each_rank_its_own(void **state)
{
    (void)state;
    assert_int_equal(parse("--world 4 --batch 64,32,0,16", ""), STEPD_OK);
    const uint32_t expected[] = {64, 32, 0, 16};
    assert_memory_equal(options.batch, expected, sizeof expected);
}

static void options_parse__one_slowness__is_the_last_ranks(void **state)
{
    (void)state;
    assert_int_equal(parse("--world 3 --slow 5", ""), STEPD_OK);
    const uint32_t expected[] = {1, 1, 5};
    assert_memory_equal(options.slow, expected, sizeof expected);
    assert_int_equal(parse("--slow 1000", ""), STEPD_OK);
    assert_int_equal(options.slow[0], 1000);
}

static void options_parse__list_of_slowness__gives_each_rank_its_own(void **state)
{
    (void)state;
    assert_int_equal(parse("--world 3 --slow 4,1,20", ""), STEPD_OK);
    const uint32_t expected[] = {4, 1, 20};
    assert_memory_equal(options.slow, expected, sizeof expected);
}

static void options_parse__no_slowness__is_1_for_all(void **state)
{
    (void)state;
    assert_int_equal(parse("--world 3", ""), STEPD_OK);
    const uint32_t expected[] = {1, 1, 1};
    assert_memory_equal(options.slow, expected, sizeof expected);
}

static void options_parse__shared_steps__are_for_modes_that_do_not_wait_for_all(void **state)
{
    (void)state;
    static const char *const taken[] = {"--share --mode async", "--mode bounded --share",
                                        "--share --defined"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        assert_int_equal(parse(taken[i], ""), STEPD_OK);
        assert_true(options.share);
    }
}

static void options_parse__mistake__is_refused_and_named(void **state)
{
    (void)state;

    static const struct {
        const char *words;
        const char *variables;
        const char *text;
    } cases[] = {
        {"--optimiser adam", "", "unknown flag '--optimiser'"},
        {"train", "", "unknown flag 'train'"},
        {"--quiet=yes", "", "--quiet takes no value"},
        {"--job", "", "--job needs a value: NAME"},
        {"--job=", "", "--job ''"},
        {"--lr fast", "", "--lr 'fast': expected a number"},
        {"--lr nan", "", "--lr 'nan': expected a number"},
        {"--lr 1e999", "", "--lr '1e999': expected a number"},
        {"--schedule-param t_max", "", "--schedule-param: 't_max': expected NAME=VALUE"},
        {"--schedule-param =3", "", "--schedule-param: '=3': expected NAME=VALUE"},
        {"--lr inside", "", "--lr 'inside': expected a number"},
        {"--optimizer=", "", "--optimizer: expected an optimizer"},
        {"--optimizer lr=3", "", "--optimizer: 'lr=3' is not the name"},
        {"--phase sgd", "", "--phase: when does 'sgd' take over?"},
        {"--eval-view training", "", "--eval-view 'training': expected evaluation|ema|swa"},
        {"--mode maybe", "", "--mode 'maybe': expected sync|async|bounded"},
        {"--push-dtype f64", "", "--push-dtype 'f64': expected f32|f16|bf16"},
        {"--model tree", "", "--model: unknown model 'tree'"},
        {"--epochs 0", "", "--epochs '0': expected a whole number from 1 to 1000000"},
        {"--steps -1", "", "--steps '-1'"},
        {"--seed 18446744073709551616", "", "--seed"},
        {"--batch 0", "", "--batch gives no worker any example"},
        {"--batch 1,", "", "--batch '1,'"},
        {"--batch 70000", "", "--batch '70000'"},
        {"--world 3 --batch 1,2", "", "--batch has 2 sizes for 3 workers"},
        {"--slow 0", "", "--slow '0': expected whole numbers from 1 to 1000"},
        {"--slow 1001", "", "--slow '1001'"},
        {"--slow 2.5", "", "--slow '2.5'"},
        {"--slow 2,", "", "--slow '2,'"},
        {"--world 3 --slow 1,2", "", "--slow has 2 numbers for 3 workers: give one for the last"},
        {"--share", "", "--share is for the modes async and bounded"},
        {"--share --mode async --world 2 --batch 0,8", "", "--share: rank 0 has no examples"},
        {"--rank 1", "", "--rank needs --world"},
        {"--rank 4 --world 4", "", "--rank 4 is not below --world 4"},
        {"--world 0", "", "--world '0'"},
        {"--world 4097", "", "--world '4097'"},
        {"--defined --lr 0.1 --optimizer sgd", "", "--lr cannot be given with --defined"},
        {"--optimizer=sgd --defined", "", "--optimizer cannot be given with --defined"},
        {"--defined --mode sync", "", "--mode cannot be given with --defined"},
        {"--defined --warmup 5", "", "--warmup cannot be given with --defined"},
        {"--defined --schedule step", "", "--schedule cannot be given with --defined"},
        {"--defined --local", "", "--defined needs a server"},
        {"--local --world 2", "", "--local is for one worker, not 2"},
        {"", "STEPD_RANK=1", "STEPD_RANK is set, but STEPD_WORLD is not"},
        {"", "WORLD_SIZE=2 SLURM_PROCID=0 SLURM_NTASKS=1", "WORLD_SIZE is set, but RANK is not"},
        {"", "SLURM_PROCID=one SLURM_NTASKS=4", "SLURM_PROCID='one' is not a rank below"},
        {"", "SLURM_PROCID=1 SLURM_NTASKS=4(x2)", "SLURM_NTASKS='4(x2)' is not a number"},
        {"", "RANK=4 WORLD_SIZE=4", "RANK='4' is not a rank below WORLD_SIZE=4"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (parse(cases[i].words, cases[i].variables) != STEPD_INVALID_ARGUMENT)
            fail_msg("'%s' with '%s' is taken", cases[i].words, cases[i].variables);
        if (strstr(error.text, cases[i].text) == NULL)
            fail_msg("'%s' with '%s' says: %s", cases[i].words, cases[i].variables, error.text);
    }
}

static void options_parse__local__asks_no_launcher(void **state)
{
    (void)state;
    check_place("--local", "RANK=3 WORLD_SIZE=4", 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_parse__nothing__gives_the_defaults),
        cmocka_unit_test(options_parse__flags__are_read_in_both_forms),
        cmocka_unit_test(options_parse__parameters__are_kept_by_name_and_the_last_counts),
        cmocka_unit_test(options_parse__busy_polling__is_taken_in_microseconds),
        cmocka_unit_test(options_parse__words__are_taken_where_they_belong),
        cmocka_unit_test(options_parse__phases__follow_the_optimizer_in_their_order),
        cmocka_unit_test(options_parse__address_in_environment__is_used_unless_a_flag_says_other),
        cmocka_unit_test(options_parse__token_in_environment__is_shown),
        cmocka_unit_test(options_parse__tls_in_environment__is_for_addresses_of_tls),
        cmocka_unit_test(options_parse__launchers_pair__gives_rank_and_world),
        cmocka_unit_test(options_parse__several_pairs__first_complete_one_wins),
        cmocka_unit_test(options_parse__flags_and_environment__flags_win),
        cmocka_unit_test(options_parse__world_without_rank__leaves_the_rank_to_the_server),
        cmocka_unit_test(options_parse__empty_variables__count_as_not_set),
        cmocka_unit_test(options_parse__one_batch_size__holds_for_all_ranks),
        cmocka_unit_test(options_parse__batch_list__gives_each_rank_its_own),
        cmocka_unit_test(options_parse__one_slowness__is_the_last_ranks),
        cmocka_unit_test(options_parse__list_of_slowness__gives_each_rank_its_own),
        cmocka_unit_test(options_parse__no_slowness__is_1_for_all),
        cmocka_unit_test(options_parse__shared_steps__are_for_modes_that_do_not_wait_for_all),
        cmocka_unit_test(options_parse__mistake__is_refused_and_named),
        cmocka_unit_test(options_parse__local__asks_no_launcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
