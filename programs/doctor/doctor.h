/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of `writewatch doctor` share. */
#ifndef WW_PROGRAMS_DOCTOR_H
#define WW_PROGRAMS_DOCTOR_H

#include "../common/survey.h"

#define MAX_FINDINGS 32

enum severity {
    FINDING_GOOD,
    FINDING_NOTE, /* good to know */
    FINDING_FIX,  /* write watches do not work because of it; has a remedy */
};

struct finding {
    enum severity severity;
    const char *subject;
    char text[512], remedy[256];
};

struct doctor {
    struct backends backends;
    struct preload preload;
    const char *wine; /* the program's name or path */
    bool has_wine;    /* @wine runs */
    bool has_run;     /* a Windows program ran under it */
    bool json, colored;
    struct finding finding[MAX_FINDINGS];
    size_t nr;
};

/* Adds a finding, and prints it unless JSON is wanted. A fix must have a @remedy. */
void add_finding(struct doctor *doctor, enum severity severity, const char *subject, const char *remedy,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The number of fixes so far. */
size_t count_fixes(const struct doctor *doctor);

/* doctor/wine.c */
void doctor_find_wine(struct doctor *doctor);
void doctor_try_wine(struct doctor *doctor);

#endif
