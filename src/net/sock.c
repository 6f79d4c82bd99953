#include "net/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/number.h"

#if defined(__SANITIZE_THREAD__)
char number_marks[NUMBERS];
#endif

static void set_flag(int fd, int level, int option)
{
	int on = 1;

	/* Fails only where the option does not apply to the socket's kind, where it is not needed either. */
	(void)setsockopt(fd, level, option, &on, sizeof(on));
}

static int open_socket(sa_family_t family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

static int close_with(int fd, int error)
{
	close(fd);
	return -error;
}

/* A socket file that a dead process left refuses connections; one that is in use does not. */
static void remove_stale_file(const struct addr *at)
{
	struct stat st;

	if (at->u.any.sa_family != AF_UNIX || stat(at->u.un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = open_socket(AF_UNIX);
	if (fd < 0)
		return;
	if (connect(fd, &at->u.any, at->len) != 0 && errno == ECONNREFUSED)
		unlink(at->u.un.sun_path);
	close(fd);
}

int sock_listen(const struct addr *at, int backlog)
{
	int fd = open_socket(at->u.any.sa_family);

	if (fd < 0)
		return fd;
	if (at->u.any.sa_family != AF_UNIX) {
		set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
		set_flag(fd, IPPROTO_TCP,
		        TCP_NODELAY); /* Linux: accepted sockets inherit it, a call a connection spared */
	}
	if (at->u.any.sa_family == AF_INET6)
		set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	remove_stale_file(at);
	if (bind(fd, &at->u.any, at->len) != 0 || listen(fd, backlog) != 0)
		return close_with(fd, errno);
	return fd;
}

/* By a descriptor: what the path says may be another file by now. */
int sock_give_file(const char *path, uid_t user, gid_t group)
{
	struct stat st;
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno;
	int error = fstat(fd, &st) != 0 ? errno : !S_ISSOCK(st.st_mode) || st.st_nlink != 1 ? EEXIST : 0;
	if (error == 0 && (st.st_uid != user || st.st_gid != group) &&
	        fchownat(fd, "", user, group, AT_EMPTY_PATH) != 0)
		error = errno;
	close(fd);
	return error;
}

int sock_listen_private(const struct addr *at, int backlog, uid_t user, gid_t group)
{
	mode_t before = umask(0177);
	int fd = sock_listen(at, backlog);

	umask(before);
	if (fd < 0)
		return fd;
	int error = sock_give_file(at->u.un.sun_path, user, group);
	if (error == 0)
		return fd;
	unlink(at->u.un.sun_path);
	return close_with(fd, error);
}

int sock_accept(int listener, struct addr *peer)
{
	peer->len = sizeof(peer->u);
	int fd = accept4(listener, &peer->u.any, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int sock_connect_start(const struct addr *to, bool *pending)
{
	int fd = open_socket(to->u.any.sa_family);

	if (fd < 0)
		return fd;
	if (to->u.any.sa_family != AF_UNIX)
		set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	*pending = false;
	if (connect(fd, &to->u.any, to->len) == 0)
		return fd;
	if (errno != EINPROGRESS && errno != EINTR)
		return close_with(fd, errno);
	*pending = true;
	return fd;
}

int sock_connect_waiting(const struct addr *to, int64_t timeout)
{
	struct timeval limit = {
	        .tv_sec = timeout / CLOCK_NS_PER_S, .tv_usec = timeout % CLOCK_NS_PER_S / 1000};

	if (timeout < 0)
		return -ETIMEDOUT;
	int fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (timeout > 0 && limit.tv_sec == 0 && limit.tv_usec == 0)
		limit.tv_usec = 1; /* zero would mean no limit */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
	        connect(fd, &to->u.any, to->len) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
		return close_with(fd, errno == EAGAIN ? ETIMEDOUT : errno);
	return fd;
}

int sock_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return -errno;
	return -error;
}

bool sock_is_quiet(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

uint64_t sock_unsent(int fd)
{
	int bytes = 0;

	/* Fails only where there is no such count. */
	if (ioctl(fd, SIOCOUTQ, &bytes) != 0 || bytes < 0)
		return 0;
	return (uint64_t)bytes;
}

bool sock_is_over(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

enum sock_peer sock_peer(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLRDHUP};

	if (poll(&look, 1, 0) <= 0)
		return SOCK_PEER_THERE;
	/* POLLHUP: both sides are closed, and ours is not. */
	return look.revents & (POLLERR | POLLHUP) ? SOCK_PEER_GONE : SOCK_PEER_ENDED;
}

void sock_linger_none(int fd)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(
	        fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)); /* on failure: an ordinary close */
}

void sock_reset(int fd)
{
	sock_linger_none(fd);
	close(fd);
}

unsigned long sock_raise_limit(unsigned long wanted)
{
	struct rlimit limit;

	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0); /* cannot fail with these arguments */
	if (limit.rlim_cur >= wanted)
		return limit.rlim_cur;
	struct rlimit more = {
	        .rlim_cur = wanted, .rlim_max = wanted > limit.rlim_max ? wanted : limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return wanted;
	more.rlim_cur = more.rlim_max = limit.rlim_max; /* not allowed above the hard limit: go up to it */
	return setrlimit(RLIMIT_NOFILE, &more) == 0 ? more.rlim_cur : limit.rlim_cur;
}
