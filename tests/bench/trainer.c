/* SPDX-License-Identifier: Apache-2.0
 *
 * Each worker writes its result as one line of JSON into a pipe; the few numbers that are asked for
 * are looked up by their names. Should the benchmark die, the kernel ends the workers with it.
 */
#include "tests/bench/trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"

#define RESULT_BYTES 4096u
#define IMAGE_SIDE   28u
#define TRAIN_IMAGES 1024u
#define TEST_IMAGES  64u
#define CLASSES      10u

/* ---- Workers --------------------------------------------------------------------------------- */

struct process {
    pid_t pid;
    FILE *out; /* what it writes to its stdout; owned */
};

static void run_worker(const struct trainer *trainer, unsigned rank, int out)
{
    char numbers[4][24];
    (void)snprintf(numbers[0], sizeof numbers[0], "%u", rank);
    (void)snprintf(numbers[1], sizeof numbers[1], "%u", TRAINER_WORKERS);
    (void)snprintf(numbers[2], sizeof numbers[2], "%zu", trainer->batch);
    (void)snprintf(numbers[3], sizeof numbers[3], "%zu", trainer->steps);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)dup2(out, STDOUT_FILENO);
    execl(trainer->program, trainer->program, "--server", trainer->address, "--data",
          trainer->images, "--model", trainer->model, "--optimizer", trainer->optimizer, "--rank",
          numbers[0], "--world", numbers[1], "--batch", numbers[2], "--steps", numbers[3], "--json",
          "--quiet", trainer->no_overlap ? "--no-overlap" : (char *)NULL, (char *)NULL);
    (void)fprintf(stderr, "cannot run %s: %s\n", trainer->program, strerror(errno));
    _exit(127);
}

static enum stepd_status start(const struct trainer *trainer, unsigned rank,
                               struct process *ret_process, struct stepd_error *reterr)
{
    int ends[2];
    if (pipe(ends) != 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot make a pipe: %s", strerror(errno));
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC); /* the next worker shall not keep them open */
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    const pid_t pid = fork();
    if (pid == 0)
        run_worker(trainer, rank, ends[1]);
    (void)close(ends[1]);
    FILE *const out = pid > 0 ? fdopen(ends[0], "r") : NULL;
    if (out == NULL) {
        (void)close(ends[0]); /* a worker that was started ends when it writes */
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot start a worker: %s", strerror(errno));
    }
    *ret_process = (struct process){.pid = pid, .out = out};
    return STEPD_OK;
}

/* The number behind `"name": `, or 0. */
static double number_of(const char *text, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "\"%s\": ", name);
    const char *const at = strstr(text, key);
    return at == NULL ? 0 : strtod(at + strlen(key), NULL);
}

/* Reads what a worker says until it ends. */
static enum stepd_status finish(struct process *process, struct trainer_worker *ret_worker,
                                struct stepd_error *reterr)
{
    char text[RESULT_BYTES];
    int ended = 0;
    const size_t bytes = fread(text, 1, sizeof text - 1, process->out);
    text[bytes] = '\0';
    (void)fclose(process->out);
    (void)waitpid(process->pid, &ended, 0);
    *ret_worker = (struct trainer_worker){
        .parameters = number_of(text, "parameters"),
        .seconds = number_of(text, "seconds"),
        .waiting = number_of(text, "waiting_seconds"),
        .computing_cpu = number_of(text, "computing_cpu_seconds"),
        .cpu = number_of(text, "cpu_seconds"),
    };
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == 0 && ret_worker->seconds > 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "stepd-train failed; it says why on stderr");
}

enum stepd_status trainer_run(const struct trainer *trainer,
                              struct trainer_worker ret_worker[TRAINER_WORKERS],
                              struct stepd_error *reterr)
{
    struct process process[TRAINER_WORKERS];
    enum stepd_status status = STEPD_OK;
    unsigned started = 0;
    while (started < TRAINER_WORKERS && status == STEPD_OK) {
        status = start(trainer, started, &process[started], reterr);
        started += status == STEPD_OK;
    }
    for (unsigned i = 0; i < started; i++) {
        if (status != STEPD_OK) /* the others would wait for those that are not there */
            (void)kill(process[i].pid, SIGTERM);
        const enum stepd_status ended =
            finish(&process[i], &ret_worker[i], status == STEPD_OK ? reterr : NULL);
        status = status == STEPD_OK ? ended : status;
    }
    return status;
}

/* ---- Images ---------------------------------------------------------------------------------- */

static const char *const image_files[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                          "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/* An IDX file of bytes (http://yann.lecun.com/exdb/mnist/): two zeros, the type, the dimensions,
 * their sizes in big-endian, and the elements. */
static bool write_idx(FILE *out, size_t images, bool labels)
{
    const size_t bytes = images * (labels ? 1 : IMAGE_SIDE * IMAGE_SIDE);
    const size_t sizes[] = {images, IMAGE_SIDE, IMAGE_SIDE};
    const int dims = labels ? 1 : 3;
    uint32_t noise = 1;
    (void)fwrite((const char[]){0, 0, 8, (char)dims}, 1, 4, out);
    for (int d = 0; d < dims; d++)
        (void)fwrite((const char[]){0, 0, (char)(sizes[d] >> 8), (char)sizes[d]}, 1, 4, out);
    for (size_t i = 0; i < bytes; i++) {
        noise = noise * 1664525u + 1013904223u; /* Numerical Recipes' */
        (void)fputc((int)(labels ? i % CLASSES : noise >> 24), out);
    }
    return ferror(out) == 0;
}

static void image_path(const char *folder, size_t file, char path[2 * TRAINER_FOLDER_BYTES])
{
    (void)snprintf(path, 2 * (size_t)TRAINER_FOLDER_BYTES, "%s/%s", folder, image_files[file]);
}

enum stepd_status trainer_make_images(char ret_folder[TRAINER_FOLDER_BYTES],
                                      struct stepd_error *reterr)
{
    (void)snprintf(ret_folder, TRAINER_FOLDER_BYTES, "/tmp/stepd-bench-images-XXXXXX");
    bool written = mkdtemp(ret_folder) != NULL;
    for (size_t i = 0; i < sizeof image_files / sizeof image_files[0] && written; i++) {
        char path[2 * TRAINER_FOLDER_BYTES];
        image_path(ret_folder, i, path);
        FILE *const out = fopen(path, "w");
        written = out != NULL && write_idx(out, i < 2 ? TRAIN_IMAGES : TEST_IMAGES, i % 2 == 1);
        written = out != NULL && fclose(out) == 0 && written;
    }
    if (written)
        return STEPD_OK;
    const int reason = errno;
    trainer_remove_images(ret_folder);
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot write images into %s: %s", ret_folder,
                      strerror(reason));
}

void trainer_remove_images(const char *folder)
{
    for (size_t i = 0; i < sizeof image_files / sizeof image_files[0]; i++) {
        char path[2 * TRAINER_FOLDER_BYTES];
        image_path(folder, i, path);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}
