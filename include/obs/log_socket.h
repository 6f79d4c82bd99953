/*
 * Lines as datagrams: to this machine's syslog, as "<PRI>Mmm dd hh:mm:ss TAG[PID]: LINE" (RFC 3164 section 4.1 without the host, as syslog(3) writes it); to another machine's over UDP
 * (RFC 5424, RFC 5426); or to the journal, as fields (systemd's "Native Journal Protocol"). Nothing here waits.
 */
#ifndef TPLB_OBS_LOG_SOCKET_H
#define TPLB_OBS_LOG_SOCKET_H

#include <stdbool.h>

#include "base/diag.h"
#include "base/str.h"

enum log_socket_kind { LOG_SOCKET_NONE, LOG_SOCKET_SYSLOG, LOG_SOCKET_REMOTE, LOG_SOCKET_JOURNAL };

/* Whose lines they are. Constant. */
struct log_identity {
	const char *tag;  /* the program's name: a word */
	int facility;     /* syslog's: 0 to 23 */
	const char *what; /* "access" or "diagnostics": the journal's field TPLB_LOG */
	bool marked; /* each line begins with a mark, which is taken off; otherwise they are information */
};

/* "syslog", "journald", or one of them with ":" and the path of the socket; or "syslog:" and a numeric address with a port. */
enum log_socket_kind log_socket_kind(const char *name);

/* What stands behind the colon is a path from "/" on, or such an address where there may be one. */
bool log_socket_is_right(const char *name);

/* Connects to the one that is named. A descriptor, or -errno: -ENOENT or -ECONNREFUSED when nobody is there. */
int log_socket_open(const char *name);

/* Says how important the line that follows is: "<3>", as syslog and the journal know it. Three bytes. */
enum { LOG_MARK_BYTES = 3 };
void log_mark_write(enum diag_level level, char out[LOG_MARK_BYTES]);

/* Standard error is the journal's, as JOURNAL_STREAM says (systemd.exec(5)): it understands marks there. */
bool log_stderr_is_journal(void);

/*
 * Sends one line, without its newline, in two parts, the second of which may be empty. 0 or -errno: -EAGAIN when there is no room for now. One that is too long for the socket is cut for syslog, and goes to the journal as a file in memory.
 */
int log_socket_send(int fd, enum log_socket_kind kind, const struct log_identity *id, struct str parts[2]);

#endif
