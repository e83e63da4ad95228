/* SPDX-License-Identifier: Apache-2.0
 *
 * What job_draft.c, job.c and job_layout.c share: the inside of a draft.
 */
#ifndef MODEL_JOB_INTERNAL_H
#define MODEL_JOB_INTERNAL_H

#include "server/model/job.h"

/* What matching names with groups may take (glob.h): about half a second. Names as people make them
 * take a hundredth of it for ten thousand tensors and twenty groups. */
#define JOB_MATCH_STEPS_MAX (UINT64_C(1) << 28)

/* 2^36 floats are 256 GiB: beyond any host, and far from where sums of sizes overflow. */
#define JOB_TENSOR_ELEMENTS_MAX (UINT64_C(1) << 36)

struct job_draft {
    char *name; /* owned */
    struct consistency consistency;
    uint32_t workers;
    bool strict;
    uint32_t slice_elements;
    uint32_t slice_elements_default; /* 0: definitions may say any */
    size_t groups;
    struct group *group; /* owned */
    size_t tensors;
    size_t tensors_room;
    struct tensor *tensor; /* owned */
    void *names;           /* owned; tree of the tensors' names, as tsearch(3) keeps it: a list of
                            * many tensors must not cost their square */
    bool spare;            /* as the job's */
    bool sealed;           /* takes no more tensors */
    bool valued;           /* of a job that has all of its weights: nobody has to assign any */
};

/* Gives each tensor to its group and cuts all of them into slices. Errors as job_draft_seal. */
enum stepd_status job_lay_out(struct job *job, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
