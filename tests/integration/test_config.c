/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs of the config file that only who knows optimizers and schedules can find wrong: the daemon
 * ends with 78, started or told to check, and names line, job, group and remedy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/daemon.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A job whose lines 5 and 7 differ. */
#define JOB(line5, line7)                                                                          \
    "jobs:\n"                                                                                      \
    "  - name: a\n"                                                                                \
    "    workers: 2\n"                                                                             \
    "    groups:\n"                                                                                \
    "      - {name: first, match: 'x', optimizer: sgd" line5 "}\n"                                 \
    "      - name: all\n"                                                                          \
    "        match: '*'\n" line7
#define GROUP(lines)   JOB("", lines)
#define DEFAULTS(line) JOB("", "        optimizer: sgd\n    defaults:\n" line)

static const struct {
    const char *yaml;
    const char *says; /* behind "stepd.yaml:" */
} bad[] = {
    {JOB(", lrr: 1", "        optimizer: sgd\n"),
     "5: job \"a\": group 'first': sgd has no hyperparameter 'lrr': did you mean 'lr'?"},
    {GROUP("        optimizer: sdg\n"),
     "6: job \"a\": group 'all': unknown optimizer 'sdg': did you mean 'sgd'?"},
    {GROUP("        optimizer: adamw\n        weight_dekay: 0.1\n"),
     "did you mean 'weight_decay'?"},
    {GROUP("        optimizer: adamw\n        lr: -1\n"),
     "9: job \"a\": group 'all': hyperparameter 'lr' of adamw must be in [0, 1e+09], and -1 is not"},
    {GROUP("        optimizer: adamw\n        optimizr: sgd\n"),
     "9: job \"a\": group \"all\": unknown key \"optimizr\": did you mean 'optimizer'?"},
    {GROUP("        optimizer: adamw\n        lr: nan\n"), "is a number, not 'nan'"},
    {GROUP("        optimizer: adamw\n        lr: [1, 2]\n"), "takes 1 number, not 2"},
    {GROUP("        optimizer: adamw\n        amsgrad: [1]\n"),
     "9: job \"a\": group 'all': amsgrad takes one value, and not a list: write 1 in the place of [1]"},
    {GROUP("        optimizer: adamw\n        clip_norm: [0.5]\n"), "clip_norm takes one value"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: cosine, t_max: [5]}\n"),
     "9: job \"a\": group 'all': t_max takes one value"},
    {GROUP("        optimizer: sgd\n    staleness: [2]\n    mode: bounded\n"),
     "9: job \"a\": staleness takes one value"},
    {GROUP("        optimizer: adamw\n        eps_mode: insid\n"), "did you mean 'inside'?"},
    {GROUP("        optimizer: adamw\n        eps_mode: 1\n"),
     "is a word such as 'outside', not 1"},
    {GROUP("        optimizer: adamw\n        preset: keras\n"), "unknown preset 'keras'"},
    {GROUP("        optimizer: adamw\n        lr: 1\n        lr_mult: 1\n"),
     "lr and lr_mult are both set"},
    {GROUP("        optimizer: adamw\n        ema_decay: 1\n"), "ema_decay must be in [0, 1)"},
    {GROUP("        optimizer: momentum\n        nesterov: yes\n"), "no hyperparameter 'nesterov'"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: cosin}\n"),
     "6: job \"a\": group 'all': unknown schedule 'cosin': did you mean 'cosine'?"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: cosine, T_mx: 5}\n"),
     "9: job \"a\": group 'all': schedule cosine has no parameter 'T_mx': did you mean 't_max'?"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: cosine}\n"),
     "6: job \"a\": group 'all': schedule cosine needs its parameter 't_max'"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: cosine, t_max: 0}\n"),
     "parameter 't_max' of schedule cosine must be"},
    {GROUP("        optimizer: sgd\n        schedule: {kind: sequential, milestones: [1],\n"
           "          schedules: [{kind: linear}, {kind: cosine}]}\n"),
     "6: job \"a\": group 'all': part 2 of schedule sequential: schedule cosine needs its parameter 't_max'"},
    {GROUP("        optimizer: adam\n        phases:\n          - {from: 9, optimizer: sdg}\n"),
     "6: job \"a\": group 'all': the phase from 9 on: unknown optimizer 'sdg'"},
    {GROUP("        optimizer: adam\n        phases: [{from: 9, optimizer: sgd, beta1: 0.5}]\n"),
     "9: job \"a\": group 'all': the phase from 9 on: sgd has no hyperparameter 'beta1'"},
    {GROUP("        optimizer: lbfgs\n    mode: async\n"),
     "6: job \"a\": group 'all': lbfgs needs the mean gradient of all workers"},
    {DEFAULTS("      lrr: 1\n"),
     "10: job \"a\": defaults: no optimizer has a hyperparameter 'lrr': did you mean 'lr'?"},
    {DEFAULTS("      optimizer: adam\n      betas: [0.9, 1]\n"),
     "9: job \"a\": defaults: hyperparameter 'beta2' of adam must be in [0, 1)"},
    {DEFAULTS("      lr_mult: 2\n"), "10: job \"a\": defaults: lr_mult belongs to a group"},
    {DEFAULTS("      schedule: {kind: step}\n"), "9: job \"a\": defaults: schedule step needs"},
    {GROUP("        optimizer: sgd\n    stalenes: 3\n"),
     "9: job \"a\": a job has no setting 'stalenes': did you mean 'staleness'?"},
    {GROUP("        optimizer: sgd\n    backup: 2\n"), "9: job \"a\": backup"},
    /* a job that is wrong in both ways names the place of what it says */
    {GROUP("        optimizer: sdg\n    stalenes: 3\n"),
     "6: job \"a\": group 'all': unknown optim"},
    {GROUP(
         "        optimizer: sgd\n") "  - {name: b, workers: 1, groups: [{name: g, optimizer: sgd, lr: -1}]}\n",
     "9: job \"b\": group 'g': hyperparameter 'lr' of sgd must be in"},
};

static void write_config(const char *path, const char *text)
{
    FILE *const file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Runs the daemon with each of the files, and one more flag if that is not NULL. */
static void refuse_all(const char *flag)
{
    static struct daemon daemon;
    char folder[] = "/tmp/stepd-test-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/stepd.yaml", folder);
    for (size_t i = 0; i < COUNT(bad); i++) {
        char wanted[256];
        write_config(path, bad[i].yaml);
        assert_int_equal(daemon_run(&daemon, (const char *const[]){"--listen", "127.0.0.1:0",
                                                                   "--config", path, flag, NULL}),
                         78);
        const char *const says = bad[i].says;
        const bool placed = says[0] >= '0' && says[0] <= '9';
        (void)snprintf(wanted, sizeof wanted, "%s%s", placed ? "stepd.yaml:" : "", says);
        if (strstr(daemon.log, wanted) == NULL)
            fail_msg("\"%s\" is missing in: %s", wanted, daemon.log);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void daemon__checks_a_wrong_job__names_line_job_and_group(void **state)
{
    (void)state;
    refuse_all("--check-config");
}

static void daemon__started_with_a_wrong_job__names_line_job_and_group(void **state)
{
    (void)state;
    refuse_all(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(daemon__checks_a_wrong_job__names_line_job_and_group),
        cmocka_unit_test(daemon__started_with_a_wrong_job__names_line_job_and_group),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
