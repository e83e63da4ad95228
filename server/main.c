/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's entrance: flags -> config -> run. What is decided here is only which exit code a
 * failure has, and how the config's words become the server's options:
 *
 *     0   ended as it was told to, or printed what was asked for
 *     1   something failed: a port in use, no memory
 *     2   the command line makes no sense
 *     78  the config is wrong (EX_CONFIG of sysexits.h): starting again will not help
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/access/list.h"
#include "server/access_file.h"
#include "server/base/log.h"
#include "server/config/config.h"
#include "server/keeping.h"
#include "server/model/group.h"
#include "server/net/server.h"
#include "server/optim/blas.h"
#include "server/peering.h"
#include "server/several.h"

#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define EXIT_CONFIG 78

/* Share of the machine's memory that jobs may take when nobody says. */
#define MEMORY_SHARE_PERCENT 80u
/* ... and workers on this host for their gradients. */
#define SHARED_SHARE_PERCENT 10u

extern char **environ;

/* A daemon that runs, and what it would read its config from again. */
struct daemon {
    int argc;
    char *const *argv;
    const struct config *config; /* as it took effect */
    struct config *read;         /* owned; as it was reread last; NULL: never */
    struct server *server;       /* owned */
    struct peering peering;
    struct keeping keeping;
    struct several several;
    struct log log;
};

static int complain(const struct stepd_error *error, int exit_code)
{
    (void)fprintf(stderr, "stepd: %s\n", error->text);
    return exit_code;
}

/* A share of the machine's memory. */
static uint64_t memory_bytes(uint64_t percent)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_bytes <= 0)
        return UINT64_MAX;
    return (uint64_t)pages / 100 * percent * (uint64_t)page_bytes;
}

static enum stepd_status find_isa(const struct config *config, enum optim_isa *ret_isa,
                                  struct stepd_error *reterr)
{
    if (strcmp(config->isa, "auto") != 0)
        return kernels_find_isa(config->isa, ret_isa, reterr);
    *ret_isa = kernels_choose();
    return STEPD_OK;
}

/* ---- The jobs of the file -------------------------------------------------------------------- */

/* Is a group right by itself, in the mode of its job? */
static enum stepd_status check_group(const struct stepd_define_job *definition, size_t index,
                                     struct stepd_error *reterr)
{
    struct group group;
    enum stepd_status status =
        group_init(&definition->defaults, &definition->group[index], &group, reterr);
    if (status != STEPD_OK)
        return status;
    status = group_check_mode(&group, definition->mode, reterr);
    group_deinit(&group);
    return status;
}

/* Checks by themselves the parts of a job that have lines of their own. */
static enum stepd_status check_parts(const struct config *config, const struct config_job *job,
                                     struct stepd_error *reterr)
{
    const struct stepd_define_job *const definition = &job->definition;
    enum stepd_status status = group_check_defaults(&definition->defaults, reterr);
    if (status != STEPD_OK)
        return config_fail_in_job(config, job, job->defaults_line, status, reterr);
    for (size_t i = 0; i < definition->groups; i++) {
        status = check_group(definition, i, reterr);
        if (status != STEPD_OK)
            return config_fail_in_job(config, job, job->group_line[i], status, reterr);
    }
    return STEPD_OK;
}

/* Whatever is to become of them: at the start, and when the file is reread. */
static enum stepd_status check_jobs(const struct config *config, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < config->jobs && status == STEPD_OK; i++)
        status = check_parts(config, &config->job[i], reterr);
    return status;
}

/* Defines the jobs of the config file. A failure names the file and the line. */
static enum stepd_status define_jobs(const struct daemon *daemon, struct stepd_error *reterr)
{
    const struct config *const config = daemon->config;
    enum stepd_status status = check_jobs(config, reterr);
    for (size_t i = 0; i < config->jobs && status == STEPD_OK; i++) {
        const struct config_job *const job = &config->job[i];
        status = server_define(daemon->server, job->name, &job->definition, reterr);
        if (status != STEPD_OK)
            return config_fail_in_job(config, job, job->line, status, reterr);
        status = keeping_check_init_from(&daemon->keeping, job, reterr);
        if (status != STEPD_OK)
            return config_fail_in_job(config, job, job->init_from.line, status, reterr);
    }
    return status;
}

/* ---- Reading the file again ------------------------------------------------------------------ */

/* Of the jobs more is known than that they differ. */
static void note_difference(void *owner, const char *key, bool reloadable)
{
    const struct daemon *const daemon = owner;
    if (!reloadable && strcmp(key, "jobs") != 0)
        log_event(&daemon->log, LOG_WARN, "needs_restart", "key=%s", key);
}

