#include "ctl/started.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/signals.h"

static const char self[] = "/proc/self/exe";

static bool is_this_program(const char *path)
{
	struct stat it, own;

	return stat(path, &it) == 0 && stat(self, &own) == 0 && it.st_dev == own.st_dev &&
	       it.st_ino == own.st_ino;
}

/* The first along PATH that is this program; NULL: none is. */
static char *find_along_path(const char *name)
{
	const char *at = getenv("PATH");
	char *path = NULL;

	while (at && *at) {
		size_t len = strcspn(at, ":");

		if (asprintf(&path, "%.*s%s%s", (int)len, at, len > 0 ? "/" : "./", name) < 0)
			return NULL;
		if (is_this_program(path))
			return path;
		free(path);
		at += len + (at[len] == ':');
	}
	return NULL;
}

/* The kernel's name for it. Where it was replaced already, since it was started just then, what stands in its place has that name. */
static char *ask_kernel(const char *otherwise)
{
	static const char deleted[] = " (deleted)";
	char path[4096];
	ssize_t n = readlink(self, path, sizeof(path) - 1);
	size_t len = n > 0 ? (size_t)n : 0, tail = sizeof(deleted) - 1;

	path[len] = '\0';
	if (len > tail && strcmp(path + len - tail, deleted) == 0 && !is_this_program(path))
		path[len - tail] = '\0';
	return strdup(len > 0 ? path : otherwise);
}

void started_note(struct started *s, char *const *argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	s->argv = calloc(n + 1, sizeof(*s->argv));
	if (s->argv)
		memcpy(s->argv, argv, n * sizeof(*s->argv));
	if (n == 0)
		s->path = ask_kernel("");
	else if (strchr(argv[0], '/'))
		s->path = is_this_program(argv[0]) ? strdup(argv[0]) : ask_kernel(argv[0]);
	else
		s->path = find_along_path(argv[0]);
	if (!s->path)
		s->path = ask_kernel(n > 0 ? argv[0] : "");
}

void started_free(struct started *s)
{
	free(s->path);
	free(s->argv);
}

static bool is_called(const char *variable, const char *name)
{
	size_t len = strcspn(name, "=");

	return strncmp(variable, name, len) == 0 && variable[len] == '=';
}

/* Ours, with one more in front; freed by the caller, the texts are not. Whose watchdog it is the manager says by pid, which will be another one. */
static char **environment(const char *variable)
{
	extern char **environ;
	size_t n = 0, kept = 1;

	while (environ[n])
		n++;
	char **all = calloc(n + 2, sizeof(*all));
	if (!all)
		return NULL;
	all[0] = (char *)(uintptr_t)variable;
	for (size_t i = 0; i < n; i++)
		if (!is_called(environ[i], variable) && !is_called(environ[i], "WATCHDOG_PID"))
			all[kept++] = environ[i];
	return all;
}

/* As this process was started, and not as its threads for serving run. 0 or an errno. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	const struct sched_param none = {.sched_priority = 0};
	sigset_t set;

	signals_set(&set);
	int error = posix_spawnattr_setsigmask(attributes, &set);
	if (error == 0)
		error = posix_spawnattr_setschedpolicy(attributes, SCHED_OTHER);
	if (error == 0)
		error = posix_spawnattr_setschedparam(attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setflags(
		        attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDULER);
	return error;
}

int started_spawn(const struct started *s, const char *variable, const int *inherited, size_t count,
        int errors, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	char **variables = environment(variable);
	int error = variables && s->path && s->argv ? posix_spawn_file_actions_init(&actions) : ENOMEM;

	if (error != 0) {
		free(variables);
		return error;
	}
	error = posix_spawnattr_init(&attributes);
	if (error == 0) {
		error = set_attributes(&attributes);
		for (size_t i = 0; error == 0 && i < count;
		        i++) /* to its own number: it loses close-on-exec */
			error = posix_spawn_file_actions_adddup2(&actions, inherited[i], inherited[i]);
		if (error == 0)
			error = posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
		if (error == 0)
			error = posix_spawn(pid, s->path, &actions, &attributes, s->argv, variables);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	free(variables);
	return error;
}

void started_become(const struct started *s, pid_t like, const char *variable)
{
	char program[64];
	char **variables = environment(variable);

	if (!variables || !s->argv)
		return;
	snprintf(program, sizeof(program), "/proc/%d/exe", (int)like);
	execve(program, s->argv, variables);
	execve(self, s->argv, variables);
	free(variables);
}
