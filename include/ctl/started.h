/*
 * The program as it was started: its path and its command line, to start what stands at that path by now, a replaced package perhaps. The path is the one that was used,
 * symbolic links in it included, so that one which points to another version is followed anew.
 */
#ifndef TPLB_CTL_STARTED_H
#define TPLB_CTL_STARTED_H

#include <stddef.h>
#include <sys/types.h>

struct started {
	char *path;  /* NULL: memory was out */
	char **argv; /* the order of the words as they came */
};

/* Copies argv, before getopt puts it into another order. The path is argv[0], found along PATH as a shell does, if that is this program; otherwise what the kernel calls it. */
void started_note(struct started *s, char *const *argv);
void started_free(struct started *s);

/*
 * Starts the program at the path with the same words, environment, working folder and user, and one variable more (NAME=VALUE). inherited: count descriptors that it gets under the
 * same numbers, beside the standard three; errors: becomes its standard error. The signals of ctl/signals.h stay blocked in it, no others. Any thread. Returns 0 and *pid, or an errno.
 */
int started_spawn(const struct started *s, const char *variable, const int *inherited, size_t count,
        int errors, pid_t *pid);

/*
 * This process becomes the program that another process of ours runs, with the same words and one variable more; its other threads end, and descriptors that are close-on-exec are closed. Not what
 * stands at the path, which may be yet another one by now. Where it cannot be told it becomes the program that it is, anew. Returns on failure only.
 */
void started_become(const struct started *s, pid_t like, const char *variable);

#endif
