#include "config.h"

#include "ctl/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The sanitizers' own threads and reports make calls that are none of ours; 32 bit systems have other names for many (mmap2, clock_gettime64). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__LP64__)
#undef HAVE_LIBSECCOMP
#endif

#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>

/* What headers of older kernels lack: the names and numbers of Linux 6.2 (ABI 3), 6.7 (4), 6.10 (5) and 6.12 (6). */
enum { FS_EXECUTE_TO_REFER = (1 << 14) - 1, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15 };
enum { NET_BIND_TCP = 1 << 0, SCOPE_ABSTRACT_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1 };

struct ruleset {
	uint64_t fs, net, scoped;
};

static const char *const readable[] = {"/etc", "/usr", "/lib", "/lib64", "/proc/self", "/proc/sys",
        "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/nscd", "/dev/null",
        "/dev/urandom"};

/* Its size as of that ABI: an older kernel refuses more bytes than it knows. */
static size_t ruleset_for(int abi, struct ruleset *r)
{
	/* ABI 1 has the first 13 rights, ABI 2 the right to link and rename across folders. */
	r->fs = abi == 1 ? FS_EXECUTE_TO_REFER >> 1 : FS_EXECUTE_TO_REFER;
	r->fs |= abi >= 3 ? FS_TRUNCATE : 0;
	r->fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
	r->net = NET_BIND_TCP;
	r->scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return abi >= 6 ? sizeof(*r) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

/* What cannot be reached need not be read: what has no rule stays shut. 0 or an errno. */
static int allow_reading(int ruleset, const char *path)
{
	struct stat st;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? errno : 0;
	int error = fstat(fd, &st) != 0 ? errno : 0;
	struct landlock_path_beneath_attr rule = {.parent_fd = fd,
	        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
	                          (S_ISDIR(st.st_mode) ? LANDLOCK_ACCESS_FS_READ_DIR : 0)};
	if (error == 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		error = errno;
	close(fd);
	return error;
}

/* The ABI's number, 0 where the kernel has none or has it switched off, or -errno. */
static int enter_landlock(void)
{
	struct ruleset rules;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int error = 0;

	if (abi < 1)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, ruleset_for((int)abi, &rules), 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; error == 0 && i < sizeof(readable) / sizeof(readable[0]); i++)
		error = allow_reading(fd, readable[i]);
	if (error == 0 && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		error = errno;
	close(fd);
	return error == 0 ? (int)abi : -error;
}
#else
static int enter_landlock(void)
{
	return 0;
}
#endif

#ifdef HAVE_LIBSECCOMP
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const int allowed[] = {
        /* files and descriptors */
        SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv),
        SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(stat),
        SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(statfs),
        SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
        SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(fcntl), SCMP_SYS(dup),
        SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(splice), SCMP_SYS(sendfile),
        SCMP_SYS(umask), SCMP_SYS(memfd_create) /* a long entry of the journal's */,
        /* sockets; socket itself below, and listen is the parent's */
        SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(sendto),
        SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
        SCMP_SYS(shutdown), SCMP_SYS(socketpair), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
        SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
        /* waiting */
        SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create1),
        SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
        SCMP_SYS(eventfd2), SCMP_SYS(signalfd4), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
        SCMP_SYS(io_uring_register), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime),
        SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
        /* memory; mmap and mprotect below */
        SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(membarrier),
        /* threads; clone below */
        SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list),
        SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
        SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu), SCMP_SYS(gettid),
        SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(prctl), SCMP_SYS(arch_prctl),
        SCMP_SYS(restart_syscall),
        /* signals; tgkill below */
        SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigtimedwait),
        SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack),
        /* who and how much */
        SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
        SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(prlimit64),
        SCMP_SYS(getrlimit), SCMP_SYS(setrlimit), SCMP_SYS(getrusage), SCMP_SYS(sysinfo), SCMP_SYS(uname),
        SCMP_SYS(getrandom)};

/* Nobody calls these by mistake: who does has taken the process over. */
static const int deadly[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),
        SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(mount),
        SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns), SCMP_SYS(unshare),
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
        SCMP_SYS(open_by_handle_at), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
        SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
        SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
        SCMP_SYS(reboot), SCMP_SYS(swapon)};

#ifdef __s390__
#define CLONE_FLAGS SCMP_A1
#else
#define CLONE_FLAGS SCMP_A0
#endif

/* Calls that are harmless with some arguments only. */
static int add_rules_with_arguments(scmp_filter_ctx filter)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK /* getaddrinfo */};
	static const unsigned long requests[] = {FIONREAD, FIONBIO, SIOCOUTQ, TCGETS /* isatty */};
	int error = 0;

	for (size_t i = 0; error == 0 && i < sizeof(families) / sizeof(families[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	for (size_t i = 0; error == 0 && i < sizeof(requests) / sizeof(requests[0]); i++)
		error = seccomp_rule_add(
		        filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, requests[i]));
	/* Threads, no processes. */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		        CLONE_FLAGS(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
		        CLONE_FLAGS(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	/* Memory is either written or run. */
	for (int call = 0; error == 0 && call < 4; call++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW,
		        call % 2 == 0 ? SCMP_SYS(mmap) : SCMP_SYS(mprotect), 1,
		        SCMP_A2(SCMP_CMP_MASKED_EQ, call < 2 ? PROT_WRITE : PROT_EXEC, 0));
	/* For abort(3). */
	if (error == 0)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	return error;
}

/* A call that this architecture does not have needs no rule. */
static int add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
	int error = 0;

	for (size_t i = 0; (error == 0 || error == -EDOM) && i < n; i++)
		error = seccomp_rule_add(filter, action, calls[i], 0);
	return error == -EDOM ? 0 : error;
}

/* 1, 0 where the kernel has none, or -errno. */
static int enter_seccomp(void)
{
	/* glibc takes ENOSYS for an older kernel and falls back, from clone3 to clone too, whose flags can be looked at. */
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));

	if (!filter)
		return -ENOMEM;
	int error = add_rules(filter, SCMP_ACT_ALLOW, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (error == 0)
		error = add_rules(filter, SCMP_ACT_KILL_PROCESS, deadly, sizeof(deadly) / sizeof(deadly[0]));
	if (error == 0)
		error = add_rules_with_arguments(filter);
	if (error == 0)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error == 0 ? 1 : error == -ENOSYS || error == -EINVAL ? 0 : error;
}
#else
static int enter_seccomp(void)
{
	return 0;
}
#endif

int sandbox_enter(char text[SANDBOX_TEXT_BYTES])
{
	int abi = enter_landlock(),
	    filters = enter_seccomp(); /* the one holds where the other cannot be had */

	if (abi < 0 || filters < 0) {
		snprintf(text, SANDBOX_TEXT_BYTES, "%s: %s%s", abi < 0 ? "Landlock" : "seccomp",
		        strerror(abi < 0 ? -abi : -filters),
		        filters > 0 ? " (seccomp holds)"
		        : abi > 0   ? " (Landlock holds)"
		                    : "");
		return abi < 0 ? abi : filters;
	}
	if (abi > 0)
		snprintf(text, SANDBOX_TEXT_BYTES, "Landlock (ABI %d)%s", abi, filters ? " and seccomp" : "");
	else
		snprintf(text, SANDBOX_TEXT_BYTES, "%s", filters ? "seccomp" : "nothing");
	return (abi > 0) + filters;
}
