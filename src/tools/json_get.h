/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a JSON object by name: one that is missing reads as 0 or "". */
#ifndef OPENISM_TOOLS_JSON_GET_H
#define OPENISM_TOOLS_JSON_GET_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

bool jget_has(struct json_object *obj, const char *key);
bool jget_bool(struct json_object *obj, const char *key);
uint64_t jget_u64(struct json_object *obj, const char *key);
uint32_t jget_u32(struct json_object *obj, const char *key);
/* A number written as hex digits in a string, with or without 0x; a plain JSON
 * number is taken as it is. */
uint64_t jget_hex(struct json_object *obj, const char *key);
/* Borrowed from @obj, never NULL. */
const char *jget_str(struct json_object *obj, const char *key);
/* An array, borrowed; NULL where it is missing or something else. */
struct json_object *jget_array(struct json_object *obj, const char *key);
/* Members of that array, 0 for none at all. */
size_t jget_len(struct json_object *list);

/* Add a member to a request. */
void jadd_str(struct json_object *obj, const char *key, const char *value);
void jadd_num(struct json_object *obj, const char *key, uint64_t value);
void jadd_bool(struct json_object *obj, const char *key, bool value);

#endif
