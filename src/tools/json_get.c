/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/json_get.h"

#include <stdlib.h>

static struct json_object *member(struct json_object *obj, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(obj, key, &v) ? v : NULL;
}

bool jget_has(struct json_object *obj, const char *key)
{
	return member(obj, key) != NULL;
}

bool jget_bool(struct json_object *obj, const char *key)
{
	return json_object_get_boolean(member(obj, key));
}

uint64_t jget_u64(struct json_object *obj, const char *key)
{
	return json_object_get_uint64(member(obj, key));
}

uint32_t jget_u32(struct json_object *obj, const char *key)
{
	return (uint32_t)jget_u64(obj, key);
}

uint64_t jget_hex(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key);

	if (json_object_is_type(v, json_type_string))
		return strtoull(json_object_get_string(v), NULL, 16);
	return json_object_get_uint64(v);
}

const char *jget_str(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key);

	return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

struct json_object *jget_array(struct json_object *obj, const char *key)
{
	struct json_object *v = member(obj, key);

	return json_object_is_type(v, json_type_array) ? v : NULL;
}

size_t jget_len(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

void jadd_str(struct json_object *obj, const char *key, const char *value)
{
	json_object_object_add(obj, key, json_object_new_string(value));
}

void jadd_num(struct json_object *obj, const char *key, uint64_t value)
{
	json_object_object_add(obj, key, json_object_new_uint64(value));
}

void jadd_bool(struct json_object *obj, const char *key, bool value)
{
	json_object_object_add(obj, key, json_object_new_boolean(value));
}
