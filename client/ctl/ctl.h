/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of stepctl have in common: exit codes, and where the server is.
 *
 * A command is a function that takes its own arguments (argv[0] is its name) and returns the
 * process's exit code. Results go to stdout, everything else to stderr.
 */
#ifndef CLIENT_CTL_CTL_H
#define CLIENT_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>

#include <stepd/client.h>

/* A person waits for the answer, so a server that is mute is reported soon. */
#define CTL_ANSWER_MS 10000u

enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILURE = 1,
    CTL_USAGE = 2,
    CTL_CANNOT_RUN = 127, /* as shells say it */
};

/* Options that stand in front of the command; a command may repeat them. */
struct ctl_options {
    const char *server; /* --server, STEPD_ADDRESS, or the default */
    const char *token;  /* --token-file, STEPD_TOKEN, or NULL */
    const char *tls_ca, *tls_cert, *tls_key, *tls_name; /* as stepd_options has them */
    bool insecure; /* --insecure: it may go over a network in clear */
};

/* Commands. */
int launch_run(const struct ctl_options *ctl, int argc, char **argv);
int status_run(const struct ctl_options *ctl, int argc, char **argv);
int groups_run(const struct ctl_options *ctl, int argc, char **argv);
int change_run(const struct ctl_options *ctl, int argc, char **argv);
int changes_run(const struct ctl_options *ctl, int argc, char **argv);
int checkpoint_run(const struct ctl_options *ctl, int argc, char **argv);
int list_run(const struct ctl_options *ctl, int argc, char **argv);
int verify_run(const struct ctl_options *ctl, int argc, char **argv);
int export_run(const struct ctl_options *ctl, int argc, char **argv);
int import_run(const struct ctl_options *ctl, int argc, char **argv);
int diff_run(const struct ctl_options *ctl, int argc, char **argv);
int optimizers_run(const struct ctl_options *ctl, int argc, char **argv);
int schedules_run(const struct ctl_options *ctl, int argc, char **argv);
int certs_run(const struct ctl_options *ctl, int argc, char **argv);
int token_run(const struct ctl_options *ctl, int argc, char **argv);
int schedule_run(const struct ctl_options *ctl, int argc, char **argv);

/* The value of an environment variable, or NULL where it is empty or not set. */
const char *ctl_variable(const char *name);

/* Connects as an observer of no job. *ret_client: caller frees with stepd_close. Fails as
 * stepd_connect does; job is NULL for none. */
enum stepd_status ctl_connect(const struct ctl_options *ctl, const char *job,
                              struct stepd_client **ret_client,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* "stepctl: <what>: <text>" on stderr; returns CTL_FAILURE. */
int ctl_fail(const char *what, const struct stepd_error *error);

/* Says on stderr that there is more to know with --help; returns CTL_USAGE. */
int ctl_usage(const char *command);

/* A command that takes words, --json and perhaps --all, and needs no server. */
struct ctl_words {
    const char *command;
    const char *help;  /* what --help prints */
    const char *first; /* what is missing where there are too few */
    int least;
    int most;
    bool *ret_all; /* whether --all is given; NULL: it takes no such option */
};

/* Reads them: the words are those from optind on. The exit code, or -1: go on. */
int ctl_read_words(const struct ctl_words *words, int argc, char **argv, bool *ret_json);

/* A command that asks about one job. */
struct ctl_job_command {
    const char *name;
    int (*help)(void); /* prints it */
    /* One of ask.h. */
    enum stepd_status (*ask)(struct stepd_client *client, const char *job, json_t **ret_answer,
                             struct stepd_error *reterr);
    void (*print)(const char *job, const json_t *answer); /* for people */
};

/* Reads --job JOB, --json, --server and --help, asks, and prints. Returns an exit code. */
int ctl_run_of_job(const struct ctl_job_command *command, const struct ctl_options *ctl, int argc,
                   char **argv);

#endif
