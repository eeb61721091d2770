/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The columns are an interface: scripts split them at blanks and count. What is
 * ours (the words of --explain) therefore stands at the end of a row only. Rows
 * end where there is nothing more to say, so the LPARs stand in front, and there
 * only when they were asked for.
 *
 * Cursors: smc_diag names them by who sent them, not by direction. "rxcons" is
 * the consumer cursor that was received, so it tells what the *peer* has read;
 * "txcons" tells what we have read.
 */
#include "tools/ss_print.h"

#include <inttypes.h>
#include <string.h>

#include "tools/json_get.h"
#include "tools/reason_text.h"

enum { ADDRESS_WIDTH = 23 };

void ss_print_header(FILE *out, const struct ss_format *fmt)
{
	if (fmt->lpar)
		fprintf(out, "%-16s %-16s ", "LPAR", "Peer-LPAR");
	fputs("State          UID   Inode   Local Address           Peer Address            "
	      "Intf Mode ",
	      out);
	if (fmt->debug)
		fputs("Shutd Token    Sndbuf   Rcvbuf   Peerbuf  rxprod-Cursor rxcons-Cursor "
		      "rxFlags txprod-Cursor txcons-Cursor txFlags txprep-Cursor "
		      "txsent-Cursor txfin-Cursor  ",
		      out);
	if (fmt->smcr)
		fputs("Role IB-device       Port Linkid GID                                      "
		      "Peer-GID",
		      out);
	else if (fmt->smcd)
		fputs("GID              Token            Peer-GID         Peer-Token       Linkid",
		      out);
	fputc('\n', out);
}

static void print_address(FILE *out, const char *addr, unsigned port, bool wide)
{
	char tail[16], text[ADDRESS_WIDTH + 1];
	int tail_len = snprintf(tail, sizeof(tail), ":%u", port);
	int room = ADDRESS_WIDTH - tail_len - 2;

	if (wide || strlen(addr) + (size_t)tail_len <= ADDRESS_WIDTH) {
		fprintf(out, "%s%s%*s ", addr, tail,
		        (int)(strlen(addr) + (size_t)tail_len < ADDRESS_WIDTH
		                      ? ADDRESS_WIDTH - strlen(addr) - (size_t)tail_len
		                      : 0),
		        "");
		return;
	}
	snprintf(text, sizeof(text), "%.*s..%s", room, addr, tail);
	fprintf(out, "%-*s ", ADDRESS_WIDTH, text);
}

static void print_explanation(FILE *out, const struct ss_row *row)
{
	const char *own = reason_text(row->reason);
	const char *peer = reason_text(row->peer_reason);

	fprintf(out, "  %s", own ? own : "unknown code");
	if (row->peer_reason)
		fprintf(out, "; peer: %s", peer ? peer : "unknown code");
}

static void print_fallback(FILE *out, const struct ss_row *row, bool explain)
{
	fputs("TCP ", out);
	if (!row->reason)
		return;
	fprintf(out, "0x%08x", row->reason);
	if (row->peer_reason)
		fprintf(out, "/0x%08x", row->peer_reason);
	if (explain)
		print_explanation(out, row);
}

/* A position in a ring as SMC's cursor: laps (16 bits) and offset. */
static void print_cursor(FILE *out, uint64_t pos, uint64_t size)
{
	if (!size)
		fprintf(out, "%04x:%08" PRIx64 " ", 0u, pos & 0xffffffffu);
	else
		fprintf(out, "%04x:%08x ", (unsigned)(pos / size & 0xffff), (unsigned)(pos % size));
}

static void print_flags(FILE *out, uint32_t flags)
{
	fprintf(out, "%02x:%02x   ", flags & 0xff, flags >> 8 & 0xff);
}

static void print_debug(FILE *out, struct json_object *j)
{
	uint32_t shut = jget_u32(j, "shutdown");
	uint64_t sndbuf = jget_u64(j, "sndbuf"), rcvbuf = jget_u64(j, "rcvbuf");
	uint64_t peerbuf = jget_u64(j, "peerbuf");
	uint64_t tx_prod = jget_u64(j, "tx_prod"), tx_cons = jget_u64(j, "tx_cons");

	fprintf(out, " %c-%c  ", shut & 1 ? 'R' : '<', shut & 2 ? 'W' : '>');
	fprintf(out, "%08x %08x %08x %08x ", jget_u32(j, "conn_token"), (unsigned)sndbuf,
	        (unsigned)rcvbuf, (unsigned)peerbuf);
	print_cursor(out, jget_u64(j, "rx_prod"), rcvbuf);
	print_cursor(out, tx_cons, peerbuf);
	print_flags(out, jget_u32(j, "rx_flags"));
	print_cursor(out, tx_prod, peerbuf);
	print_cursor(out, jget_u64(j, "rx_cons"), rcvbuf);
	print_flags(out, jget_u32(j, "tx_flags"));
	/* The peer's ring is our send buffer: what is prepared is sent, and what
	 * the peer has read is finished. */
	print_cursor(out, tx_prod, sndbuf);
	print_cursor(out, tx_prod, sndbuf);
	print_cursor(out, tx_cons, sndbuf);
}

static void print_dmbs(FILE *out, struct json_object *j)
{
	fprintf(out, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %08x ",
	        jget_hex(j, "gid"), jget_hex(j, "token"), jget_hex(j, "peer_gid"),
	        jget_hex(j, "peer_token"), jget_u32(j, "lgr_id"));
}

static void print_mode(FILE *out, const struct ss_row *row, const struct ss_format *fmt)
{
	if (row->mode == SS_MODE_TCP) {
		print_fallback(out, row, fmt->explain);
	} else if (row->mode == SS_MODE_SMCD) {
		fputs("SMCD ", out);
		if (fmt->debug)
			print_debug(out, row->json);
		if (fmt->smcd)
			print_dmbs(out, row->json);
	}
}

/* Never empty: fields are counted. */
static void print_lpars(FILE *out, struct json_object *j)
{
	const char *own = jget_str(j, "lpar"), *peer = jget_str(j, "peer_lpar");

	fprintf(out, "%-16s %-16s ", *own ? own : "-", *peer ? peer : "-");
}

void ss_print_row(FILE *out, const struct ss_row *row, const struct ss_format *fmt)
{
	char buf[16];

	if (fmt->lpar)
		print_lpars(out, row->json);
	fprintf(out, "%-14s %05u %07" PRIu64 " ", ss_state_name(row->state, buf), row->uid,
	        row->inode);
	if (row->state != SS_INIT)
		print_address(out, row->laddr, row->lport, fmt->wide);
	if (row->state != SS_INIT && row->state != SS_LISTEN) {
		print_address(out, row->raddr, row->rport, fmt->wide);
		fprintf(out, "%04x ", row->intf);
		if (row->state != SS_CLOSED)
			print_mode(out, row, fmt);
	}
	fputc('\n', out);
}
