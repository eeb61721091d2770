/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fallback (decline) reason codes: SMC's own (smc-protocol.md, section 3) and,
 * from 0x0a000000 on, openism's for what SMC has no word for. One list, used by
 * library, daemon and tools: X(code, symbol, name in "smcd stats", text).
 */
#ifndef OPENISM_FABRIC_REASON_H
#define OPENISM_FABRIC_REASON_H

/* clang-format off: a table */
#define FAB_REASONS(X)                                                                          \
	X(0x01010000u, MEM, "MEMORY", "no memory for the connection's buffers")                 \
	X(0x02010000u, TIMEOUT_CL, "TIMEOUT_CL", "timeout waiting for confirm link")            \
	X(0x02020000u, TIMEOUT_AL, "TIMEOUT_AL", "timeout waiting for add link")                \
	X(0x03000000u, CNFERR, "CNF_ERR", "configuration error")                                \
	X(0x03010000u, PEERNOSMC, "PEER_NO_SMC", "peer does not support SMC")                   \
	X(0x03020000u, IPSEC, "IPSEC", "IPsec in use")                                          \
	X(0x03030000u, NOSMCDEV, "NOSMCDEV", "no SMC device found")                             \
	X(0x03030001u, NOSMCDDEV, "NOSMCDDEV", "no SMC-D device found")                         \
	X(0x03030002u, NOSMCRDEV, "NOSMCRDEV", "no SMC-R device found")                         \
	X(0x03030003u, NOISM2SUPP, "NOISM2SUPP", "hardware has no ISMv2 support")               \
	X(0x03030004u, NOV2EXT, "NOV2EXT", "peer sent no SMCv2 extension")                      \
	X(0x03030005u, NOV2DEXT, "NOV2DEXT", "peer sent no SMC-Dv2 extension")                  \
	X(0x03030006u, NOSEID, "NOSEID", "peer sent no SEID")                                   \
	X(0x03030007u, NOSMCD2DEV, "NOSMCD2DEV", "no matching SMC-Dv2 device")                  \
	X(0x03030008u, NOUEID, "NOUEID", "peer sent no UEID")                                   \
	X(0x03030009u, RELEASEERR, "RELEASEERR", "release negotiation failed")                  \
	X(0x0303000au, MAXCONNERR, "MAXCONNERR", "max. connections negotiation failed")         \
	X(0x0303000bu, MAXLINKERR, "MAXLINKERR", "max. links negotiation failed")               \
	X(0x03040000u, MODEUNSUPP, "MODEUNSUPP", "SMC modes of the peers differ")               \
	X(0x03050000u, RMBE_EC, "RMBE_EC", "peer has an eyecatcher in its RMBE")                \
	X(0x03060000u, OPTUNSUPP, "OPTUNSUPP", "socket option or call not supported with SMC")  \
	X(0x03070000u, DIFFPREFIX, "DIFFPREFIX", "IP subnet or prefix of the peers differ")     \
	X(0x03080000u, GETVLANERR, "GETVLANERR", "error getting the VLAN ID")                   \
	X(0x03090000u, ISMVLANERR, "ISMVLANERR",                                                \
	  "error registering the VLAN ID on the ISM device")                                    \
	X(0x030a0000u, NOACTLINK, "NOACTLINK", "no active SMC-R link in the link group")        \
	X(0x030b0000u, NOSRVLINK, "NOSRVLINK", "SMC-R link of the server not found")            \
	X(0x030c0000u, VERSMISMAT, "VERSMISMAT", "SMC version mismatch")                        \
	X(0x030d0000u, MAX_DMB, "MAX_DMB", "SMC-D buffer (DMB) limit reached")                  \
	X(0x030e0000u, NOROUTE, "NOROUTE", "no route to the peer (SMC-Rv2)")                    \
	X(0x030f0000u, NOINDIRECT, "NOINDIRECT", "indirect path mismatch (SMC-Rv2)")            \
	X(0x04000000u, SYNCERR, "SYNCERR", "synchronization error")                             \
	X(0x05000000u, PEERDECL, "PEERDECL", "peer declined during handshake")                  \
	X(0x09990000u, INTERR, "INTERR", "internal error")                                      \
	X(0x09990001u, ERR_RTOK, "ERR_RTOK", "rtoken handling failed")                          \
	X(0x09990002u, ERR_RDYLNK, "ERR_RDYLNK", "link not ready")                              \
	X(0x09990003u, ERR_REGBUF, "ERR_REGBUF", "buffer registration failed")                  \
	X(0x0a010000u, OI_NODAEMON, "OI_NODAEMON",                                              \
	  "openism: no ismd when the connection was made")                                      \
	X(0x0a020000u, OI_NOPROOF, "OI_NOPROOF", "openism: ismd could not verify the socket")   \
	X(0x0a030000u, OI_EXEC, "OI_EXEC",                                                      \
	  "openism: returned to TCP, socket handed to another program")                         \
	X(0x0a040000u, OI_PASSED, "OI_PASSED",                                                  \
	  "openism: returned to TCP, socket passed over a UNIX socket")                         \
	X(0x0a050000u, OI_OOB, "OI_OOB", "openism: on TCP, urgent data in use")                 \
	X(0x0a060000u, OI_BYPASS, "OI_BYPASS", "openism: on TCP, bytes moved past the library") \
	X(0x0a070000u, OI_SELF, "OI_SELF", "openism: socket connected to itself")               \
	X(0x0a080000u, OI_ROWS, "OI_ROWS", "openism: connection table full")                    \
	X(0x0a090000u, OI_ASYNC, "OI_ASYNC", "openism: on TCP, signal-driven I/O in use")       \
	X(0x0a0a0000u, OI_POLICY, "OI_POLICY", "openism: on TCP by policy of ism.conf")         \
	X(0x0a0b0000u, OI_QUOTA, "OI_QUOTA", "openism: the quota of a user is used up")         \
	X(0x0a0c0000u, OI_FAMILY, "OI_FAMILY",                                                  \
	  "openism: root shares its table with processes of other users")
/* clang-format on */

enum fab_reason {
	FAB_REASON_NONE = 0,
#define FAB_REASON_ENUM(code, sym, name, text) FAB_REASON_##sym = (int)(code),
	FAB_REASONS(FAB_REASON_ENUM)
#undef FAB_REASON_ENUM
};

#endif
