/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listing. Scripts split it at blanks and count the columns, so the one of
 * ours, the LPAR, stands in front and only where it was asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/ismd_client.h"
#include "tools/json_get.h"
#include "tools/rnics.h"

enum { PFT_ISM = 5 };

static void print_header(const struct rnics_options *o)
{
	if (o->show_lpar)
		printf("%-16s  ", "LPAR");
	printf("FID   Power  PCI_ID        PCHID  Type             PFT   %s  %s  "
	       "PNET_ID            %s\n",
	       o->raw ? "VFN" : "VF ", o->ports ? "IPrt" : "PPrt", o->ports ? "IB-Dev" : "Net-Dev");
	for (int i = 0; i < (o->show_lpar ? 118 : 100); i++)
		putchar('-');
	putchar('\n');
}

static void print_columns(uint32_t fid, const char *power, const char *pci, const char *pchid,
                          const char *type, const char *pft, const char *vf, const char *port,
                          const char *pnetid, const char *dev)
{
	printf("%4x  %-5s  %-12s  %-4s   %-15s  %-4s  %-3s  %-4s  %-17s  %s\n", fid, power, pci,
	       pchid, type, pft, vf, port, pnetid, dev);
}

static const char *or_na(const char *s)
{
	return *s ? s : "n/a";
}

static void print_function(struct json_object *f, const struct rnics_options *o)
{
	uint32_t fid = jget_u32(f, "fid"), vfn = jget_u32(f, "vfn"), pft = jget_u32(f, "pft");
	char pchid[16], type[32], pft_text[16], vf[16], pnetid[32];
	bool known = pft == PFT_ISM && !o->raw;

	if (o->show_lpar)
		printf("%-16s  ", or_na(jget_str(f, "lpar")));
	if (!jget_bool(f, "power")) {
		print_columns(fid, "0", "", "", "", "", "", "", "", "");
		return;
	}
	snprintf(pchid, sizeof(pchid), "%04x", jget_u32(f, "pchid"));
	if (known)
		snprintf(type, sizeof(type), "%s", jget_str(f, "type"));
	else
		snprintf(type, sizeof(type), "%04" PRIx64 ":%04" PRIx64, jget_hex(f, "vendor"),
		         jget_hex(f, "device"));
	if (known)
		snprintf(pft_text, sizeof(pft_text), "ISM");
	else
		snprintf(pft_text, sizeof(pft_text), "0x%02x", pft);
	/* An ISM function is a virtual one, whatever its number. */
	if (o->raw)
		snprintf(vf, sizeof(vf), "%u", vfn);
	else
		snprintf(vf, sizeof(vf), "%s", known || vfn ? "y" : "n");
	snprintf(pnetid, sizeof(pnetid), "%s%s", or_na(jget_str(f, "pnetid")),
	         jget_bool(f, "pnetid_user") ? "*" : "");
	print_columns(fid, "1", or_na(jget_str(f, "pci_id")), pchid, type, pft_text, vf, "n/a",
	              pnetid, "n/a");
}

static bool is_wanted(struct json_object *f, const struct rnics_options *o)
{
	if (o->fid != FID_NONE && o->fid != (int64_t)jget_u32(f, "fid"))
		return false;
	return o->all || (jget_bool(f, "power") && (o->raw || jget_u32(f, "pft") == PFT_ISM));
}

static int by_fid(const void *a, const void *b)
{
	struct json_object *f = *(struct json_object *const *)a;
	struct json_object *g = *(struct json_object *const *)b;
	uint32_t x = jget_u32(f, "fid"), y = jget_u32(g, "fid");

	return x != y ? (x > y) - (x < y) : strcmp(jget_str(f, "lpar"), jget_str(g, "lpar"));
}

static int by_lpar(const void *a, const void *b)
{
	int r = strcmp(jget_str(*(struct json_object *const *)a, "lpar"),
	               jget_str(*(struct json_object *const *)b, "lpar"));

	return r ? r : by_fid(a, b);
}

static int no_answer(const struct ismd_error *err, const struct rnics_options *o)
{
	fflush(stdout);
	if (ismd_refused_with(err, "nolpar")) {
		fprintf(stderr, "Error: LPAR %s does not exist\n", o->lpar);
		return RNICS_NO_SLOT;
	}
	fprintf(stderr, "Error: %s\n", err->text);
	return err->kind == ISMD_REFUSED ? RNICS_FAILED : RNICS_NO_FABRIC;
}

int rnics_list(const struct rnics_options *o)
{
	struct ismd_error err;
	struct json_object *answer = ismd_get("functions", o->lpar, ISMD_START, &err);
	struct json_object *list;
	size_t rows = 0;

	print_header(o);
	if (!answer)
		return no_answer(&err, o);
	list = jget_array(answer, "functions");
	if (list)
		json_object_array_sort(list, o->show_lpar ? by_lpar : by_fid);
	for (size_t i = 0; i < jget_len(list); i++) {
		struct json_object *f = json_object_array_get_idx(list, i);

		if (!is_wanted(f, o))
			continue;
		print_function(f, o);
		rows++;
	}
	json_object_put(answer);
	return o->fid != FID_NONE && !rows ? RNICS_NOT_LISTED : RNICS_OK;
}
