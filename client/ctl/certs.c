/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl certs: the certificates of a small cluster in one command.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/authority.h"
#include "client/ctl/ctl.h"
#include "client/ctl/number.h"
#include "proto/error.h"

#define DAYS_MOST    UINT64_C(36500)
#define DAYS_DEFAULT 365u
#define CA_DAYS      3650u

/* Of all names that are made certificates of at a time. */
#define LIST_BYTES 65536u

struct options {
    const char *folder;
    char *hosts;   /* cut in place; NULL: none */
    char *clients; /* likewise */
    uint64_t days;
};

static int print_help(void)
{
    (void)printf(
        "usage: stepctl certs FOLDER --hosts HOST,... [--clients NAME,...] [--days N]\n"
        "\n"
        "Makes a private CA in FOLDER, and certificates that it has signed: for each host, by\n"
        "which name or address daemons are dialled there, and for each client. A FOLDER that has\n"
        "a CA already gets further certificates of it. No file is ever overwritten: where one\n"
        "of a name is there, nothing is written. Each is its owner's alone.\n"
        "\n"
        "  FOLDER/ca.pem             for whoever dials:   --tls-ca\n"
        "                            for daemons:         tls_client_ca\n"
        "  FOLDER/ca.key             signs: keep it where no daemon and no worker is\n"
        "  FOLDER/HOST.pem, .key     for the daemon there: tls_cert, tls_key\n"
        "  FOLDER/NAME.pem, .key     for a client:        --tls-cert, --tls-key; certificate:NAME\n"
        "                            in the server's access_file\n"
        "\n"
        "options:\n"
        "  --hosts HOST,...    names or addresses\n"
        "  --clients NAME,...  of workers and people\n"
        "  --days N            that the certificates are good for [%u]; a CA is for %u, or for\n"
        "                      as long\n"
        "  --help              this text\n",
        DAYS_DEFAULT, CA_DAYS);
    return CTL_OK;
}

/* The exit code, or -1: go on. */
static bool names_somebody(const char *list)
{
    return list != NULL && list[strspn(list, ",")] != '\0';
}

/* The first name of a list that is an address with its port, as in peers; NULL: none is. */
static const char *find_port(const char *list)
{
    for (const char *name = list; name != NULL && *name != '\0'; name += strcspn(name, ",") + 1) {
        const size_t length = strcspn(name, ",");
        const char *const colon = memchr(name, ':', length);
        if (colon != NULL && memchr(colon + 1, ':', (size_t)(name + length - colon - 1)) == NULL)
            return name;
        if (name[length] == '\0')
            break;
    }
    return NULL;
}

static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option long_options[] = {
        {"hosts", required_argument, NULL, 'o'},
        {"clients", required_argument, NULL, 'c'},
        {"days", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'o': options->hosts = optarg; break;
        case 'c': options->clients = optarg; break;
        case 'd':
            if (number_parse_whole(optarg, 1, DAYS_MOST, &options->days))
                break;
            (void)fprintf(stderr, "stepctl certs: --days takes 1 to 36500: %s\n", optarg);
            return ctl_usage("certs");
        case 'h': return print_help();
        default: return ctl_usage("certs");
        }
    }
    const bool nobody = !names_somebody(options->hosts) && !names_somebody(options->clients);
    const char *const wrong = argc - optind != 1 ? "one FOLDER must be named"
                              : nobody           ? "--hosts or --clients must name somebody"
                              : find_port(options->hosts) != NULL
                                  ? "a host of --hosts has a port: a certificate is for the host"
                                  : NULL;
    if (wrong != NULL) {
        (void)fprintf(stderr, "stepctl certs: %s\n", wrong);
        return ctl_usage("certs");
    }
    options->folder = argv[optind];
    return -1;
}

/* One for each name of a list, which is cut in place. */
static enum stepd_status certify(const struct authority *authority, const struct options *options,
                                 char *names, bool server, struct stepd_error *reterr)
{
    char *rest = names;
    for (char *name = strtok_r(names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        const enum stepd_status status =
            authority_certify(authority, name, server, (uint32_t)options->days, reterr);
        if (status != STEPD_OK)
            return status;
        (void)printf("%s/%s.pem\n%s/%s.key\n", options->folder, name, options->folder, name);
    }
    return STEPD_OK;
}

/* The names that were looked at: ",node1,node2,". */
struct seen {
    char names[LIST_BYTES];
    size_t bytes;
};

/* Looks at a name before any file is made of one. */
static enum stepd_status check_name(const char *folder, const char *name, struct seen *seen,
                                    struct stepd_error *reterr)
{
    char listed[AUTHORITY_NAME_MAX_BYTES + 3];
    const enum stepd_status status = authority_check(folder, name, reterr);
    if (status != STEPD_OK)
        return status;
    const size_t n = stepd_format(listed, sizeof listed, ",%s,", name);
    if (strstr(seen->names, listed) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%s' is named twice: a host and a client need names of their own, for "
                          "each has its files",
                          name);
    if (seen->bytes + n > sizeof seen->names)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "too many names at a time");
    seen->bytes +=
        stepd_format(seen->names + seen->bytes, sizeof seen->names - seen->bytes, "%s", listed + 1);
    return STEPD_OK;
}

static enum stepd_status check_list(const char *folder, const char *list, struct seen *seen,
                                    struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    while (*list != '\0' && status == STEPD_OK) {
        const size_t n = strcspn(list, ",");
        char *const name = strndup(list, n);
        if (name == NULL)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a name");
        if (n > 0)
            status = check_name(folder, name, seen, reterr);
        free(name);
        list += n + (list[n] == ',');
    }
    return status;
}

/* Of both lists. */
static enum stepd_status check_all(const struct options *options, struct stepd_error *reterr)
{
    const char *const lists[] = {options->hosts, options->clients};
    static struct seen seen = {.names = ",", .bytes = 1};
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && status == STEPD_OK; i++) {
        if (lists[i] != NULL)
            status = check_list(options->folder, lists[i], &seen, reterr);
    }
    return status;
}

static enum stepd_status make(const struct options *options, struct stepd_error *reterr)
{
    struct authority *authority = NULL;
    bool made = false;
    const uint32_t ca_days = options->days > CA_DAYS ? (uint32_t)options->days : CA_DAYS;
    enum stepd_status status = check_all(options, reterr);
    if (status != STEPD_OK)
        return status;
    status = authority_open(options->folder, ca_days, &authority, &made, reterr);
    if (status != STEPD_OK)
        return status;
    if (made)
        (void)printf("%s/ca.pem\n%s/ca.key\n", options->folder, options->folder);
    if (options->hosts != NULL)
        status = certify(authority, options, options->hosts, /* server= */ true, reterr);
    if (status == STEPD_OK && options->clients != NULL)
        status = certify(authority, options, options->clients, /* server= */ false, reterr);
    (void)authority_destroy(authority);
    return status;
}

int certs_run(const struct ctl_options *ctl, int argc, char **argv)
{
    struct options options = {.days = DAYS_DEFAULT};
    struct stepd_error error;
    (void)ctl;
    const int exit_code = read_options(argc, argv, &options);
    if (exit_code >= 0)
        return exit_code;
    return make(&options, &error) == STEPD_OK ? CTL_OK : ctl_fail("certs", &error);
}
