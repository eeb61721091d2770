/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/reason_text.h"

#include <stddef.h>

#include "fabric/reason.h"

static const struct {
	uint32_t code;
	const char *name, *text;
} reasons[] = {
#define REASON_ROW(code, sym, name, text) { code, name, text },
	FAB_REASONS(REASON_ROW)
#undef REASON_ROW
};

const char *reason_text(uint32_t code)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].code == code)
			return reasons[i].text;
	return NULL;
}

const char *reason_name(uint32_t code)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].code == code)
			return reasons[i].name;
	return "[unknown]";
}
