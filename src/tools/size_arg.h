/* SPDX-License-Identifier: Apache-2.0 */
/* Buffer sizes on a command line: digits, then at most one of k K m M. */
#ifndef OPENISM_TOOLS_SIZE_ARG_H
#define OPENISM_TOOLS_SIZE_ARG_H

/* 0 and the size in bytes, or -EINVAL, or -ERANGE where SO_RCVBUF's int cannot
 * hold it. Leading zeros are just zeros. */
int size_arg_parse(const char *arg, unsigned *bytes);

#endif
