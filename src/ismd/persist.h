/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tools changed and wanted to last: the whole state of an LPAR's functions,
 * EIDs and PNET table, in STATE_DIR/lpars.json, over what ism.conf says. A per-user
 * ismd keeps its function's power in its runtime directory.
 */
#ifndef ISMD_PERSIST_H
#define ISMD_PERSIST_H

struct ismd;
struct lpar;

/* Store @l as it is. 0 or -errno; -ENOTSUP: an automatic LPAR. */
int persist_save(struct ismd *d, const struct lpar *l);

/* Bring LPARs to what is stored for them, each once: at the start, or when a reload
 * brings it; what tools changed since then is not undone. A file that cannot be read or makes no
 * sense is left alone, and the log says so. */
void persist_load(struct ismd *d);

#endif
