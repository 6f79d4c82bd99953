#include "origin/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<linux/openat2.h>) && defined(SYS_openat2)
#include <linux/openat2.h>
#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif
#define HAVE_OPENAT2 1
#endif
#endif

#include "http/date.h"
#include "origin/answer.h"
#include "origin/conditions.h"
#include "origin/path.h"
#include "origin/types.h"

enum {
	FIELDS_ROOM = 384, /* the fields that describe a file */
	SMALL_FILE =
	        8 *
	        1024, /* up to so many bytes go out with the head: one packet, one call less than sendfile */
	SETTLED_AFTER = 2, /* seconds without a change, after which validators are strong */
	OPEN_TRIES = 8
};

/* Not blocking: a FIFO must not hold a worker before we see what it is. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

#ifdef HAVE_OPENAT2
static int open_beneath(int root, const char *name, int flags, uint64_t resolve)
{
	struct open_how how = {
	        .flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};
	long fd;
	int tries = resolve & RESOLVE_CACHED ? OPEN_TRIES : 0;

	/* EAGAIN: somewhere something was renamed while the kernel looked at a "..". Or, for RESOLVE_CACHED, a disk would have to be asked. */
	do
		fd = syscall(SYS_openat2, root, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < OPEN_TRIES);
	return fd < 0 ? -errno : (int)fd;
}
#else
#define RESOLVE_CACHED 0
static int open_beneath(int root, const char *name, int flags, uint64_t resolve)
{
	(void)resolve;
	(void)root;
	(void)name;
	(void)flags;
	return -ENOSYS;
}
#endif

bool files_have_openat2(int root)
{
	int fd = open_beneath(root, ".", O_PATH | O_CLOEXEC, 0);

	if (fd < 0)
		return false; /* ENOSYS from an old kernel, EPERM from an old sandbox */
	close(fd);
	return true;
}

/* From directory `at`, which is closed unless it is the root. */
static int step_into(int root, int at, const char *part, int flags)
{
	int fd = openat(at, part, flags | O_NOFOLLOW);
	int error = errno;

	if (at != root)
		close(at);
	return fd < 0 ? -error : fd;
}