/* Files are read as the config had them when the daemon started: another thread may be at it. */
static void note_init_from(const struct daemon *daemon, const struct config_job *job)
{
    const struct config_job *const before = config_find_job(daemon->config, job->name);
    if (before != NULL && !config_same_init_from(&before->init_from, &job->init_from))
        log_event(&daemon->log, LOG_WARN, "needs_restart", "key=init_from job=%s", job->name);
}

/* What the file says of a job now, where that is other than when it was read last: what was changed
 * by other means stays as it is until the file itself is. */
static void redefine_jobs(struct daemon *daemon, const struct config *config)
{
    const struct config *const before = daemon->read != NULL ? daemon->read : daemon->config;
    for (size_t i = 0; i < config->jobs; i++) {
        const struct config_job *const job = &config->job[i];
        struct stepd_error error;
        if (config_same_job(before, config, job->name))
            continue;
        note_init_from(daemon, job);
        const enum stepd_status status =
            server_redefine(daemon->server, job->name, &job->definition, &error);
        if (status == STEPD_OK)
            continue;
        (void)config_fail_in_job(config, job, job->line, status, &error);
        log_event(&daemon->log, LOG_WARN, "change_refused", "job=%s reason=%s", job->name,
                  error.text);
    }
    for (size_t i = 0; i < before->jobs; i++) {
        if (config_find_job(config, before->job[i].name) == NULL)
            log_event(&daemon->log, LOG_WARN, "needs_restart", "key=jobs job=%s",
                      before->job[i].name);
    }
}

/* Keeps it for the next time. */
static void keep(struct daemon *daemon, const struct config *config)
{
    struct config *const read = daemon->read != NULL ? daemon->read : malloc(sizeof *read);
    if (read == NULL)
        return;
    if (daemon->read != NULL)
        config_deinit(read);
    *read = *config;
    daemon->read = read;
}

static enum stepd_status load_again(struct daemon *daemon, struct config *ret_config,
                                    struct stepd_error *reterr)
{
    const enum stepd_status status =
        config_load(daemon->argc, daemon->argv, environ, ret_config, reterr);
    if (status != STEPD_OK)
        return status;
    const enum stepd_status checked = check_jobs(ret_config, reterr);
    if (checked != STEPD_OK)
        config_deinit(ret_config);
    return checked;
}

static bool complain_of_reload(const struct daemon *daemon, const struct stepd_error *error)
{
    log_event(&daemon->log, LOG_ERROR, "reload_failed", "reason=%s", error->text);
    return false;
}

/* Reads again who may come in. A file that is wrong changes nothing; false. */
static bool reload_access(struct daemon *daemon)
{
    struct access_list *list = NULL;
    struct stepd_error error;
    if (daemon->config->access_file[0] == '\0')
        return true;
    if (access_file_read(daemon->config->access_file, &list, &error) != STEPD_OK)
        return complain_of_reload(daemon, &error);
    log_event(&daemon->log, LOG_INFO, "access_read", "lines=%zu", access_list_count(list));
    server_admit_by(daemon->server, list);
    return true;
}

/* Reads again the certificate that the port shows, and whose clients it takes. */
static bool reload_tls(const struct daemon *daemon)
{
    struct stepd_error error;
    if (daemon->config->tls_cert[0] == '\0')
        return true;
    if (server_reload_tls(daemon->server, &error) != STEPD_OK)
        return complain_of_reload(daemon, &error);
    log_event(&daemon->log, LOG_INFO, "certificates_read", NULL);
    return true;
}

/* Reads the config again, on SIGHUP. One that is wrong changes nothing, but for who may come in:
 * whoever takes a token off the list must not have to look after anything else. */
static void reload(void *owner)
{
    struct daemon *const daemon = owner;
    const bool access = reload_access(daemon);
    const bool tls = reload_tls(daemon);
    bool shows = false;
    const bool token = peering_reload_token(&daemon->peering, daemon->config->peer_token_file,
                                            &daemon->log, &shows);
    if (shows)
        server_show_token(daemon->server);
    struct config config;
    struct stepd_error error;
    if (load_again(daemon, &config, &error) != STEPD_OK) {
        (void)complain_of_reload(daemon, &error);
        return;
    }
    if (!config_compare(daemon->config, &config, note_difference, daemon))
        log_event(&daemon->log, LOG_ERROR, "out_of_memory", "consequence=%s",
                  "what needs a restart is not known");
    if (!peering_is_member(&daemon->peering))
        redefine_jobs(daemon, &config);
    log_set_level(&daemon->log, config.log_level);
    log_event(&daemon->log, LOG_INFO, access && tls && token ? "reloaded" : "reloaded_in_part",
              "log_level=%s", log_level_name(config.log_level));
    keep(daemon, &config);
}

