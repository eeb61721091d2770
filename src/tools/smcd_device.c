/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tools/json_get.h"
#include "tools/smcd.h"

static int usage(void)
{
	fputs("Usage: smcd device [show] [all]\n", stderr);
	return SMCD_FAILED;
}

static void print_row(struct json_object *f, int details)
{
	char pnetid[32];

	snprintf(pnetid, sizeof(pnetid), "%s%s", jget_bool(f, "pnetid_user") ? "*" : "",
	         jget_str(f, "pnetid"));
	printf("%04x %-4s  %-12s  %04x   %-4s  %5u  %-16s ", jget_u32(f, "fid"),
	       jget_str(f, "type"), jget_str(f, "pci_id"), jget_u32(f, "pchid"),
	       jget_bool(f, "in_use") ? "Yes" : "No", jget_u32(f, "lgrs"), pnetid);
	if (details)
		printf(" %04x  %4u  %s", jget_u32(f, "chid"), jget_u32(f, "vlan"),
		       jget_str(f, "lpar"));
	putchar('\n');
}

static void print_devices(struct json_object *list, int details)
{
	bool header = false;

	for (size_t i = 0; i < jget_len(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		/* A function without power is a slot, not a device. */
		if (!jget_bool(f, "power"))
			continue;
		if (!header)
			printf("FID  Type  PCI-ID        PCHID  InUse  #LGs  PNET-ID  %s\n",
			       details ? "         CHID  VLAN  LPAR" : "");
		header = true;
		print_row(f, details);
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
	answer = smcd_ask("functions", opt);
	if (!answer)
		return SMCD_FAILED;
	/* as with linkgroup, -a and -ad count as no details */
	print_devices(jget_array(answer, "functions"), opt->absolute ? 0 : opt->details);
	json_object_put(answer);
	return 0;
}
