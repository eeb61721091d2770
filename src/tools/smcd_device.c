/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

static int usage(void)
{
	fputs("Usage: smcd device [show] [all]\n", stderr);
	return SMCD_FAILED;
}

static void print_row(struct json_object *f)
{
	printf("%04x %-4s  %-12s  %04x   %-4s  %5u  %-16s \n", jget_u32(f, "fid"),
	       jget_str(f, "type"), jget_str(f, "pci_id"), jget_u32(f, "pchid"),
	       jget_bool(f, "in_use") ? "Yes" : "No", jget_u32(f, "lgrs"), jget_str(f, "pnetid"));
}

static void print_devices(struct json_object *list)
{
	bool header = false;

	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		/* A function without power is a slot, not a device. */
		if (!jget_bool(f, "power"))
			continue;
		if (!header)
			puts("FID  Type  PCI-ID        PCHID  InUse  #LGs  PNET-ID  ");
		header = true;
		print_row(f);
	}
}

int smcd_device(int argc, char **argv, const struct smcd_options *opt)
{
	struct json_object *answer;

	if (argc > 0 && smcd_matches(argv[0], "show")) {
		argc--;
		argv++;
	}
	if (argc > 1 ||
	    (argc == 1 && (smcd_matches(argv[0], "help") || !smcd_matches(argv[0], "all"))))
		return usage();
	answer = smcd_ask("functions");
	if (!answer)
		return SMCD_FAILED;
	print_devices(jget_array(answer, "functions"));
	json_object_put(answer);
	return 0;
}