/* ---- Running --------------------------------------------------------------------------------- */

static uint64_t jobs_memory_bytes(const struct config *config)
{
    return config->memory_max_bytes > 0 ? config->memory_max_bytes
                                        : memory_bytes(MEMORY_SHARE_PERCENT);
}

static void checkpoint(void *owner, struct server_written *written, uint64_t step)
{
    struct daemon *const daemon = owner;
    if (peering_is_alone(&daemon->peering))
        keeping_write(&daemon->keeping, written, step);
    else
        several_write(&daemon->several, written, step);
}

static bool is_initialized(void *owner, const char *job)
{
    const struct daemon *const daemon = owner;
    return keeping_is_initialized(&daemon->keeping, job);
}

static enum stepd_status fetch(void *owner, const struct job *job, const atomic_bool *stop,
                               struct first_weights **ret_first, struct stepd_error *reterr)
{
    const struct daemon *const daemon = owner;
    return keeping_fetch(&daemon->keeping, job, stop, ret_first, reterr);
}

/* A reign begins, and jobs that were brought back are there. */
static enum stepd_status define_again(void *owner, struct stepd_error *reterr)
{
    const struct daemon *const daemon = owner;
    return define_jobs(daemon, reterr);
}

static enum stepd_status create_server(struct daemon *daemon, const char *probe,
                                       struct server **ret_server, struct stepd_error *reterr)
{
    const struct config *const config = daemon->config;
    enum optim_isa isa;
    const enum stepd_status status = find_isa(config, &isa, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "isa");
    struct server_options options = {
        .listen = config->listen,
        .unix_path = config->unix_path,
        .port_file = config->port_file,
        .shards = config->shards,
        .tls_cert = config->tls_cert,
        .tls_key = config->tls_key,
        .tls_client_ca = config->tls_client_ca,
        .login = config->access_file[0] != '\0',
        .insecure = config->insecure,
        .isa = isa,
        .memory_max_bytes = jobs_memory_bytes(config),
        .job_memory_max_bytes = config->job_memory_max_bytes,
        .definitions_max_bytes = config->definitions_max_bytes,
        .old_versions_max_bytes = config->old_versions_max_bytes,
        .shared_max_bytes = config->shared_max_bytes > 0 ? config->shared_max_bytes
                                                         : memory_bytes(SHARED_SHARE_PERCENT),
        .frame_max_bytes = (uint32_t)config->frame_max_bytes, /* at most 1 GiB */
        .connections_max = config->connections_max,
        .unauthenticated_max = config->unauthenticated_max,
        .hello_timeout_ms = config->hello_timeout_ms,
        .hello_max_bytes = (uint32_t)config->hello_max_bytes, /* so are these */
        .handshake_max_bytes = (uint32_t)config->handshake_max_bytes,
        .lease_ms = config->lease_ms,
        .wait_max_ms = config->wait_max_ms,
        .write_timeout_ms = config->write_timeout_ms,
        .read_timeout_ms = config->read_timeout_ms,
        .idle_timeout_ms = config->idle_timeout_ms,
        .unsent_max_bytes = config->unsent_max_bytes,
        .refusals_max_per_s = config->refusals_max_per_s,
        .requests_max = config->requests_max,
        .observers_max = config->observers_max,
        .tensors_max = config->tensors_max,
        .busy_poll_us = config->busy_poll_us,
        .tcp_congestion = config->tcp_congestion,
        .slice_elements = config->slice_elements,
        .jobs_max = config->jobs_max,
        .version = STEPD_VERSION,
        .log = &daemon->log,
        .environment = environ,
        .checkpoint_every_steps = config->checkpoint_every_steps,
        .checkpoint_every_ms = config->checkpoint_every_s * UINT64_C(1000),
        .checkpoint_on_exit = config->checkpoint_on_exit,
        .owner = daemon,
        .checkpoint = config->checkpoint_dir[0] == '\0' ? NULL : checkpoint,
        .is_initialized = is_initialized,
        .fetch = fetch,
        .peers = config->action == CONFIG_RUN ? daemon->peering.list.count : 0,
        .peer = daemon->peering.address,
        .place = daemon->peering.place,
        .advertise = daemon->peering.advertise,
        .peer_lease_ms = config->peer_lease_ms,
        .peer_token = daemon->peering.token,
        .peer_ca = config->peer_ca,
        .probe = probe,
        .reload = reload,
    };
    several_options(&daemon->several, &options);
    return server_create(&options, ret_server, reterr);
}

static bool is_one_of_several(const struct daemon *daemon)
{
    return daemon->config->action == CONFIG_RUN && !peering_is_alone(&daemon->peering);
}

