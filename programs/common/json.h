/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adds members to JSON objects, and prints objects. */
#ifndef WW_PROGRAMS_COMMON_JSON_H
#define WW_PROGRAMS_COMMON_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* NULL stands for JSON's null. */
void put_text(struct json_object *object, const char *name, const char *text);

/* At most INT64_MAX. */
void put_number(struct json_object *object, const char *name, uint64_t number);

void put_real(struct json_object *object, const char *name, double number);
void put_truth(struct json_object *object, const char *name, bool truth);

/* "null" if there was no memory for it. */
const char *json_text(struct json_object *object, int flags);

/* Prints an object with line breaks and indents, and frees it. */
void print_object(struct json_object *object, FILE *out);

#endif
