/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers of a training: stepd-train as processes of the benchmark's own, and images for them.
 */
#ifndef BENCH_TRAINER_H
#define BENCH_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define TRAINER_FOLDER_BYTES 64u
#define TRAINER_WORKERS      2u

/* A training of TRAINER_WORKERS workers in mode sync. Strings are borrowed until return. */
struct trainer {
    const char *program; /* path of stepd-train */
    const char *address; /* of stepd */
    const char *images;  /* folder */
    const char *model;
    const char *optimizer;
    size_t batch; /* examples of each worker's step */
    size_t steps;
    bool no_overlap;
};

/* What one worker says of its training; seconds as in its JSON. */
struct trainer_worker {
    double parameters;
    double seconds;
    double waiting;
    double computing_cpu;
    double cpu;
};

/* Runs the training to its end. UNAVAILABLE: a worker could not be started, failed or did not say
 * what it should. */
enum stepd_status trainer_run(const struct trainer *trainer,
                              struct trainer_worker ret_worker[TRAINER_WORKERS],
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes a small set of made-up images into a folder of its own; to be removed with
 * trainer_remove_images. UNAVAILABLE: /tmp takes no files. */
enum stepd_status trainer_make_images(char ret_folder[TRAINER_FOLDER_BYTES],
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;
void trainer_remove_images(const char *folder);

#endif
