#include "net/pass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for one descriptor, aligned for its header. */
union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

int pass_send(int sock, const void *bytes, size_t len, int fd)
{
	struct iovec part = {(void *)(uintptr_t)bytes, len};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control = {0};
	ssize_t n;

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int pass_send_now(int sock, const void *bytes, size_t len)
{
	return send(sock, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

ssize_t pass_recv(int sock, void *bytes, size_t room, int *fd)
{
	struct iovec part = {bytes, room};
	union control control;
	/* Room for one and no more: its padding would take a second, of which nobody would know. */
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = CMSG_LEN(sizeof(*fd))};
	ssize_t n;

	*fd = -1;
	do
		n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	if ((message.msg_flags & MSG_TRUNC) == 0)
		return n;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return -EMSGSIZE;
}
