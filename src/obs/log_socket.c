#include "obs/log_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { INFORMATION = 6, HEADER_BYTES = 256, SYSLOG_CUT_LEAST = 256, HOST_BYTES = 65 };

static const struct {
	const char *name, *path;
} sockets[] = {
        [LOG_SOCKET_SYSLOG] = {"syslog", "/dev/log"},
        [LOG_SOCKET_JOURNAL] = {"journald", "/run/systemd/journal/socket"},
};

/* The socket's path; NULL: the name is not of this kind. */
static const char *path_of(const char *name, enum log_socket_kind kind)
{
	size_t len = strlen(sockets[kind].name);

	if (strncmp(name, sockets[kind].name, len) != 0)
		return NULL;
	if (name[len] == '\0')
		return sockets[kind].path;
	return name[len] == ':' ? name + len + 1 : NULL;
}

enum log_socket_kind log_socket_kind(const char *name)
{
	const char *path = path_of(name, LOG_SOCKET_SYSLOG);

	if (path)
		return path[0] == '/' ? LOG_SOCKET_SYSLOG : LOG_SOCKET_REMOTE;
	return path_of(name, LOG_SOCKET_JOURNAL) ? LOG_SOCKET_JOURNAL : LOG_SOCKET_NONE;
}

/* "192.0.2.1:514" or "[2001:db8::1]:514". The length of the address in *at, 0: it is none. */
static socklen_t parse_remote(const char *text, struct sockaddr_storage *at)
{
	char host[INET6_ADDRSTRLEN], *end = NULL;
	const char *colon = strrchr(text, ':');
	unsigned long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtoul(colon + 1, &end, 10) : 0;
	bool is_six = colon && colon > text + 1 && text[0] == '[' && colon[-1] == ']';
	int len = colon ? (int)(colon - text) - (is_six ? 2 : 0) : 0;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)at;
	struct sockaddr_in *four = (struct sockaddr_in *)at;

	if (port < 1 || port > UINT16_MAX || *end || len < 1 || (size_t)len >= sizeof(host))
		return 0;
	snprintf(host, sizeof(host), "%.*s", len, text + (is_six ? 1 : 0));
	*at = (struct sockaddr_storage){.ss_family = is_six ? AF_INET6 : AF_INET};
	four->sin_port = htons((uint16_t)port); /* in the same place of both */
	if (is_six)
		return inet_pton(AF_INET6, host, &six->sin6_addr) == 1 ? sizeof(*six) : 0;
	return inet_pton(AF_INET, host, &four->sin_addr) == 1 ? sizeof(*four) : 0;
}

bool log_socket_is_right(const char *name)
{
	enum log_socket_kind kind = log_socket_kind(name);
	struct sockaddr_storage at;

	if (kind == LOG_SOCKET_REMOTE)
		return parse_remote(path_of(name, LOG_SOCKET_SYSLOG), &at) > 0;
	return kind != LOG_SOCKET_NONE && path_of(name, kind)[0] == '/';
}

/* The length of the address in *at, 0: there is none. */
static socklen_t address_of(const char *name, struct sockaddr_storage *at)
{
	enum log_socket_kind kind = log_socket_kind(name);
	struct sockaddr_un *local = (struct sockaddr_un *)at;

	if (!log_socket_is_right(name))
		return 0;
	if (kind == LOG_SOCKET_REMOTE)
		return parse_remote(path_of(name, LOG_SOCKET_SYSLOG), at);
	size_t len = strlen(path_of(name, kind));
	if (len >= sizeof(local->sun_path))
		return 0;
	*at = (struct sockaddr_storage){.ss_family = AF_UNIX};
	memcpy(local->sun_path, path_of(name, kind), len);
	return sizeof(*local);
}

int log_socket_open(const char *name)
{
	struct sockaddr_storage at;
	socklen_t len = address_of(name, &at);

	if (len == 0)
		return -EINVAL;
	int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&at, len) == 0)
		return fd;
	int error = errno;
	close(fd);
	return -error;
}

void log_mark_write(enum diag_level level, char out[LOG_MARK_BYTES])
{
	static const char severities[] = {
	        [DIAG_ERROR] = '3', [DIAG_WARNING] = '4', [DIAG_INFO] = '6', [DIAG_DEBUG] = '7'};

	out[0] = '<';
	out[1] = severities[level];
	out[2] = '>';
}

