/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smc_run for a systemd service: a drop-in beside the unit gives the service the
 * environment that smc_run would give it.
 *
 * Both look at $OPENISM_UNIT_DIR, for tests only: that directory then stands for
 * all directories of units, nobody has to be root, and systemd is left alone.
 */
#ifndef OPENISM_TOOLS_RUN_UNIT_H
#define OPENISM_TOOLS_RUN_UNIT_H

/*
 * Write UNIT.d/50-openism.conf for @library (an absolute path), with
 * SMC_DEBUG (if 1), SMC_RCVBUF, SMC_SNDBUF and ISM_RUNTIME_DIR of our environment,
 * and have systemd read it. Says on stdout what was done, what is to do next and
 * what stands in the way, errors on stderr. The exit status: 0, or 1.
 */
int run_unit_enable(const char *unit, const char *library);

/* Remove that drop-in, and none that somebody else wrote. Likewise. */
int run_unit_disable(const char *unit);

#endif