static int exit_code_of(enum stepd_status status)
{
    switch (status) {
    case STEPD_OK: return 0;
    case STEPD_INVALID_ARGUMENT:
    case STEPD_NOT_FOUND:
    case STEPD_FAILED_PRECONDITION: return EXIT_CONFIG;
    default: return EXIT_FAILED;
    }
}

/* Before anything else is brought into it. */
static enum stepd_status admit(struct daemon *daemon, struct stepd_error *reterr)
{
    struct access_list *list = NULL;
    if (daemon->config->access_file[0] == '\0')
        return STEPD_OK;
    const enum stepd_status status = access_file_read(daemon->config->access_file, &list, reterr);
    if (status == STEPD_OK)
        server_admit_by(daemon->server, list);
    return status;
}

/* Jobs that are brought back come before those of the file, which may be the same. */
static enum stepd_status bring_back(struct daemon *daemon, struct stepd_error *reterr)
{
    const struct config *const config = daemon->config;
    enum stepd_status status = keeping_open(&daemon->keeping, config, &daemon->log, reterr);
    if (status == STEPD_OK)
        status =
            keeping_resume(&daemon->keeping, daemon->server, jobs_memory_bytes(config), reterr);
    if (status == STEPD_OK)
        status = keeping_start(&daemon->keeping, reterr);
    return status;
}

/* Brings jobs into a server that is alone, or is only to be checked; where it is one of several
 * they come when a reign begins. */
static enum stepd_status fill(struct daemon *daemon, struct stepd_error *reterr)
{
    const bool runs = daemon->config->action == CONFIG_RUN;
    if (is_one_of_several(daemon)) {
        const enum stepd_status checked = check_jobs(daemon->config, reterr);
        return checked == STEPD_OK ? several_start(&daemon->several, daemon->server, reterr)
                                   : checked;
    }
    const enum stepd_status status = runs ? bring_back(daemon, reterr) : STEPD_OK;
    return status == STEPD_OK ? define_jobs(daemon, reterr) : status;
}

/* Checks the config as far as that goes without opening anything; then runs, unless told not to. */
static int serve(const struct config *config, int argc, char *const argv[])
{
    struct daemon daemon = {
        .argc = argc, .argv = argv, .config = config, .keeping = {.config = config}};
    struct stepd_error error;
    const char *probe = "";
    log_init(&daemon.log, stderr, config->log_level);
    blas_use_one_thread();
    daemon.several = (struct several){
        .keeping = &daemon.keeping,
        .peering = &daemon.peering,
        .log = &daemon.log,
        .owner = &daemon,
        .shards = config->shards,
        .memory_bytes = jobs_memory_bytes(config),
        .define = define_again,
    };
    enum stepd_status status = peering_find(config, &daemon.peering, &error);
    if (status == STEPD_OK && is_one_of_several(&daemon))
        status = several_open(&daemon.several, config, &probe, &error);
    if (status == STEPD_OK)
        status = create_server(&daemon, probe, &daemon.server, &error);
    if (status == STEPD_OK)
        status = admit(&daemon, &error);
    if (status == STEPD_OK)
        status = fill(&daemon, &error);
    if (status == STEPD_OK && config->action == CONFIG_RUN)
        status = server_run(daemon.server, &error);
    keeping_end(&daemon.keeping);
    server_destroy(daemon.server);
    config_deinit(daemon.read);
    free(daemon.read);
    return status == STEPD_OK ? 0 : complain(&error, exit_code_of(status));
}

/* What was written to standard output has to get there. */
static int end_output(void)
{
    struct stepd_error error;
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return 0;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "cannot write the output");
    return complain(&error, EXIT_FAILED);
}

static int act(const struct config *config, int argc, char *const argv[])
{
    switch (config->action) {
    case CONFIG_HELP: config_print_usage(stdout); break;
    case CONFIG_VERSION: (void)puts("stepd " STEPD_VERSION); break;
    case CONFIG_PRINT: config_print(config, stdout); break;
    case CONFIG_CHECK:
    case CONFIG_RUN: return serve(config, argc, argv);
    }
    return end_output();
}

int main(int argc, char *argv[])
{
    struct config config;
    struct stepd_error error;
    switch (config_load(argc, argv, environ, &config, &error)) {
    case STEPD_OK: break;
    case STEPD_INVALID_ARGUMENT: return complain(&error, EXIT_USAGE);
    case STEPD_FAILED_PRECONDITION: return complain(&error, EXIT_CONFIG);
    default: return complain(&error, EXIT_FAILED);
    }
    const int exit_code = act(&config, argc, argv);
    config_deinit(&config);
    return exit_code;
}