bool log_stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Takes the mark off the line's front. */
static int take_mark(struct str parts[2])
{
	if (parts[0].len < LOG_MARK_BYTES || parts[0].at[0] != '<' || parts[0].at[2] != '>' ||
	        parts[0].at[1] < '0' || parts[0].at[1] > '7')
		return INFORMATION;
	int severity = parts[0].at[1] - '0';
	parts[0] = str_from(parts[0], LOG_MARK_BYTES);
	return severity;
}

static struct iovec piece(struct str s)
{
	return (struct iovec){(void *)(uintptr_t)s.at, s.len};
}

static int send_pieces(int fd, struct iovec *pieces, size_t n)
{
	struct msghdr message = {.msg_iov = pieces, .msg_iovlen = n};
	ssize_t sent;

	do
		sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* syslog ------------------------------------------------------------------------------------------------------------*/

/* RFC 3164, as syslog(3) has it: local time, no host. */
static int write_local_header(char *out, const struct log_identity *id, int severity)
{
	static const char months[][4] = {
	        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm t;

	localtime_r(&now, &t);
	return snprintf(out, HEADER_BYTES,
	        "<%d>%s %2d %02d:%02d:%02d %.64s[%d]: ", id->facility * 8 + severity, months[t.tm_mon],
	        t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, id->tag, (int)getpid());
}

/* RFC 5424 section 6.2; no message id, no structured data. */
static int write_remote_header(char *out, const struct log_identity *id, int severity)
{
	char host[HOST_BYTES] = "-", at[32];
	struct timespec now;
	struct tm t;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &t);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &t);
	(void)gethostname(host, sizeof(host) - 1); /* "-": not known */
	return snprintf(out, HEADER_BYTES, "<%d>1 %s.%06ldZ %.64s %.32s %d - - ", id->facility * 8 + severity,
	        at, now.tv_nsec / 1000, host, id->tag, (int)getpid());
}

static int send_syslog(int fd, bool remote, const struct log_identity *id, int severity, struct str parts[2])
{
	char header[HEADER_BYTES];
	int len = remote ? write_remote_header(header, id, severity)
	                 : write_local_header(header, id, severity);
	struct iovec pieces[] = {{header, (size_t)len}, piece(parts[0]), piece(parts[1])};
	int error = send_pieces(fd, pieces, 3);
	/* The socket's buffer is smaller than it: better a part than nothing, or the same error for ever. */
	while (error == -EMSGSIZE && pieces[1].iov_len > SYSLOG_CUT_LEAST) {
		pieces[1].iov_len /= 2;
		error = send_pieces(fd, pieces, 2);
	}
	return error;
}

/* The journal -------------------------------------------------------------------------------------------------------*/

static int send_descriptor(int fd, int file)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct msghdr message = {.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
	ssize_t sent;

	control.header = (struct cmsghdr){
	        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	do
		sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

/* What no datagram has room for: the journal takes a file in memory that nobody can change any more. */
static int send_as_file(int fd, const struct iovec *pieces, int n)
{
	size_t len = 0;
	int file = memfd_create("tplb-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (file < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		len += pieces[i].iov_len;
	int error = 0;
	if (writev(file, pieces, n) != (ssize_t)len ||
	        fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		error = -EIO;
	if (error == 0)
		error = send_descriptor(fd, file);
	close(file);
	return error;
}

static int send_journal(int fd, const struct log_identity *id, int severity, struct str parts[2])
{
	char fields[HEADER_BYTES];
	int len = snprintf(fields, sizeof(fields),
	        "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%.64s\nTPLB_LOG=%.16s\n", severity,
	        id->facility, id->tag, id->what);
	struct iovec pieces[] = {
	        piece(STR("MESSAGE=")), piece(parts[0]), piece(parts[1]), {fields, (size_t)len}};
	int error = send_pieces(fd, pieces, 4);

	return error == -EMSGSIZE ? send_as_file(fd, pieces, 4) : error;
}

int log_socket_send(int fd, enum log_socket_kind kind, const struct log_identity *id, struct str parts[2])
{
	struct str line[2] = {parts[0], parts[1]};
	int severity = id->marked ? take_mark(line) : INFORMATION;

	return kind == LOG_SOCKET_JOURNAL ? send_journal(fd, id, severity, line)
	                                  : send_syslog(fd, kind == LOG_SOCKET_REMOTE, id, severity, line);
}
