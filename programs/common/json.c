/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON output that all subcommands share. Callers know names and meanings. */
#include "json.h"

void put_text(struct json_object *object, const char *name, const char *text)
{
    json_object_object_add(object, name, text ? json_object_new_string(text) : NULL);
}

void put_number(struct json_object *object, const char *name, uint64_t number)
{
    json_object_object_add(object, name,
                           json_object_new_int64(number < INT64_MAX ? (int64_t)number : INT64_MAX));
}

void put_real(struct json_object *object, const char *name, double number)
{
    json_object_object_add(object, name, json_object_new_double(number));
}

void put_truth(struct json_object *object, const char *name, bool truth)
{
    json_object_object_add(object, name, json_object_new_boolean(truth));
}

const char *json_text(struct json_object *object, int flags)
{
    const char *text = json_object_to_json_string_ext(object, flags);

    return text ? text : "null";
}

void print_object(struct json_object *object, FILE *out)
{
    fprintf(out, "%s\n", json_text(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}
