/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration from a text in memory: conf_load() without the file. */
#ifndef OPENISM_CONF_PARSE_H
#define OPENISM_CONF_PARSE_H

#include <stddef.h>

#include "conf/complain.h"
#include "conf/conf.h"

#define CONF_LPARS_MAX 4096
#define CONF_POLICIES_MAX 4096

/* @out->path names the text. 0 and *@conf, or -EINVAL or -ENOMEM with complaints. */
int conf_parse_text(const char *text, size_t len, struct conf **conf, struct complaints *out);

/* What an LPAR has that nothing is said about; without a name. */
void conf_lpar_default(struct conf_lpar *l);

/* What is wrong with a user EID; NULL: nothing. */
const char *conf_ueid_fault(const char *eid);

#endif
