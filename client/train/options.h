/* SPDX-License-Identifier: Apache-2.0
 *
 * What stepd-train was asked to do: flags, and for rank, world and address the environment that
 * launchers set. All of it is read here, once; the rest of the program sees struct train_options.
 */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "client/lib/launcher.h"
#include "client/train/flags.h"
#include "client/train/params.h"
#include "client/train/recipe.h"

#define TRAIN_BATCH_SIZE_MAX   (1u << 16)
#define TRAIN_EPOCHS_MAX       1000000u
#define TRAIN_STEPS_MAX        (UINT64_C(1) << 40)
#define TRAIN_SLOW_MAX         1000u
#define TRAIN_BUSY_POLL_MAX_US 100000u
#define TRAIN_RANK_ANY         (-1) /* the server gives one */

/* Marks of the flags below. */
#define OPTION_OF_JOB  1u /* says how the job is defined: not together with --defined */
#define OPTION_OF_RUNS 2u /* means the same to a command that makes several runs */
#define OPTION_OF_MODE 4u /* says the mode */

/* Strings, those of settings too, are borrowed from argv and the environment. NULL: not asked for.
 */
struct train_options {
    const char *server;
    char server_buffer[STEPD_LAUNCHER_ADDRESS_BYTES];
    const char *token;  /* NULL: none */
    const char *tls_ca; /* this and the next: as stepd_options has them */
    const char *tls_cert;
    const char *tls_key;
    const char *tls_name;
    const char *token_file; /* that holds it instead; NULL: none does */
    const char *job;
    const char *model;
    const char *data;
    struct train_recipe recipe; /* the optimizer, and those that follow it */
    const char *schedule;
    const char *csv;
    const char *plot;
    const char *save_weights;
    struct train_params schedule_params;
    struct train_params job_params; /* beside the mode */
    enum stepd_mode mode;
    enum stepd_dtype push_dtype;
    enum stepd_dtype pull_dtype;
    uint64_t busy_poll_us;
    enum stepd_view eval_view; /* the weights that are tested and saved */
    uint64_t epochs;
    uint64_t steps; /* 0: as many as the epochs take */
    uint64_t seed;
    uint64_t eval_every; /* steps; 0: at the end only */
    int rank;            /* or TRAIN_RANK_ANY */
    uint32_t world;
    size_t batch_sizes;                /* 1: the same for all ranks; otherwise world */
    uint32_t batch[STEPD_WORKERS_MAX]; /* (world,) examples of each rank's full batch */
    size_t slow_factors;               /* 0: none; 1: of the last rank; otherwise world */
    uint32_t slow[STEPD_WORKERS_MAX];  /* (world,) how many times slower each rank acts */
    bool share;      /* async and bounded: all workers together take `steps` times world */
    bool no_overlap; /* gradients leave together, when all are computed */
    bool defined;    /* the job, in the server's file: optimizer, schedule and mode are not ours */
    bool insecure;   /* the token may go over a network in clear */
    bool local;
    bool quiet;
    bool json;
    bool help;
};

/*
 * Reads argv and environment (NULL-terminated list of "NAME=value"), both borrowed as long as
 * *ret_options is used. Flags go before the environment, that before the defaults. Where `help` is
 * set the rest is not meant to be used. INVALID_ARGUMENT: the text names the flag or the variable.
 */
enum stepd_status options_parse(int argc, char *const *argv, char *const *environment,
                                struct train_options *ret_options,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes what all flags are, for people. */
void options_print_help(FILE *out);

/* The parts of options_parse, for a command that has flags of its own beside these. */

/* What holds where nothing else is said. environment: borrowed, as above. */
void options_defaults(char *const *environment, struct train_options *ret_options);

/* The flags, for a target that is a struct train_options. */
struct flag_table options_table(struct train_options *options, unsigned marks);

/* What no flag has said of TLS, the environment says, where the server is dialled so. */
void options_settle_tls(char *const *environment, struct train_options *options);

/* Gives every rank of a settled world its batch size and its slowness. INVALID_ARGUMENT: not one
 * for each, or none has any example, or where the steps are shared, not all have. */
enum stepd_status options_settle_ranks(struct train_options *options,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: why --share is not for mode sync. */
enum stepd_status options_fail_share(struct stepd_error *reterr);

#endif
