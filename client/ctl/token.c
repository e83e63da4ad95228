/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl token create: a token for a worker or a person, and the line by which the server will
 * know it. The token itself is kept nowhere, so it is shown once, or written to a file that only
 * its owner can read.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/ctl.h"
#include "client/ctl/number.h"
#include "proto/error.h"
#include "server/access/date.h"
#include "server/access/list.h"

#define DAY_S          INT64_C(86400)
#define LIFE_MAX_DAYS  UINT64_C(36500)
#define ALL_JOBS       "*"
#define TOKEN_FILE_MAY 0600

struct options {
    const char *who;
    enum access_role role;
    bool has_role;
    const char **job; /* owned list; room for as many as there are arguments */
    size_t jobs;
    int64_t until_s;
    const char *out; /* NULL: standard output */
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl token create --role ROLE [--job NAME]... [--name WHO] [--expires WHEN]\n"
        "                            [--out FILE]\n"
        "\n"
        "Makes a token of 256 random bits, and the line for the file that the server's key\n"
        "access_file names. The line has the token's hash alone, so a token that is lost cannot\n"
        "be found again. The server reads its file again on SIGHUP; a line that is gone from it\n"
        "ends what its token was used for.\n"
        "\n"
        "options:\n"
        "  --role ROLE     observe: pull weights and ask for status; work: that, and train;\n"
        "                  admin: that, change jobs and have checkpoints written;\n"
        "                  peer: be one of several daemons (peer_token_file)\n"
        "  --job NAME      a job that it is for, or a glob such as 'mnist-*'; may be repeated\n"
        "                  [all jobs]\n"
        "  --name WHO      whose it is, for the server's log [USER]\n"
        "  --expires WHEN  days from now (30d), a date (2027-01-31, 2027-01-31T12:00:00Z) or\n"
        "                  never [never]\n"
        "  --out FILE      write the token to a new file that its owner alone can read, for\n"
        "                  --token-file, and print nothing but the line\n"
        "  --help          this text\n");
    return CTL_OK;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool read_expiry(const char *text, int64_t *ret_until_s)
{
    char digits[16];
    uint64_t days = 0;
    const size_t n = strlen(text);
    if (strcmp(text, "never") == 0) {
        *ret_until_s = ACCESS_FOREVER;
        return true;
    }
    if (n >= 2 && n < sizeof digits && text[n - 1] == 'd') {
        memcpy(digits, text, n - 1);
        digits[n - 1] = '\0';
        if (!number_parse_whole(digits, 1, LIFE_MAX_DAYS, &days))
            return false;
        *ret_until_s = (int64_t)time(NULL) + (int64_t)days * DAY_S;
        return true;
    }
    return date_read(text, ret_until_s);
}

static int refuse(const char *what, const char *argument)
{
    (void)fprintf(stderr, "stepctl token create: %s%s%s\n", what, argument[0] == '\0' ? "" : ": ",
                  argument);
    return ctl_usage("token");
}

/* The exit code, or -1: go on. */
static int take_option(int option, const char *value, struct options *options)
{
    switch (option) {
    case 'r':
        options->has_role = access_role_find(value, &options->role);
        return options->has_role ? -1 : refuse("a role is observe, work, admin or peer", value);
    case 'j':
        options->job[options->jobs++] = value;
        return access_job_is_fine(value)
                   ? -1
                   : refuse("a job's name with white space or a comma is written as a glob, with ? "
                            "for those",
                            value);
    case 'n':
        options->who = value;
        return access_who_is_fine(value)
                   ? -1
                   : refuse("--name takes up to 64 printable bytes without white space", value);
    case 'e':
        return read_expiry(value, &options->until_s)
                   ? -1
                   : refuse("--expires takes 30d, 2027-01-31, 2027-01-31T12:00:00Z or never",
                            value);
    case 'o': options->out = value; return -1;
    case 'h': return print_help();
    default: return ctl_usage("token");
    }
}

/* The exit code, or -1: go on. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"role", required_argument, NULL, 'r'},
        {"job", required_argument, NULL, 'j'},
        {"name", required_argument, NULL, 'n'},
        {"expires", required_argument, NULL, 'e'},
        {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        const int exit_code = take_option(option, optarg, options);
        if (exit_code >= 0)
            return exit_code;
    }
    if (argc - optind != 1 || strcmp(argv[optind], "create") != 0)
        return refuse("say what is to be done: stepctl token create --role ROLE", "");
    if (!options->has_role)
        return refuse("--role observe, work, admin or peer is missing", "");
    if (options->jobs > ACCESS_JOBS_MAX)
        return refuse("that is more than 64 jobs; a glob such as 'mnist-*' is many", "");
    return -1;
}

/* ---- Making ---------------------------------------------------------------------------------- */

static bool fill(uint8_t *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t got = getrandom(bytes, n, 0);
        if (got < 0 && errno != EINTR)
            return false;
        bytes += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Writes the token to a file that was not there. False: errno says why not. */
static bool write_file(const char *path, const char *token)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, TOKEN_FILE_MAY);
    if (fd < 0)
        return false;
    FILE *const file = fdopen(fd, "w");
    if (file == NULL) {
        (void)close(fd);
        return false;
    }
    const bool written = fprintf(file, "%s\n", token) > 0;
    return fclose(file) == 0 && written;
}

static void print_line(const struct options *options, const char *key)
{
    char until[DATE_TEXT_BYTES];
    if (options->until_s != ACCESS_FOREVER)
        date_write(options->until_s, until);
    (void)printf("%s %s %s", options->who, access_role_name(options->role),
                 options->jobs == 0 ? ALL_JOBS : options->job[0]);
    for (size_t i = 1; i < options->jobs; i++)
        (void)printf(",%s", options->job[i]);
    (void)printf(" %s %s\n", options->until_s == ACCESS_FOREVER ? "never" : until, key);
}

static int make(const struct options *options)
{
    uint8_t random[TOKEN_RANDOM_BYTES];
    uint8_t hash[TOKEN_HASH_BYTES];
    char token[TOKEN_TEXT_BYTES];
    char key[TOKEN_KEY_TEXT_BYTES];
    if (!fill(random, sizeof random)) {
        (void)fprintf(stderr, "stepctl: token create: the system gives no random bytes\n");
        return CTL_FAILURE;
    }
    token_write(random, token);
    if (!token_hash((const uint8_t *)token, strlen(token), hash)) {
        (void)fprintf(stderr, "stepctl: token create: no memory\n");
        return CTL_FAILURE;
    }
    token_key_write(hash, key);
    if (options->out != NULL && !write_file(options->out, token)) {
        (void)fprintf(stderr, "stepctl: token create: %s: %s\n", options->out, strerror(errno));
        return CTL_FAILURE;
    }
    if (options->out == NULL)
        (void)printf("# the token, which is shown this once:\n%s\n"
                     "# the line for the server's access_file:\n",
                     token);
    print_line(options, key);
    return CTL_OK;
}

static const char *user_name(void)
{
    const char *const user = getenv("USER");
    return user != NULL && access_who_is_fine(user) ? user : "somebody";
}

int token_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    struct options options = {
        .who = user_name(),
        .until_s = ACCESS_FOREVER,
        .job = calloc((size_t)argc, sizeof *options.job),
    };
    if (options.job == NULL) {
        (void)fprintf(stderr, "stepctl: token create: no memory\n");
        return CTL_FAILURE;
    }
    int exit_code = read_options(argc, argv, &options);
    if (exit_code < 0)
        exit_code = make(&options);
    free((void *)options.job);
    return exit_code;
}