/* One part after the other, and no link anywhere: then nothing leads out. */
static int open_walking(int root, const char *name)
{
	char part[PATH_ROOM];
	int at = root;

	for (;;) {
		size_t len = strcspn(name, "/");

		if (len >= sizeof(part))
			return at == root ? -ENAMETOOLONG : (close(at), -ENAMETOOLONG);
		memcpy(part, name, len);
		part[len] = '\0';
		if (len == 0 || strcmp(part, "..") == 0)
			return at == root ? -ENOENT : (close(at), -ENOENT);
		if (name[len] == '\0')
			return step_into(root, at, part, OPEN_FLAGS);
		at = step_into(root, at, part, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (at < 0)
			return at;
		name += len + 1;
	}
}

int files_open(int root, const char *name, bool openat2)
{
	return openat2 ? open_beneath(root, name, OPEN_FLAGS, 0) : open_walking(root, name);
}

/* Opening and reading may have to wait for a disk. A loop does itself only what the kernel has in memory; the rest is a helper's. */
struct open_job {
	int root;
	bool openat2;
	const char *name;
	int result;
};

static void run_open(void *arg)
{
	struct open_job *job = arg;

	job->result = files_open(job->root, job->name, job->openat2);
}

static int open_anywhere(struct request *r, const char *name)
{
	struct open_job job = {r->origin->root, r->origin->openat2, name, -EAGAIN};

	if (r->worker->is_loop && job.openat2 && RESOLVE_CACHED != 0)
		job.result = open_beneath(job.root, name, OPEN_FLAGS, RESOLVE_CACHED);
	if (job.result == -EAGAIN || job.result == -EINVAL) /* EINVAL: a kernel before 5.12 */
		io_call(r->worker->io, run_open, &job);
	return job.result;
}

struct read_job {
	int fd;
	char *to;
	size_t count;
	off_t offset;
	ssize_t result;
};

static void run_read(void *arg)
{
	struct read_job *job = arg;

	job->result = pread(job->fd, job->to, job->count, job->offset);
}

static ssize_t read_anywhere(struct request *r, int fd, char *to, size_t count, off_t offset)
{
	struct read_job job = {fd, to, count, offset, -1};
	struct iovec part = {to, count};

	if (r->worker->is_loop)
		job.result = preadv2(fd, &part, 1, offset, RWF_NOWAIT);
	if (job.result != (ssize_t)count)
		io_call(r->worker->io, run_read, &job);
	return job.result;
}

/* A file that is open, and what is said of it. */
struct file {
	int fd;
	struct stat st;
	struct str type;
	struct representation now;
	char etag[64];
	char fields[FIELDS_ROOM]; /* ETag, Last-Modified, Accept-Ranges, and Content-Range behind them */
	size_t fields_len;
};

static void describe(struct file *f, struct str name)
{
	char date[HTTP_DATE_LEN + 1];
	time_t now = time(NULL);

	int n = snprintf(f->etag, sizeof(f->etag), "\"%llx.%lx-%llx-%llx\"", (long long)f->st.st_mtim.tv_sec,
	        f->st.st_mtim.tv_nsec, (unsigned long long)f->st.st_size, (unsigned long long)f->st.st_ino);
	f->now.etag = (struct str){f->etag, (size_t)n};
	f->now.size = (uint64_t)f->st.st_size;
	f->now.modified = f->st.st_mtim.tv_sec < now ? f->st.st_mtim.tv_sec
	                                             : now; /* 8.8.2.1: never later than Date */
	f->now.settled = now - f->st.st_mtim.tv_sec >= SETTLED_AFTER;
	f->type = types_of(name);
	http_date_format(f->now.modified, date);
	n = snprintf(f->fields, sizeof(f->fields),
	        "ETag: %s%s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", f->now.settled ? "" : "W/",
	        f->etag, date);
	f->fields_len = (size_t)n;
}

static void add_content_range(struct file *f, const struct outcome *outcome)
{
	int n = snprintf(f->fields + f->fields_len, sizeof(f->fields) - f->fields_len,
	        "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)outcome->first,
	        (unsigned long long)outcome->last, (unsigned long long)f->now.size);

	f->fields_len += (size_t)n;
}

static void send_contents(struct request *r, struct file *f, off_t offset, size_t count)
{
	if (r->is_head || r->cut || count == 0)
		return;
	int error = io_send_file(r->worker->io, r->conn->fd, f->fd, &offset, count, ORIGIN_CLIENT_TIMEOUT);
	if (error == -ETIMEDOUT)
		COUNT(r->worker->counters, client_timeout);
	else if (error < 0 && error != -EIO)
		COUNT(r->worker->counters, client_left);
	if (error < 0)
		r->cut = true;
	else
		counter_add(r->worker->counters, COUNTER_bytes_out, count);
}

/* 200 or 206 with bytes [offset, offset + count). */
static void send_file(struct request *r, struct file *f, int status, off_t offset, size_t count)
{
	struct answer a = {.status = status,
	        .framing = ANSWER_LENGTH,
	        .length = count,
	        .type = f->type,
	        .extra = {f->fields, f->fields_len}};
	char small[SMALL_FILE];
	struct iovec part = {small, count};

	if (r->is_head || count > sizeof(small)) {
		answer_start(r, &a, NULL, 0);
		send_contents(r, f, offset, count);
		return;
	}
	ssize_t n = read_anywhere(r, f->fd, small, count, offset);
	if (n != (ssize_t)count) /* it shrank since fstat, or cannot be read */
		answer_text(r, 500, STR("the file changed while it was read"), STR(""));
	else
		answer_start(r, &a, &part, 1);
}

static void answer_unsatisfiable(struct request *r, const struct file *f)
{
	char line[64];
	int n = snprintf(
	        line, sizeof(line), "Content-Range: bytes */%llu\r\n", (unsigned long long)f->now.size);

	answer_text(r, 416, STR(""), (struct str){line, (size_t)n});
}

static void answer_file(struct request *r, struct file *f)
{
	struct outcome outcome = conditions_decide(&r->head, &f->now);
	struct answer fresh = {.status = 304, .framing = ANSWER_NONE, .extra = {f->fields, f->fields_len}};

	switch (outcome.kind) {
	case OUTCOME_WHOLE:
		send_file(r, f, 200, 0, (size_t)f->now.size);
		break;
	case OUTCOME_PART:
		add_content_range(f, &outcome);
		send_file(r, f, 206, (off_t)outcome.first, (size_t)(outcome.last - outcome.first + 1));
		break;
	case OUTCOME_NOT_MODIFIED:
		answer_start(r, &fresh, NULL, 0);
		break;
	case OUTCOME_FAILED:
		answer_text(r, 412, STR(""), STR(""));
		break;
	case OUTCOME_UNSATISFIABLE:
		answer_unsatisfiable(r, f);
		break;
	}
}

static void answer_open_error(struct request *r, int error)
{
	switch (error) {
	case -EACCES:
	case -EPERM:
		answer_text(r, 403, STR(""), STR(""));
		break;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		answer_text(r, 503, STR("out of descriptors or memory"), STR(""));
		break;
	case -EIO:
		answer_text(r, 500, STR(""), STR(""));
		break;
	default: /* nothing there, or it leads out */
		answer_text(r, 404, STR(""), STR(""));
	}
}

/*
 * 301 to the directory's name with a slash. Written anew from the name, so that neither "//elsewhere" nor an odd byte gets
 * into Location.
 */
static void answer_directory(struct request *r, const char *name)
{
	struct buf *line = buf_store_get(&r->worker->bodies);

	if (!line) {
		answer_open_error(r, -ENOMEM);
		return;
	}
	if (buf_add_str(line, STR("Location: /")) && path_encode(str_of(name), line) &&
	        buf_add_str(line, STR("/")) && buf_add_str(line, r->query) && buf_add_str(line, STR("\r\n")))
		answer_bytes(
		        r, 301, STR("text/plain; charset=utf-8"), STR("Moved Permanently\n"), buf_str(line));
	else
		answer_text(r, 414, STR(""), STR(""));
	buf_store_put(&r->worker->bodies, line);
}

/* Opens the name, and the index of a directory. The file's descriptor, or -errno; -EISDIR: the name lacks its slash. */
static int open_file(struct request *r, struct file *f, char name[PATH_ROOM], bool directory)
{
	static const char index[] = "/index.html";
	if (directory) {
		size_t len = strlen(name);

		if (len + sizeof(index) > PATH_ROOM)
			return -ENAMETOOLONG;
		memcpy(name + len, index, sizeof(index));
	}
	f->fd = open_anywhere(r, name);
	if (f->fd < 0)
		return f->fd;
	int error = fstat(f->fd, &f->st) != 0 ? -errno : 0;
	if (error == 0 && S_ISDIR(f->st.st_mode))
		error = directory ? -ENOENT : -EISDIR;
	else if (error == 0 && !S_ISREG(f->st.st_mode))
		error = -ENOENT;
	if (error < 0)
		close(f->fd);
	return error < 0 ? error : f->fd;
}

void files_answer(struct request *r, struct str decoded)
{
	struct file f;
	char name[PATH_ROOM];
	bool directory;

	if (r->origin->root < 0 || !path_relative(decoded, name, &directory)) {
		answer_text(r, 404, STR(""), STR(""));
		return;
	}
	int fd = open_file(r, &f, name, directory);
	if (fd == -EISDIR) {
		answer_directory(r, name);
	} else if (fd < 0) {
		answer_open_error(r, fd);
	} else {
		describe(&f, str_of(name));
		answer_file(r, &f);
		close(fd);
	}
}
